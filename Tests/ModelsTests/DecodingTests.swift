import Decoding
import Layers
import Models
import Tensors
import Testing

/// Small models that continue texts.
enum SmallDecoder: String, CaseIterable, Sendable {
    case gpt
    case llama
    /// Two key heads for four of queries, and an untied head.
    case groupedLlama
    case windowedLlama
    case neox

    static let vocabulary = 61
    static let context = 48

    func model(storage: DType = .float32, contextLength: Int = context) -> any Generative {
        let model: any Generative
        let numerics = Numerics(slices: 4)
        switch self {
        case .gpt:
            let shape = GPTConfiguration(
                vocabulary: Self.vocabulary, contextLength: contextLength, layers: 2, heads: 3,
                width: 24)
            model = GPT(shape, numerics: numerics)
        case .neox:
            var shape = NeoXConfiguration(
                vocabulary: Self.vocabulary, contextLength: contextLength, layers: 2, heads: 3,
                width: 24)
            shape.rotaryFraction = 0.5
            model = NeoX(shape, numerics: numerics)
        case .llama, .groupedLlama, .windowedLlama:
            var shape = LlamaConfiguration(
                vocabulary: Self.vocabulary, contextLength: contextLength, layers: 2, heads: 4,
                width: 24, keyHeads: self == .groupedLlama ? 2 : 4)
            shape.tiesOutput = self == .llama
            if self == .windowedLlama { (shape.window, shape.normalisesHeads) = (7, true) }
            model = Llama(shape, numerics: numerics)
        }
        for (number, parameter) in model.parameters.enumerated() {
            let value = Tensor(uninitialized: parameter.leaf.shape)
            parameter.initialize(0..<parameter.count, seed: 3, into: value.buffer)
            // Larger than at the start of a training: what attention sees matters.
            if parameter.decays {
                for index in 0..<value.buffer.count { value.floats[index] *= 10 }
            } else {
                value.floats[number % value.buffer.count] += 0.5
            }
            parameter.leaf.bind(value.converted(to: storage))
        }
        return model
    }

    /// A text of pseudo-random tokens.
    static func text(_ count: Int, seed: UInt64 = 1) -> [Int32] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int32(state >> 33) % Int32(vocabulary)
        }
    }
}

@Suite struct DecodingTests {
    /// The logits after each token of a text that goes in at once.
    private func logits(_ model: any Generative, _ text: [Int32]) -> [[Float]] {
        let input = ModelInput(
            fields: ["tokens": Tensor(integers: text, shape: [1, text.count])],
            weights: Tensor(zeros: [text.count]))
        let values = model.logits(input).array
        let width = values.count / text.count
        return text.indices.map { Array(values[$0 * width..<($0 + 1) * width]) }
    }

    @Test(arguments: SmallDecoder.allCases, [DType.float32, .float16, .bfloat16])
    func whatIsCachedGivesTheBitsOfTheWholeText(decoder: SmallDecoder, storage: DType) {
        let model = decoder.model(storage: storage)
        let text = SmallDecoder.text(40)
        let whole = logits(model, text)
        let cache = KeyValueCache(rows: 1, capacity: SmallDecoder.context)
        var start = 0
        for count in [17, 1, 1, 16, 2, 3] {
            let found = model.nextLogits(after: [Array(text[start..<start + count])], cache)[0]
            start += count
            #expect(found == whole[start - 1], "after \(start) tokens")
        }
        #expect(cache.lengths == [40] && cache.byteCount > 0)
        // The control: an earlier token that is another one changes what comes last.
        var other = text
        other[decoder == .windowedLlama ? 36 : 2] = (other[2] + 1) % 61
        #expect(logits(model, other)[39] != whole[39])
    }

    /// Texts of several lengths side by side, some of which end before others.
    @Test(
        arguments: SmallDecoder.allCases,
        [(0.0, DType.float32), (0.8, .float32), (0.8, .float16), (0.8, .bfloat16)])
    func textsSideBySideAreAsAlone(
        decoder: SmallDecoder, how: (temperature: Double, storage: DType)
    ) {
        let (temperature, storage) = how
        let model = decoder.model(storage: storage)
        // What lay before in the memory of a cache is no number.
        do {
            let old = (0..<16).map { _ in
                Tensor(uninitialized: [4, SmallDecoder.context, 24], dtype: storage)
            }
            for tensor in old {
                let none = Tensor(
                    [Float](repeating: .nan, count: tensor.buffer.count), shape: tensor.shape)
                tensor.buffer.copyBytes(from: none.converted(to: storage).buffer)
            }
        }
        let prompts = [1, 9, 4, 20].map { SmallDecoder.text($0, seed: UInt64($0)) }
        let generation = Generation(
            count: 12, sampling: Sampling(temperature: temperature, seed: 5), ends: [7, 11])
        func texts(_ prompts: [[Int32]]) -> [[Int32]] {
            generate(model, prompts: prompts, generation) { _, _ in true }
        }
        let together = texts(prompts)
        #expect(together == prompts.flatMap { texts([$0]) })
        #expect(Set(together).count > 1, "control: they differ")
        // One that is stopped does not stop the others.
        let stopped = generate(model, prompts: prompts, generation) { prompt, _ in prompt != 1 }
        for index in prompts.indices {
            #expect(stopped[index] == (index == 1 ? Array(together[1].prefix(1)) : together[index]))
        }
    }

