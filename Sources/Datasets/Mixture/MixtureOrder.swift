/// Which source the g-th sample of a run is taken from, and which of that source's samples it is: a pure function
/// of g and the weights, so that the position in a mixture is one number too.
///
/// A node of a binary tree over the sources gives its left half ⌊(g·w_left + w/2) / w⌋ of its first g samples and its
/// right half the rest. Both only grow, so each sample has one place; after any number of samples a source has
/// had its exact part of them, within half a sample for each level of the tree. In whole numbers throughout.
public struct MixtureOrder: Sendable, Equatable {
    /// From a sample of the run on, how much of each source there is.
    public struct Segment: Sendable, Equatable {
        public let start: Int
        /// Whole numbers from 0, of which one is above 0; only their proportions count.
        public let weights: [Int]

        public init(start: Int, weights: [Int]) { (self.start, self.weights) = (start, weights) }
    }

    /// A place in a mixture.
    public struct Place: Sendable, Equatable {
        public let source: Int
        /// Of the source's samples over the whole run, from 0.
        public let sample: Int
    }

    public let segments: [Segment]
    /// Samples of each source that the segments before have used.
    private let used: [[Int]]

    /// - Parameter segments: in ascending order, the first from 0 on.
    public init(_ segments: [Segment]) {
        precondition(
            segments.first?.start == 0
                && zip(segments, segments.dropFirst()).allSatisfy { $0.start < $1.start },
            "MixtureOrder: expected segments from 0 on in ascending order, got \(segments.map(\.start))"
        )
        precondition(
            segments.allSatisfy { segment in
                segment.weights.count == segments[0].weights.count
                    && segment.weights.allSatisfy { $0 >= 0 } && segment.weights.contains { $0 > 0 }
                    && segment.weights.reduce(0, +) < 1 << 60
            }, "MixtureOrder: expected weights from 0 on, one of them above 0")
        self.segments = segments
        var used = [[Int](repeating: 0, count: segments[0].weights.count)]
        for (segment, next) in zip(segments, segments.dropFirst()) {
            var counts = used[used.count - 1]
            MixtureOrder.count(
                next.start - segment.start, segment.weights, 0..<counts.count, into: &counts)
            used.append(counts)
        }
        self.used = used
    }

    public var sourceCount: Int { used[0].count }

    /// Where sample `sample` of the run comes from.
    public func place(of sample: Int) -> Place {
        precondition(sample >= 0, "MixtureOrder: expected a sample from 0 on, got \(sample)")
        let index = segmentIndex(of: sample)
        let weights = segments[index].weights
        var (range, place) = (0..<weights.count, sample - segments[index].start)
        while range.count > 1 {
            let middle = (range.lowerBound + range.upperBound) / 2
            let before = MixtureOrder.left(of: place, weights, range, middle)
            if MixtureOrder.left(of: place + 1, weights, range, middle) > before {
                (range, place) = (range.lowerBound..<middle, before)
            } else {
                (range, place) = (middle..<range.upperBound, place - before)
            }
        }
        return Place(
            source: range.lowerBound, sample: used[index][range.lowerBound] + place)
    }

    /// Samples that each source has given before sample `sample` of the run.
    public func counts(before sample: Int) -> [Int] {
        let index = segmentIndex(of: max(0, sample - 1))
        var counts = used[index]
        MixtureOrder.count(
            sample - segments[index].start, segments[index].weights, 0..<counts.count,
            into: &counts)
        return counts
    }

    private func segmentIndex(of sample: Int) -> Int {
        (segments.firstIndex { $0.start > sample } ?? segments.count) - 1
    }

    private static func count(
        _ samples: Int, _ weights: [Int], _ range: Range<Int>, into counts: inout [Int]
    ) {
        if range.count == 1 {
            counts[range.lowerBound] += samples
            return
        }
        let middle = (range.lowerBound + range.upperBound) / 2
        let left = left(of: samples, weights, range, middle)
        count(left, weights, range.lowerBound..<middle, into: &counts)
        count(samples - left, weights, middle..<range.upperBound, into: &counts)
    }

    /// Of the first `samples` of the sources `range`, those of the sources before `middle`.
    private static func left(
        of samples: Int, _ weights: [Int], _ range: Range<Int>, _ middle: Int
    ) -> Int {
        let part = weights[range.lowerBound..<middle].reduce(0, +)
        let whole = weights[range].reduce(0, +)
        if part == whole { return samples }
        let product = samples.multipliedFullWidth(by: part)
        let (low, carries) = product.low.addingReportingOverflow(UInt(whole / 2))
        return whole.dividingFullWidth((product.high + (carries ? 1 : 0), low)).quotient
    }
}
