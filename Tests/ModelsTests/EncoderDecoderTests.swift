import BeamSearch
import Decoding
import Foundation
import Layers
import Models
import Tensors
import Testing

/// The two halves of an encoder–decoder, and what is written with them.
@Suite struct EncoderDecoderTests {
    enum Kind: String, CaseIterable, Sendable {
        case original
        case normsFirst
        /// Learned positions and a norm of the embeddings.
        case bart
        /// Tables and an output projection of their own.
        case separate
    }

    private static let vocabulary = 41

    private static func model(_ kind: Kind, storage: DType = .float32) -> Transformer {
        var shape = TransformerConfiguration(
            vocabulary: vocabulary, contextLength: 24, layers: 2, heads: 4, width: 24, inner: 37)
        (shape.targetLength, shape.decoderLayers) = (20, 3)
        switch kind {
        case .original: break
        case .normsFirst: shape.normPosition = .pre
        case .bart:
            (shape.positions, shape.normalisesEmbedding, shape.scalesEmbedding) =
                (.learned, true, false)
        case .separate: (shape.sharesEmbedding, shape.tiesOutput) = (false, false)
        }
        let model = Transformer(shape, numerics: Numerics(slices: 4))
        for parameter in model.parameters {
            let value = Tensor(uninitialized: parameter.leaf.shape)
            parameter.initialize(0..<parameter.count, seed: 5, into: value.buffer)
            if parameter.decays {
                for index in 0..<value.buffer.count { value.floats[index] *= 2 }
            }
            parameter.leaf.bind(value.converted(to: storage))
        }
        return model
    }

    private func tokens(_ count: Int, _ seed: Int) -> [Int32] {
        SmallDecoder.text(count, seed: UInt64(seed)).map { $0 % Int32(Self.vocabulary) }
    }

    private func input(_ sources: [[Int32]], _ targets: [[Int32]]) -> ModelInput {
        var fields = ModelInput(sources: sources).fields
        let length = targets.map(\.count).max() ?? 0
        let padded = targets.flatMap { $0 + [Int32](repeating: 0, count: length - $0.count) }
        fields["decoder_tokens"] = Tensor(integers: padded, shape: [targets.count, length])
        return ModelInput(fields: fields, weights: Tensor(zeros: [padded.count]))
    }

    /// Of each place of each row.
    private func logits(_ model: Transformer, _ input: ModelInput) -> [[[Float]]] {
        let values = model.logits(input).array
        let shape = input["decoder_tokens"].shape
        let width = Self.vocabulary
        return (0..<shape[0]).map { row in
            (0..<shape[1]).map { place in
                let start = (row * shape[1] + place) * width
                return Array(values[start..<start + width])
            }
        }
    }

    /// Token by token with caches, several targets of each source, some sources leaving on the way.
    @Test(arguments: Kind.allCases, [DType.float32, .float16, .bfloat16])
    func whatIsCachedGivesTheBitsOfTheWholeTarget(kind: Kind, storage: DType) {
        let model = Self.model(kind, storage: storage)
        let sources = [tokens(9, 1), tokens(24, 2), tokens(3, 3)]
        let targets = (0..<6).map { tokens(12, 10 + $0) }
        var whole: [[[Float]]] = []
        for (row, target) in targets.enumerated() {
            whole += logits(model, input([sources[row / 2]], [target]))
        }
        let memory = model.encode(ModelInput(sources: sources), Pass())
        var cache = KeyValueCache(rows: 6, capacity: 20)
        var (rows, living) = (Array(0..<6), [0, 1, 2])
        for place in 0..<12 {
            let found = model.nextLogits(
                rows.map { targets[$0][place] }, sourceLengths: living.map { sources[$0].count },
                memory: memory, cache)
            for (index, row) in rows.enumerated() {
                #expect(found[index] == whole[row][place], "row \(row), place \(place)")
            }
            if place == 5 {
                // The middle source is finished; the targets of the others change places.
                cache = cache.selecting([1, 0, 5, 4], memories: [0, 2])
                (rows, living) = ([1, 0, 5, 4], [0, 2])
            }
        }
        // The control: another source.
        let other = logits(model, input([tokens(9, 4)], [targets[0]]))[0]
        #expect(other[11] != whole[0][11])
    }

    @Test(arguments: Kind.allCases) func paddingIsNotSeen(kind: Kind) {
        let model = Self.model(kind)
        let (short, long) = (tokens(5, 1), tokens(20, 2))
        let target = tokens(7, 3)
        let alone = logits(model, input([short], [target]))[0]
        let beside = logits(model, input([short, long], [target, tokens(15, 4)]))[0]
        #expect(Array(beside[..<7]) == alone)
        #expect(logits(model, input([Array(short.dropLast())], [target]))[0] != alone, "control")
    }

    @Test(arguments: [1, 4]) func sourcesSideBySideAreAsAlone(beams: Int) throws {
        let model = Self.model(.original)
        let sources = [tokens(9, 1), tokens(24, 2), tokens(3, 3), tokens(9, 5)]
        var options = BeamOptions(beams: beams, start: 40, ends: [0])
        (options.results, options.maximumLength, options.noRepeatNgram) = (beams, 19, 2)
        let targets = sources.map { BeamSource(maximumLength: 5 + $0.count % 7) }
        let together = findTargets(
            of: sources, targets, by: model, vocabulary: Self.vocabulary, options)
        for (index, source) in sources.enumerated() {
            let alone = findTargets(
                of: [source], [targets[index]], by: model, vocabulary: Self.vocabulary, options)
            #expect(alone[0] == together[index] && !alone[0].isEmpty)
        }
        #expect(together[0].map(\.tokens) != together[3].map(\.tokens), "control")
    }

    /// The score of what is found is that of the whole target.
    @Test func scoresAreThoseOfTheModel() throws {
        let model = Self.model(.normsFirst)
        let source = tokens(12, 7)
        var options = BeamOptions(beams: 3, start: 40, ends: [0])
        (options.results, options.maximumLength) = (3, 8)
        let found = findTargets(
            of: [source], [BeamSource()], by: model, vocabulary: Self.vocabulary, options)[0]
        #expect(found.count == 3)
        for hypothesis in found {
            let text = [40] + hypothesis.tokens.dropLast()
            let rows = logits(model, input([source], [text]))[0]
            var sum = 0.0
            for (place, token) in hypothesis.tokens.enumerated() {
                let peak = Double(rows[place].max() ?? 0)
                let total = rows[place].reduce(0.0) { $0 + exp(Double($1) - peak) }
                sum += Double(rows[place][Int(token)]) - peak - log(total)
            }
            #expect(abs(sum - Double(hypothesis.logProbability)) < 1e-4)
        }
    }
}
