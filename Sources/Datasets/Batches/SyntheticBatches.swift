/// Pseudo-random tokens without a file, for measuring speed: evenly distributed, with nothing to learn.
public struct SyntheticBatches: BatchSource {
    public let layout: BatchLayout
    private let sampleLength: Int
    private let vocabularySize: Int
    private let seed: UInt64

    public init(sampleLength: Int, vocabularySize: Int, layout: BatchLayout, seed: UInt64) {
        precondition(
            sampleLength > 0 && vocabularySize > 0,
            "SyntheticBatches: expected positive sizes, got \(sampleLength) and \(vocabularySize)")
        (self.sampleLength, self.vocabularySize) = (sampleLength, vocabularySize)
        (self.layout, self.seed) = (layout, seed)
    }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let sequences = layout.sequences(ofMicroBatch: microBatch)
        var (tokens, targets): ([Int32], [Int32]) = ([], [])
        for sequence in sequences {
            tokens += (0..<sampleLength).map { token(sample: position + sequence, column: $0) }
            targets += (1...sampleLength).map { token(sample: position + sequence, column: $0) }
        }
        return Batch.nextToken(
            tokens: tokens, targets: targets, weights: [Float](repeating: 1, count: tokens.count),
            columns: sampleLength, firstSequence: sequences.lowerBound)
    }

    public func targetWeight(position: Int) -> Double? { Double(layout.sequences * sampleLength) }

    public func blank(rows: Int) -> Batch {
        .blankNextToken(rows: rows, columns: sampleLength)
    }

    private func token(sample: Int, column: Int) -> Int32 {
        let bits = CounterHash.bits(seed, UInt64(sample), UInt64(column))
        return Int32(CounterHash.scaled(bits, below: vocabularySize))
    }
}
