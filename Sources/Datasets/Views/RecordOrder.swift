/// Which record the g-th sample of a run is: a pure function of the seed and g.
///
/// Sample g is record π(g mod N) of N, π being a permutation that is drawn for epoch ⌊g/N⌋: each record once an epoch.
public struct RecordOrder: Sendable, Equatable {
    /// N.
    public let count: Int
    public let seed: UInt64
    private let purpose: Draws.Purpose

    /// Expects at least one record.
    public init(count: Int, seed: UInt64) { self.init(count: count, seed: seed, .records) }

    /// An order of records or of what else is drawn in its place.
    init(count: Int, seed: UInt64, _ purpose: Draws.Purpose) {
        precondition(count > 0, "RecordOrder: expected at least 1 record, got \(count)")
        (self.count, self.seed, self.purpose) = (count, seed, purpose)
    }

    public func record(ofSample sample: Int) -> Int {
        precondition(sample >= 0, "RecordOrder: expected a sample from 0 on, got \(sample)")
        let (epoch, index) = sample.quotientAndRemainder(dividingBy: count)
        let key = CounterHash.bits(seed, purpose.rawValue, UInt64(epoch))
        return Permutation(count: count, key: key)[index]
    }
}