    /// Beyond its context a model sees the last tokens, from position 0.
    @Test(arguments: [SmallDecoder.gpt, .groupedLlama])
    func aTextLongerThanTheContextGoesOn(decoder: SmallDecoder) {
        let model = decoder.model(contextLength: 16)
        let prompt = SmallDecoder.text(11)
        let generation = Generation(count: 14, sampling: Sampling(temperature: 0))
        let found = generate(model, prompts: [prompt, [3]], generation) { _, _ in true }[0]
        var text = prompt
        for _ in 0..<14 {
            let last = logits(model, Array(text.suffix(16))).last!
            text.append(Int32(last.firstIndex(of: last.max()!)!))
        }
        #expect(found == Array(text.suffix(14)))
    }

    @Test func severalTextsOfOnePromptDiffer() {
        let model = SmallDecoder.gpt.model()
        let generation = Generation(count: 8, sampling: Sampling(seed: 2))
        func texts(_ numbers: [Int]) -> [[Int32]] {
            generate(
                model, prompts: numbers.map { _ in [5, 6] }, numbers: numbers, generation
            ) { _, _ in true }
        }
        let found = texts([0, 1, 2])
        #expect(Set(found).count == 3)
        #expect(texts([2])[0] == found[2] && texts([0])[0] == found[0])
    }

    /// A prompt longer than a block of the prefill.
    @Test func aLongPromptGoesInByBlocks() {
        let model = SmallDecoder.groupedLlama.model(contextLength: 1200)
        let text = SmallDecoder.text(1100)
        let generation = Generation(count: 1, sampling: Sampling(temperature: 0))
        let found = generate(model, prompts: [text, [1, 2]], generation) { _, _ in true }[0]
        let last = logits(model, text).last!
        #expect(found == [Int32(last.firstIndex(of: last.max()!)!)])
    }
}

@Suite struct SamplingTests {
    private let logits: [Float] = [0.5, 3, -1, 3, 2.9, 0, -4, 1]

    private func drawn(_ sampling: Sampling, after text: [Int32] = []) -> Set<Int32> {
        Set((0..<400).map { sampling.draw(from: logits, after: text, position: $0) })
    }

    @Test func aDrawIsAFunctionOfItsSeed() {
        func draws(_ seed: UInt64) -> [Int32] {
            (0..<50).map { Sampling(seed: seed).draw(from: logits, position: $0) }
        }
        #expect(draws(3) == draws(3) && draws(3) != draws(4))
        #expect(drawn(Sampling()).count > 4)
    }

    @Test func theMostProbableIsTheFirstOfEquals() {
        #expect(drawn(Sampling(temperature: 0)) == [1])
        #expect(drawn(Sampling(topK: 1)) == [1])
        #expect(drawn(Sampling(topP: 1e-9)) == [1])
        #expect(drawn(Sampling(topK: 2)) == [1, 3])
        #expect(drawn(Sampling(topK: 3)) == [1, 3, 4])
    }

    @Test func probabilitiesAreThoseOfTheLogits() {
        var counts = [Int](repeating: 0, count: 8)
        for position in 0..<20_000 {
            counts[Int(Sampling(temperature: 2).draw(from: logits, position: position))] += 1
        }
        let weights = logits.map { (Double($0) / 2).exponential }
        for (count, weight) in zip(counts, weights) {
            let expected = 20_000 * weight / weights.reduce(0, +)
            #expect(abs(Double(count) - expected) < 5 * expected.squareRoot() + 1)
        }
        #expect(counts[1] < 8000, "control: not as at a temperature of 1")
    }

    /// e^−0.1 = 0.905 of the best is kept by 0.9 and not by 0.91; e^−2 = 0.135 by 0.13.
    @Test(
        arguments: [(0.91, [1, 3]), (0.9, [1, 3, 4]), (0.13, [1, 3, 4, 7])]
            as [(Double, Set<Int32>)])
    func improbableTokensAreLeftOut(minP: Double, expected: Set<Int32>) {
        #expect(drawn(Sampling(minP: minP)) == expected)
    }

    @Test func whatIsThereAlreadyIsLessProbable() {
        let penalised = Sampling(temperature: 0, repetitionPenalty: 1.5)
        #expect(drawn(penalised, after: [1]) == [3])
        #expect(drawn(penalised, after: [1, 3]) == [4])
        #expect(drawn(penalised, after: [0]) == [1], "control")
        // A negative logit moves away from the others too.
        let negative = Sampling(temperature: 0, repetitionPenalty: 1.5)
        #expect(negative.draw(from: [-1, -1.2], after: [Int32(0)], position: 0) == 1)
        #expect(negative.draw(from: [-1, -1.2], position: 0) == 0)
    }

    /// Few of many are found without sorting all; the same as by sorting.
    @Test func fewOfManyAreTheHighest() {
        let many = (0..<5000).map { Float(($0 * 7919) % 5003) / 500 }
        let best = many.indices.sorted { many[$0] > many[$1] }.prefix(5).map { Int32($0) }
        let found = Set(
            (0..<400).map { Sampling(temperature: 50, topK: 5).draw(from: many, position: $0) })
        #expect(found == Set(best))
    }
}

extension Double {
    fileprivate var exponential: Double {
        (0..<60).reduce((sum: 0.0, term: 1.0)) {
            ($0.sum + $0.term, $0.term * self / Double($1 + 1))
        }
        .sum
    }
}
