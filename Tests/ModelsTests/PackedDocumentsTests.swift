import Communication
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import Testing

/// Rows that hold several documents.
private struct PackedRows {
    /// Of each row; what they leave of `length` is padding.
    let documents: [[[Int32]]]
    let length = 40

    static let example: PackedRows = {
        let text = SmallDecoder.text(200)
        var next = 0
        return PackedRows(
            documents: [[8, 17, 2, 9], [1, 39], [5, 5, 5, 5]].map { row in
                row.map { count in
                    next += count + 1
                    return Array(text[next - count - 1..<next])
                }
            })
    }()

    /// Each document has one token more than inputs: the last is a target alone.
    func input(tellsDocuments: Bool = true, tellsPositions: Bool = true) -> ModelInput {
        var (tokens, targets): ([Int32], [Int32]) = ([], [])
        var (segments, positions): ([Int32], [Int32]) = ([], [])
        var weights: [Float] = []
        for row in documents {
            let padding = length - row.reduce(0) { $0 + $1.count - 1 }
            for (number, document) in row.enumerated() {
                tokens += document.dropLast()
                targets += document.dropFirst()
                segments += document.dropLast().map { _ in Int32(number) }
                positions += document.dropLast().indices.map { Int32($0) }
                weights += document.dropLast().map { _ in 1 }
            }
            tokens += Array(repeating: 0, count: padding)
            targets += Array(repeating: -1, count: padding)
            segments += Array(repeating: Int32(row.count), count: padding)
            positions += (0..<padding).map { Int32($0) }
            weights += Array(repeating: 0, count: padding)
        }
        let shape: Shape = [documents.count, length]
        if !tellsPositions { positions = documents.flatMap { _ in (0..<Int32(length)) } }
        var fields = [
            "tokens": Tensor(integers: tokens, shape: shape),
            "targets": Tensor(integers: targets, shape: shape),
        ]
        if tellsDocuments {
            fields["segments"] = Tensor(integers: segments, shape: shape)
            fields["positions"] = Tensor(integers: positions, shape: shape)
        }
        return ModelInput(fields: fields, weights: Tensor(weights, shape: [weights.count]))
    }

    /// Each document in a batch of its own.
    var alone: [ModelInput] {
        documents.flatMap { $0 }.map { document in
            let shape: Shape = [1, document.count - 1]
            return ModelInput(
                fields: [
                    "tokens": Tensor(integers: document.dropLast(), shape: shape),
                    "targets": Tensor(integers: Array(document.dropFirst()), shape: shape),
                ],
                weights: Tensor(
                    [Float](repeating: 1, count: document.count - 1), shape: [document.count - 1])
            )
        }
    }
}

@Suite struct PackedDocumentsTests {
    /// Of the sum of losses, added up over `inputs`.
    private func train(
        _ model: any Model, on inputs: [ModelInput], _ randomness: Pass.Randomness? = nil
    ) -> (loss: Double, gradients: [[Float]]) {
        for parameter in model.parameters { parameter.leaf.beginAccumulation() }
        var sum = 0.0
        for input in inputs {
            let tape = Tape()
            let loss = causalLoss(model, of: input, Pass(tape: tape, randomness: randomness))
            sum += loss.buffer.doubles[0]
            tape.backward(from: [(loss, Tensor([1], shape: []))])
        }
        return (sum, model.parameters.map { $0.leaf.gradient?.array ?? [] })
    }

    /// To what Float32 allows: where a document begins in a row, other numbers share a register.
    @Test(arguments: SmallDecoder.allCases)
    func aRowIsItsDocumentsAlone(decoder: SmallDecoder) {
        let (model, rows) = (decoder.model(), PackedRows.example)
        let expected = train(model, on: rows.alone)
        let scale = norm(expected.gradients.map { norm($0.map(Double.init)) })
        func agrees(_ found: (loss: Double, gradients: [[Float]])) -> (loss: Bool, all: Bool) {
            let close = zip(found.gradients, expected.gradients).allSatisfy {
                isClose($0, $1.map(Double.init), relative: 2e-5, absolute: 1e-6 * scale)
            }
            return (abs(found.loss - expected.loss) <= 1e-6 * expected.loss, close)
        }
        let packed = agrees(train(model, on: [rows.input()]))
        #expect(packed.loss && packed.all)
        // Controls: documents that see each other; positions that go on through a row.
        let mixed = agrees(train(model, on: [rows.input(tellsDocuments: false)]))
        #expect(!mixed.loss && !mixed.all)
        guard decoder == .gpt else { return }
        let late = agrees(train(model, on: [rows.input(tellsPositions: false)]))
        #expect(!late.loss && !late.all)
    }

