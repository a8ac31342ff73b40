import Datasets
import Testing

/// T5's view of a text (Raffel et al. 2020, section 3.1.4).
@Suite struct ViewSpanCorruptionTests {
    private func view(
        density: Double = 0.15, meanLength: Double = 3, end: Int32? = 1, length: Int = 64,
        seed: UInt64 = 5, sentinels: Int = 100
    ) throws -> SpanCorruption {
        try SpanCorruption(
            density: density, meanLength: meanLength,
            sentinels: Sentinels(first: 32_099, count: sentinels),
            marks: SequenceMarks(start: 0, end: end), sourceLength: length, seed: seed)
    }

    /// Puts the spans of a target where their sentinels stand in the source.
    private func restored(
        _ source: [Int32], _ target: [Int32], isSentinel: (Int32) -> Bool
    ) -> [Int32]? {
        var spans: [Int32: [Int32]] = [:]
        var current: Int32?
        for token in target {
            if isSentinel(token) {
                guard spans[token] == nil else { return nil }
                spans[token] = []
                current = token
            } else {
                guard let current else { return nil }
                spans[current]?.append(token)
            }
        }
        return source.flatMap { isSentinel($0) ? spans[$0] ?? [] : [$0] }
    }

    /// The figure of the paper: "Thank you <X> me to your party <Y> week ." and "<X> for inviting <Y> last <Z>".
    @Test func theExampleOfThePaper() throws {
        // Thank you for inviting me to your party last week .
        let text: [Int32] = [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]
        let mask = [2, 3, 8].reduce(into: [Bool](repeating: false, count: 11)) { $0[$1] = true }
        let (x, y, z): (Int32, Int32, Int32) = (32_099, 32_098, 32_097)
        let plain = try view(end: nil).corrupt(text, mask: mask)
        #expect(plain.source == [11, 12, x, 15, 16, 17, 18, y, 20, 21])
        #expect(plain.target == [x, 13, 14, y, 19, z])
        let ended = try view().corrupt(text, mask: mask)
        #expect(ended.source == plain.source + [1] && ended.target == plain.target + [1])
        let ascending = try SpanCorruption(
            sentinels: Sentinels(first: 500, count: 50, descends: false),
            marks: SequenceMarks(start: 0), sourceLength: 64, seed: 1
        ).corrupt(text, mask: mask)
        #expect(ascending.source == [11, 12, 500, 15, 16, 17, 18, 501, 20, 21])
        #expect(ascending.target == [500, 13, 14, 501, 19, 502])
        #expect(plain.target != ended.target, "control")
    }

    @Test func extremeMasks() throws {
        let (x, y): (Int32, Int32) = (32_099, 32_098)
        for (end, tail) in [(nil, []), (1, [1])] as [(Int32?, [Int32])] {
            let view = try view(end: end)
            let all = view.corrupt([4, 5, 6], mask: [true, true, true])
            #expect(all.source == [x] + tail)
            #expect(all.target == [x, 4, 5, 6] + (end == nil ? [y] : [1]))
            let none = view.corrupt([4, 5], mask: [false, false])
            #expect(none.source == [4, 5] + tail && none.target == [x] + tail)
            let one = view.corrupt([4], mask: view.mask(length: 1, sample: 3))
            #expect(one.source == [4] + tail && one.target == [x] + tail)
            #expect(view.mask(length: 2, sample: 0) == [false, true])
        }
    }

    /// `compute_input_and_target_lengths` as the paper's code defines it: the longest text whose corrupted form fits.
    private func reference(_ inputs: Int, density: Double, mean: Double) -> [Int] {
        func lengths(_ tokens: Int) -> [Int] {
            let noise = Int((Double(tokens) * density).rounded(.toNearestOrEven))
            let spans = Int((Double(noise) / mean).rounded(.toNearestOrEven))
            return [tokens - noise + spans + 1, noise + spans + 1]
        }
        var tokens = inputs
        while lengths(tokens + 1)[0] <= inputs { tokens += 1 }
        return [tokens] + lengths(tokens)
    }

