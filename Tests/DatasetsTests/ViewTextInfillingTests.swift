import Datasets
import Testing

/// BART's view of a text (Lewis et al. 2020, section 2.1).
@Suite struct ViewTextInfillingTests {
    private static let mask: Int32 = 900

    private func view(
        rate: Double = 0.3, meanLength: Double = 3, ends: Set<Int32> = [], length: Int = 64,
        seed: UInt64 = 5
    ) throws -> TextInfilling {
        try TextInfilling(
            rate: rate, meanLength: meanLength, mask: Self.mask, sentenceEnds: ends,
            marks: SequenceMarks(start: 2, begin: 0, end: 2), length: length, seed: seed)
    }

    /// The text, put together from what is left of it and from itself in place of the masks; nil where what is left
    /// isn't in order, or something is missing where there is no mask.
    private func isFilledIn(_ source: [Int32], by text: [Int32]) -> Bool {
        var (next, isOpen) = (0, false)
        for token in source {
            if token == Self.mask {
                isOpen = true
                continue
            }
            guard let place = text.firstIndex(of: token), place == next || place > next && isOpen
            else { return false }
            (next, isOpen) = (place + 1, false)
        }
        return next == text.count || isOpen
    }

    @Test(arguments: [1, 2, 3, 10, 62, 500])
    func masksStandWhereTextIsMissing(count: Int) throws {
        let text = (0..<count).map { Int32(1000 + $0) }
        let view = try view()
        let noise = max(1, Int((Double(count) * 0.3).rounded()))
        for sample in 0..<100 {
            let source = view.corrupt(text, sample: sample)
            let masks = source.count { $0 == Self.mask }
            #expect(isFilledIn(source, by: text))
            #expect(source.count - masks == count - noise && masks <= noise)
            #expect(source.count <= count)
            let lengths = view.spanLengths(of: count, sample)
            #expect(lengths.count == masks && lengths.reduce(0, +) == noise)
            if let place = source.firstIndex(of: Self.mask), lengths.min() ?? 0 > 0 {
                var broken = source
                broken.remove(at: place)
                #expect(!isFilledIn(broken, by: text) || masks > 1, "control")
            }
        }
        let all = try self.view(rate: 1).corrupt(text, sample: 0)
        #expect(all.allSatisfy { $0 == Self.mask })
    }

    /// A million tokens in windows of 10,000, whose last span, which is cut, weighs little: three standard deviations
    /// of the shares of spans of 0, 1, … tokens and of their mean.
    @Test func lengthsAreThoseOfAPoissonDistribution() throws {
        func deviations(_ view: TextInfilling) -> Double {
            let lengths = (0..<100).flatMap { view.spanLengths(of: 10_000, $0) }
            let count = Double(lengths.count)
            // e⁻³ and what follows from it.
            let shares = [0.049787, 0.149361, 0.224042, 0.224042, 0.168031, 0.100819]
            let worst = shares.enumerated().map { length, share in
                let found = Double(lengths.count { $0 == length })
                return abs(found - share * count) / (share * (1 - share) * count).squareRoot()
            }
            let mean = Double(lengths.reduce(0, +)) / count
            return max(worst.max() ?? 0, abs(mean - 3) / (3 / count).squareRoot())
        }
        #expect(try deviations(view()) < 3)
        #expect(try deviations(view(meanLength: 3.1)) > 3, "control")
    }

    /// 30 % of a million tokens are taken out, as many of the first half of a text as of the second.
    @Test func noHalfIsPreferred() throws {
        let text = (0..<100).map { Int32(1000 + $0) }
        func deviations(_ source: (Int) -> [Int32]) -> Double {
            let missing = (0..<10_000).map { sample in
                50 - Double(source(sample).count { $0 != Self.mask && $0 < 1050 })
            }
            let mean = missing.reduce(0, +) / 10_000
            let variance = missing.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 9_999
            return abs(mean - 15) / (variance / 10_000).squareRoot()
        }
        let (view, other) = (try view(), try self.view(rate: 0.31))
        #expect(deviations { view.corrupt(text, sample: $0) } < 3)
        #expect(deviations { other.corrupt(text, sample: $0) } > 3, "control")
    }

    /// Sentences end behind 50; several in a row end one, and what has no end is one too.
    @Test func sentencesAreShuffled() throws {
        let sentences: [[Int32]] = [[10, 11, 50], [20, 50, 50], [30, 31]]
        let view = try view(rate: 0.001, ends: [50])
        var orders: [[Int]: Int] = [:]
        for sample in 0..<6000 {
            let source = view.corrupt(sentences.flatMap { $0 }, sample: sample)
            let found = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].filter {
                let text = $0.flatMap { sentences[$0] }
                return source.count == 8 && zip(source, text).count { $0 != $1 } == 1
                    && source.contains(Self.mask)
            }
            #expect(found.count == 1)
            for order in found { orders[order, default: 0] += 1 }
        }
        // 99.9 % of a uniform choice of 6 lie below 20.5.
        let statistic = orders.values.reduce(0.0) { $0 + Double(($1 - 1000) * ($1 - 1000)) / 1000 }
        #expect(orders.count == 6 && statistic < 20.5)
        let still = try self.view(rate: 0.001).corrupt(sentences.flatMap { $0 }, sample: 3)
        #expect(zip(still, sentences.flatMap { $0 }).count { $0 != $1 } == 1, "control")
    }

    @Test func batchesHoldTheTextAsItWas() throws {
        let folder = try TestFolder()
        let text = (0..<997).map { Int32(3 + $0 % 797) }
        let stream = try TokenStream(paths: [try folder.shard("t", text, vocabulary: 1000)])
        let view = try view(ends: [50], length: 40)
        let evaluation = try WindowEvaluationBatches(stream: stream, view: view, microBatch: 4)
        var all: [Int32] = []
        for index in 0..<evaluation.batchCount {
            let batch = try evaluation.evaluationBatch(index)
            #expect(batch.feedsTargetsBack(start: 2))
            for row in 0..<batch.sequences {
                let (source, target) = (batch.source(row), batch.countedTargets(row))
                #expect(source.first == 0 && source.last == 2 && source.contains(Self.mask))
                #expect(target.first == 0 && target.last == 2 && source.count <= target.count)
                all += target.dropFirst().dropLast()
            }
        }
        #expect(all == text)
        let source = try WindowBatches(
            stream: stream, view: view, layout: BatchLayout(sequences: 4, microBatch: 2))
        let wide = try WindowBatches(
            stream: stream, view: view, layout: BatchLayout(sequences: 4, microBatch: 4))
        let (first, second, both) = (
            try source.trainingBatch(position: 8, microBatch: 0),
            try source.trainingBatch(position: 8, microBatch: 1),
            try wide.trainingBatch(position: 8, microBatch: 0)
        )
        for name in [Batch.Name.tokens, Batch.Name.targets, Batch.Name.lengths] {
            #expect(first[name].integers + second[name].integers == both[name].integers)
        }
        #expect(source.targetWeight(position: 8) == both.targetWeight)
        let blank = wide.blank(rows: 4)
        #expect(
            blank.targetWeight == 0 && blank.fields.map(\.extents) == both.fields.map(\.extents))
        #expect(datasetError { _ = try self.view(length: 2) }?.kind == .tooSmall)
    }
}