    /// A rotation by positions sees only their distances, so that the loss cannot tell; the scores' bits can.
    @Test func rotaryPositionsAreThoseOfTheDocuments() {
        let (model, rows) = (SmallDecoder.llama.model(), PackedRows.example)
        let found = model.logits(rows.input()).array
        #expect(model.logits(rows.input(tellsPositions: false)).array != found)
        // The first document of a row has the positions that it has without.
        let plain = model.logits(rows.input(tellsDocuments: false)).array
        let width = found.count / (3 * rows.length)
        #expect(found[..<(8 * width)] == plain[..<(8 * width)])
        #expect(found[(8 * width)..<(12 * width)] != plain[(8 * width)..<(12 * width)])
    }

    @Test(arguments: [Recompute.attention, .block], [true, false])
    func recomputedGradientsHaveTheirBits(recompute: Recompute, isLlama: Bool) {
        func model(_ recompute: Recompute) -> any Model {
            let model: any Model
            if isLlama {
                var shape = LlamaConfiguration(
                    vocabulary: 61, contextLength: 48, layers: 2, heads: 4, width: 24, keyHeads: 2)
                shape.dropout = 0.2
                model = Llama(shape, numerics: Numerics(slices: 4), recompute: recompute)
            } else {
                var shape = GPTConfiguration(
                    vocabulary: 61, contextLength: 48, layers: 2, heads: 3, width: 24)
                shape.dropout = 0.2
                model = GPT(shape, numerics: Numerics(slices: 4), recompute: recompute)
            }
            for parameter in model.parameters {
                let value = Tensor(uninitialized: parameter.leaf.shape)
                parameter.initialize(0..<parameter.count, seed: 3, into: value.buffer)
                parameter.leaf.bind(value)
            }
            return model
        }
        let randomness = Pass.Randomness(seed: 5, step: 3, firstSequence: 0)
        let rows = PackedRows.example
        let expected = train(model(.none), on: [rows.input()], randomness)
        let found = train(model(recompute), on: [rows.input()], randomness)
        #expect(found.loss == expected.loss && found.gradients == expected.gradients)
        let mixed = train(model(recompute), on: [rows.input(tellsDocuments: false)], randomness)
        #expect(mixed.gradients != expected.gradients, "control")
    }

    /// One, two or four ranks that hold the model together, with tokens scattered between them or not.
    @Test(arguments: [true, false])
    func everyLayoutGivesTheSameBits(isLlama: Bool) throws {
        func run(_ tensor: Int, _ scattersTokens: Bool, tellsDocuments: Bool = true) throws
            -> (loss: UInt64, gradients: [[Float]])
        {
            let ranks = try InProcess.run(ranks: tensor) { world in
                let mesh = try Mesh(world, tensor: tensor)
                let model: any Model
                if isLlama {
                    var shape = LlamaConfiguration(
                        vocabulary: 61, contextLength: 48, layers: 2, heads: 4, width: 24,
                        keyHeads: 4)
                    shape.dropout = 0.2
                    model = Llama(shape, numerics: Numerics(slices: 4))
                } else {
                    var shape = GPTConfiguration(
                        vocabulary: 61, contextLength: 48, layers: 2, heads: 4, width: 24)
                    shape.dropout = 0.2
                    model = GPT(shape, numerics: Numerics(slices: 4))
                }
                let group = parallelize(model, on: mesh, scattersTokens: scattersTokens)
                let replica = try Replica(
                    model, objective: CausalLanguageModelling(), optimizer: AdamW(), mesh: mesh,
                    tensorGroup: group, bucketBytes: 4096)
                try replica.initialize(seed: 7)
                try replica.beginStep()
                replica.beginGroup()
                let loss = try replica.accumulate(
                    PackedRows.example.input(tellsDocuments: tellsDocuments),
                    randomness: Pass.Randomness(seed: 5, step: 3, firstSequence: 0), scale: 1,
                    isLast: false)
                return (
                    loss: loss.bitPattern,
                    gradients: replica.model.parameters.map {
                        (count: $0.count, range: $0.heldRange, values: $0.leaf.gradient!.array)
                    }
                )
            }
            let gradients = ranks[0].gradients.indices.map { index in
                var memory = [Float](repeating: .nan, count: ranks[0].gradients[index].count)
                for rank in ranks {
                    let part = rank.gradients[index]
                    memory.replaceSubrange(part.range, with: part.values)
                }
                return memory
            }
            return (ranks[0].loss, gradients)
        }
        let expected = try run(1, false)
        for (tensor, scattersTokens) in [(2, false), (2, true), (4, false), (4, true)] {
            let found = try run(tensor, scattersTokens)
            #expect(found.loss == expected.loss && found.gradients == expected.gradients)
        }
        let mixed = try run(2, true, tellsDocuments: false)
        #expect(mixed.loss != expected.loss, "control")
    }
}