    @Test func theWindowIsAsLongAsFits() throws {
        let usual = try view(length: 512)
        #expect(
            [usual.windowLength, usual.sourceCount, usual.targetCount] == [568, 512, 114],
            "as T5 was trained")
        // Shorter ones have less than half a span, of which that code makes none, but the mask one.
        for length in Array(60...300) + [1024] {
            for (density, mean) in [(0.15, 3.0), (0.15, 10), (0.25, 5), (0.5, 3)] {
                let view = try view(
                    density: density, meanLength: mean, length: length, sentinels: 300)
                #expect(
                    [view.windowLength, view.sourceCount, view.targetCount]
                        == reference(length, density: density, mean: mean))
            }
        }
        #expect(datasetError { _ = try view(length: 2) }?.kind == .tooSmall)
        #expect(datasetError { _ = try view(length: 3) } == nil)
        let error = datasetError { _ = try view(length: 4096) }
        #expect(error?.kind == .mismatch && error?.message.contains("found 100") == true)
    }

    /// As many noisy tokens and spans as the paper's code takes, kept and noisy by turns, kept first.
    @Test func masksAreSpans() throws {
        func turns(_ mask: [Bool]) -> Int { zip(mask, mask.dropFirst()).count { !$0 && $1 } }
        for length in [2, 3, 7, 10, 20, 71, 568] {
            let noise = max(1, Int((Double(length) * 0.15).rounded(.toNearestOrEven)))
            let spans = max(1, Int((Double(noise) / 3).rounded(.toNearestOrEven)))
            for sample in 0..<50 {
                let mask = try view().mask(length: length, sample: sample)
                #expect(mask.count == length && mask.count { $0 } == noise)
                #expect(turns(mask) == spans && !mask[0] && mask[length - 1])
            }
        }
        let masks = try (0..<50).map { try view().mask(length: 568, sample: $0) }
        #expect(Set(masks).count == 50)
        #expect(try view(seed: 6).mask(length: 568, sample: 0) != masks[0], "control")
    }

    /// What is hidden is part of what a position means: these never change.
    @Test func theMasksAreTheOnesOfAllVersions() throws {
        func places(_ sample: Int) throws -> [Int] {
            let mask = try view().mask(length: 40, sample: sample)
            return mask.indices.filter { mask[$0] }
        }
        #expect(try places(0) == [5, 35, 36, 37, 38, 39])
        #expect(try places(1_000_000_000_000) == [1, 2, 3, 37, 38, 39])
    }

    /// Every division into k non-empty parts is as likely: of n tokens the first part is 1 long in (k − 1)/(n − 1).
    /// A million tokens, three standard deviations.
    @Test func divisionsAreUniform() throws {
        let samples = 1_000_000 / 568
        func deviations(_ view: SpanCorruption, _ isKept: Bool, parts: Int, of count: Int) -> Double
        {
            let share = Double(parts - 1) / Double(count - 1)
            let found = (0..<samples).count { sample in
                let mask = view.mask(length: 568, sample: sample)
                // The first kept part, or the last noisy one.
                return isKept ? mask[1] : !mask[568 - 2]
            }
            let expected = share * Double(samples)
            return abs(Double(found) - expected) / (expected * (1 - share)).squareRoot()
        }
        let view = try view()
        #expect(deviations(view, true, parts: 28, of: 483) < 3)
        #expect(deviations(view, false, parts: 28, of: 85) < 3)
        let other = try self.view(meanLength: 2)
        #expect(deviations(other, true, parts: 28, of: 483) > 3, "control: 42 spans")
        #expect(deviations(other, false, parts: 28, of: 85) > 3, "control: 42 spans")
    }

    @Test(arguments: [
        (0.15, 3.0, 64), (0.15, 3, 3), (0.15, 3, 4), (0.5, 3, 32), (0.5, 1, 9), (0.9, 1, 20),
        (0.01, 20, 12),
    ])
    func sourceAndTargetGiveTheTextBack(density: Double, mean: Double, length: Int) throws {
        let folder = try TestFolder()
        let text = (0..<997).map { Int32(2 + $0) }
        let stream = try TokenStream(paths: [try folder.shard("t", text, vocabulary: 1000)])
        for end in [nil, 1] as [Int32?] {
            let view = try view(density: density, meanLength: mean, end: end, length: length)
            #expect(view.sourceCount <= length)
            let evaluation = try WindowEvaluationBatches(stream: stream, view: view, microBatch: 3)
            var all: [Int32] = []
            for index in 0..<evaluation.batchCount {
                let batch = try evaluation.evaluationBatch(index)
                #expect(batch.feedsTargetsBack(start: 0))
                for row in 0..<batch.sequences {
                    var (source, target) = (batch.source(row), batch.countedTargets(row))
                    if let end { #expect(source.popLast() == end && target.popLast() == end) }
                    all += restored(source, target) { $0 > 1000 } ?? []
                    if row == 0, index == 0 {
                        #expect(source.count + (end == nil ? 0 : 1) == view.sourceCount)
                        #expect(target.count + (end == nil ? 0 : 1) == view.targetCount)
                        let other = restored(source, target.reversed()) { $0 > 1000 }
                        #expect(other != Array(text.prefix(view.windowLength)), "control")
                    }
                }
            }
            #expect(all == text)
            #expect(
                try evaluation.evaluationBatch(0)
                    == WindowEvaluationBatches(stream: stream, view: view, microBatch: 3)
                    .evaluationBatch(0))
        }
    }

    @Test func noLayoutChangesASample() throws {
        let folder = try TestFolder()
        let text = (0..<4000).map { Int32(2 + $0 % 997) }
        let stream = try TokenStream(paths: [try folder.shard("t", text, vocabulary: 1000)])
        func batches(_ sequences: Int, _ microBatch: Int, seed: UInt64 = 5) throws -> WindowBatches
        {
            try WindowBatches(
                stream: stream, view: view(seed: seed),
                layout: BatchLayout(sequences: sequences, microBatch: microBatch))
        }
        func rows(_ source: WindowBatches, from position: Int, _ steps: Int) throws -> [[Int32]] {
            try trainingBatches(source, from: position, steps: steps).flatMap { batch in
                (0..<batch.sequences).map {
                    batch.source($0) + batch.row(Batch.Name.targets, $0)
                }
            }
        }
        let expected = try rows(batches(8, 2), from: 0, 20)
        #expect(expected == (try rows(batches(4, 4), from: 0, 40)))
        #expect(Array(expected.dropFirst(13)) == (try rows(batches(3, 1), from: 13, 49)))
        #expect(expected != (try rows(batches(8, 2, seed: 6), from: 0, 20)), "control")
        #expect(Set(expected).count == expected.count, "another epoch has other noise")
        let source = try batches(8, 2)
        let (real, blank) = (
            try source.trainingBatch(position: 0, microBatch: 0), source.blank(rows: 2)
        )
        #expect(source.targetWeight(position: 0) == 4 * real.targetWeight)
        #expect(
            blank.targetWeight == 0 && blank.fields.map(\.extents) == real.fields.map(\.extents))
        #expect(blank.fields.map(\.name) == real.fields.map(\.name))
    }
}
