import Communication
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import Testing

/// Seam 7: blocks with a value between them, cut by two tapes as a pipeline would.
@Suite struct SeamTests {
    private func makeModel() throws -> (GPT, Reference) {
        let reference = try Reference()
        let model = GPT(Reference.shape, numerics: Numerics(slices: 4))
        try reference.fill(model, bind: true)
        return (model, reference)
    }

    private func gradients(_ model: GPT) -> [[UInt32]] {
        model.parameters.map { $0.leaf.gradient!.array.map(\.bitPattern) }
    }

    @Test func twoStagesGiveTheBitsOfOne() throws {
        let (model, reference) = try makeModel()
        let input = try reference.input()
        let whole = Tape()
        let loss = causalLoss(model, of: input, Pass(tape: whole))
        whole.backward(from: [(loss, Tensor([0.25], shape: []))])
        let expected = gradients(model)
        for parameter in model.parameters { parameter.leaf.beginAccumulation() }

        let (first, second) = (Tape(), Tape())
        let boundary = model.block(
            0, model.begin(input, Pass(tape: first)), input, Pass(tape: first))
        let received = second.watch(boundary.detached)
        let staged = lossOfLastStage(model, received, input, second)
        let upstream = second.backward(
            from: [(staged, Tensor([0.25], shape: []))], wanted: [received])
        first.backward(from: [(boundary, upstream[0])])
        #expect(staged.buffer.doubles[0] == loss.buffer.doubles[0])
        #expect(gradients(model) == expected)

        // The control: another gradient at the boundary.
        for parameter in model.parameters { parameter.leaf.beginAccumulation() }
        let again = Tape()
        let other = model.block(
            0, model.begin(input, Pass(tape: again)), input, Pass(tape: again))
        again.backward(from: [(other, boundary.detached)])
        #expect(model.parameters[3].leaf.gradient?.array.map(\.bitPattern) != expected[3])
    }

    private func lossOfLastStage(
        _ model: GPT, _ received: Tensor, _ input: ModelInput, _ tape: Tape
    ) -> Tensor {
        let pass = Pass(tape: tape)
        return model.output.crossEntropy(
            model.end(model.block(1, received, input, pass), input, pass),
            targets: input["targets"], weights: input.weights, smoothing: 0, pass
        ).loss
    }

    /// A tied table whose rows are one stage's and whose head is another's: the gradient of a group of micro-batches is
    /// Σ head + Σ rows, so that the stages need only meet at its end (docs/numerics.md).
    @Test func aTiedTableOnTwoStagesHasTheBitsOfOne() throws {
        let (model, reference) = try makeModel()
        let input = try reference.input()
        let (table, shape) = (model.output.weight, model.output.weight.spec.shape)
        let microBatches: [Float] = [0.25, -1, 0.5]
        for scale in microBatches {
            let tape = Tape()
            let loss = causalLoss(model, of: input, Pass(tape: tape))
            tape.backward(from: [(loss, Tensor([scale], shape: []))])
        }
        let expected = table.leaf.gradient!.array

        // The head's product and the rows by themselves: each stage sees its own use alone.
        let (head, rows) = (Leaf(table.leaf.value), Leaf(table.leaf.value))
        let tokens = TokenSlices(4)
        for scale in microBatches {
            let (first, second) = (Tape(), Tape())
            let embedded = embedding(
                input["tokens"], table: rows, vocabulary: table.slices, tokens: tokens, tape: first)
            let places = model.parameters[1].leaf.value
            let positions = embedding(
                Tensor(integers: (0..<39).map { $0 % 13 }, shape: [3, 13]), table: Leaf(places),
                tokens: tokens, tape: nil)
            let sum = add(embedded, positions, tape: first)
            let pass = Pass(tape: first)
            let features = model.end(
                (0..<2).reduce(sum) { model.block($1, $0, input, pass) }, input, pass)
            let received = second.watch(features.detached)
            let loss = linearCrossEntropy(
                received, table: head, vocabulary: table.slices, targets: input["targets"],
                weights: input.weights, tokens: tokens, tape: second
            ).loss
            let gradient = second.backward(
                from: [(loss, Tensor([scale], shape: []))], wanted: [received])
            first.backward(from: [(features, gradient[0])])
        }
        let occurring = Set((0..<39).map { Int(input["tokens"].buffer.integers[$0]) })
        let (product, added) = (head.gradient!.array, rows.gradient!.array)
        let together = product.indices.map {
            occurring.contains($0 / shape[1]) ? product[$0] + added[$0] : product[$0]
        }
        #expect(together.map(\.bitPattern) == expected.map(\.bitPattern))
        // The control: rows that are added micro-batch by micro-batch.
        for parameter in model.parameters { parameter.leaf.beginAccumulation() }
        for scale in microBatches {
            let tape = Tape()
            let loss = causalLoss(model, of: input, Pass(tape: tape))
            tape.backward(from: [(loss, Tensor([scale], shape: []))])
            table.leaf.endAccumulation()
        }
        #expect(table.leaf.gradient!.array != expected)
    }

    /// Seam 4: a target of weight 0 counts nothing, whatever it is.
    @Test func weightsLeaveTargetsOut() throws {
        let (model, reference) = try makeModel()
        let input = try reference.input()
        let weights = Tensor((0..<39).map { $0 % 2 == 0 ? 1 : 0 }, shape: [39])
        let targets = (0..<39).map { input["targets"].buffer.integers[$0] }
        let masked = targets.enumerated().map { $0 % 2 == 0 ? $1 : -1 }
        func loss(_ targets: [Int32]) -> Double {
            causalLoss(
                model,
                of: ModelInput(
                    fields: [
                        "tokens": input["tokens"],
                        "targets": Tensor(integers: targets, shape: [3, 13]),
                    ], weights: weights), Pass()
            ).float64
        }
        #expect(loss(targets) == loss(masked))
        var other = targets
        other[0] = (other[0] + 1) % 61
        #expect(loss(other) != loss(targets))
    }

    /// Seam 5: a frozen parameter keeps its bits through an update and needs no gradient.
    @Test func aFrozenParameterStaysAsItIs() throws {
        let reference = try Reference()
        let model = GPT(Reference.shape, numerics: Numerics(slices: 4))
        let frozen = model.parameters[1]
        frozen.leaf.isTrainable = false
        let replica = try Replica(
            model, objective: CausalLanguageModelling(), optimizer: AdamW(),
            communicator: InProcess.alone(), bucketBytes: 1 << 12)
        try reference.fill(model, bind: false)
        let before = model.parameters.map { $0.leaf.value.array }
        try replica.beginStep()
        replica.beginGroup()
        _ = try replica.accumulate(
            try reference.input(), randomness: nil, scale: 1, isLast: true)
        _ = try replica.agree(on: [])
        try replica.update(learningRate: 1e-2, gradientScale: 1)
        #expect(frozen.leaf.gradient == nil)
        for (parameter, old) in zip(model.parameters, before) {
            #expect(
                (parameter.leaf.value.array == old) == (parameter === frozen), "\(parameter.name)")
        }
        #expect(replica.state.contains { $0.name == frozen.name && !$0.pieces.isEmpty })
    }
}
