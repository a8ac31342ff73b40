import Datasets
import Testing

@Suite struct PermutationTests {
    @Test func everyElementOnce() {
        for count in Array(1...130) + [255, 256, 257, 1000, 4096, 15_684] {
            for key in [0, 1, UInt64.max] {
                let permutation = Permutation(count: count, key: key)
                let image = Set((0..<count).map { permutation[$0] })
                #expect(image.count == count && image.min() == 0 && image.max() == count - 1)
            }
        }
    }

    /// Each element lands on each place about equally often over keys; a fixed order fails the same check.
    @Test func noPlaceIsPreferred() {
        func chiSquared(_ place: (UInt64) -> Int, places: Int, trials: Int) -> Double {
            var counts = [Double](repeating: 0, count: places)
            for key in 0..<trials { counts[place(UInt64(key))] += 1 }
            let expected = Double(trials) / Double(places)
            return counts.reduce(0) { $0 + ($1 - expected) * ($1 - expected) / expected }
        }
        for count in [3, 5, 16, 61] {
            // 99.99 % of a uniform choice lie below this (Wilson and Hilferty's approximation).
            let degrees = Double(count - 1)
            let root = 1 - 2 / (9 * degrees) + 3.72 * (2 / (9 * degrees)).squareRoot()
            let limit = degrees * root * root * root
            for index in [0, count / 2, count - 1] {
                let value = chiSquared(
                    { Permutation(count: count, key: $0 &* 7919)[index] }, places: count,
                    trials: 6000)
                #expect(value < limit, "element \(index) of \(count)")
            }
            #expect(chiSquared({ _ in count / 2 }, places: count, trials: 6000) > limit)
        }
    }

    @Test func neighboursDoNotStayNeighbours() {
        let permutation = Permutation(count: 10_000, key: 3)
        let close = (1..<10_000).filter { abs(permutation[$0] - permutation[$0 - 1]) <= 1 }.count
        #expect(close < 20)
    }
}

@Suite struct SampleOrderTests {
    /// Whether `windows` are the windows of an epoch, each once: at one phase, one after the other.
    private func areAnEpoch(_ windows: [Range<Int>], of order: SampleOrder) -> Bool {
        let sorted = windows.sorted { $0.lowerBound < $1.lowerBound }
        guard let first = sorted.first, let last = sorted.last else { return false }
        return windows.count == order.samplesPerEpoch
            && first.lowerBound >= 0 && first.lowerBound < order.sampleLength
            && last.upperBound <= order.tokenCount
            && sorted.allSatisfy { $0.count == order.sampleLength + 1 }
            && zip(sorted, sorted.dropFirst()).allSatisfy {
                $1.lowerBound - $0.lowerBound == order.sampleLength
            }
    }

    @Test(arguments: [
        (2, 1), (3, 1), (9, 8), (15, 8), (16, 8), (17, 8), (100, 7), (1000, 64), (1_003_854, 64),
    ])
    func eachWindowOncePerEpoch(tokens: Int, length: Int) throws {
        let order = try SampleOrder(tokenCount: tokens, sampleLength: length, seed: 42)
        #expect((order.samplesPerEpoch + 2) * length >= tokens)
        for epoch in 0..<3 {
            let first = epoch * order.samplesPerEpoch
            let samples = first..<first + order.samplesPerEpoch
            let windows = samples.map { order.window(ofSample: $0) }
            #expect(areAnEpoch(windows, of: order))
            if windows.count > 1 {
                var twice = windows
                twice[0] = twice[1]
                #expect(!areAnEpoch(twice, of: order))
            }
        }
    }

    @Test func seedsAndEpochsGiveOtherOrdersAndBorders() throws {
        func starts(_ seed: UInt64, _ epoch: Int) throws -> [Int] {
            let order = try SampleOrder(tokenCount: 10_000, sampleLength: 64, seed: seed)
            let first = epoch * order.samplesPerEpoch
            return (first..<first + order.samplesPerEpoch)
                .map { order.window(ofSample: $0).lowerBound }
        }
        let lists = try [starts(1, 0), starts(1, 1), starts(2, 0), starts(2, 1)]
        #expect(Set(lists).count == 4)
        #expect(Set(lists.map { $0.map { $0 % 64 }.min() }).count > 1)
        #expect(try starts(1, 0) == lists[0])
    }

    /// No epoch that a run can reach has the order of another: the key is a bijection of its number.
    @Test func epochsHaveKeysOfTheirOwn() {
        let epochs = Array(0..<100_000) + (0..<100_000).map { UInt64(Int.max - $0) }
        #expect(Set(epochs.map { CounterHash.bits(1337, 1, $0) }).count == epochs.count)
        let short = epochs.map { CounterHash.bits(1337, 1, $0 & 0xFFFF) }
        #expect(Set(short).count < epochs.count, "control")
    }

    /// The last sample that a number of Swift counts.
    @Test func theLastSampleIsAWindowToo() throws {
        let order = try SampleOrder(tokenCount: 1_003_854, sampleLength: 64, seed: 1)
        let window = order.window(ofSample: .max)
        #expect(window.count == 65 && window.lowerBound >= 0 && window.upperBound <= 1_003_854)
    }

    /// The order is part of what a checkpoint means: these never change.
    @Test func theOrderIsTheOneOfAllVersions() throws {
        let order = try SampleOrder(tokenCount: 1_003_854, sampleLength: 64, seed: 1337)
        let samples = [0, 1, 2, 15_683, 15_684, 15_685, 1_000_000]
        let starts = [653_829, 928_197, 49_797, 898_821, 135_533, 817_965, 430_748]
        #expect(samples.map { order.window(ofSample: $0).lowerBound } == starts)
    }

    @Test func tooFewTokensAreAnError() {
        let error = datasetError {
            _ = try SampleOrder(tokenCount: 64, sampleLength: 64, seed: 1)
        }
        #expect(error?.kind == .tooSmall)
        #expect(error?.message.contains("65 tokens, found 64") == true)
    }
}
