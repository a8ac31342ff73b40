/// Which tokens the g-th sample of a run is: a pure function of the seed and g.
///
/// A sample is a window of T + 1 tokens: T inputs and, one further, T targets. An epoch cuts the stream
/// into W = max(1, ⌊n/T⌋ − 1) windows that follow each other (the last target of one is the first input
/// of the next), from a phase in [0, min(T, n − W·T)) that is drawn for the epoch, and goes through them
/// in an order that is drawn for the epoch: each window exactly once, and other window borders in every
/// epoch. Sample g is window g mod W of epoch ⌊g/W⌋, so the position in the data is one number, the samples
/// consumed so far, whatever the ranks and the batch.
public struct SampleOrder: Sendable {
    public let tokenCount: Int
    /// T, the targets of a sample.
    public let sampleLength: Int
    public let seed: UInt64
    /// W, the samples of an epoch.
    public let samplesPerEpoch: Int

    /// Expects at least `sampleLength` + 1 tokens.
    public init(tokenCount: Int, sampleLength: Int, seed: UInt64) throws(DatasetError) {
        precondition(
            sampleLength > 0,
            "SampleOrder: expected samples of at least 1 token, got \(sampleLength)")
        guard tokenCount > sampleLength else {
            throw DatasetError(
                .tooSmall,
                "training tokens: expected at least one sample, \(sampleLength + 1) tokens, found "
                    + "\(tokenCount); use more text or a shorter context_length")
        }
        (self.tokenCount, self.sampleLength, self.seed) = (tokenCount, sampleLength, seed)
        samplesPerEpoch = max(1, tokenCount / sampleLength - 1)
    }

    /// The tokens of sample `sample`, counted over the whole run from 0: T + 1 of them.
    public func window(ofSample sample: Int) -> Range<Int> {
        precondition(sample >= 0, "SampleOrder: expected a sample from 0 on, got \(sample)")
        let (epoch, index) = sample.quotientAndRemainder(dividingBy: samplesPerEpoch)
        let order = Permutation(
            count: samplesPerEpoch,
            key: CounterHash.bits(seed, Stream.order.rawValue, UInt64(epoch)))
        let start = phase(epoch: epoch) + order[index] * sampleLength
        return start..<start + sampleLength + 1
    }

    /// Tokens before the first window of an epoch.
    func phase(epoch: Int) -> Int {
        let choices = min(sampleLength, tokenCount - samplesPerEpoch * sampleLength)
        let bits = CounterHash.bits(seed, Stream.phase.rawValue, UInt64(epoch))
        return CounterHash.scaled(bits, below: choices)
    }

    /// The seed of one source of a mixture; that of the first is the run's, so that it is read as it would be alone.
    public static func seed(_ seed: UInt64, ofSource number: Int) -> UInt64 {
        number == 0 ? seed : CounterHash.bits(seed, Stream.source.rawValue, UInt64(number))
    }

    /// Keeps the draws for different purposes apart.
    private enum Stream: UInt64 {
        case order = 1
        case phase = 2
        case source = 3
    }
}
