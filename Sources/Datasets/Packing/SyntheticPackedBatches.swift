/// Rows of several pseudo-random documents without a file, for measuring speed: about four a row, which they fill.
public struct SyntheticPackedBatches: BatchSource {
    private let tokens: SyntheticBatches
    private let rowLength: Int
    private let seed: UInt64

    /// Keeps the draw of lengths apart from that of tokens, which has none.
    private static let lengthStream: UInt64 = 22

    public init(rowLength: Int, vocabularySize: Int, layout: BatchLayout, seed: UInt64) {
        tokens = SyntheticBatches(
            sampleLength: rowLength, vocabularySize: vocabularySize, layout: layout, seed: seed)
        (self.rowLength, self.seed) = (rowLength, seed)
    }

    public var layout: BatchLayout { tokens.layout }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let batch = try tokens.trainingBatch(position: position, microBatch: microBatch)
        let (inputs, targets) = (
            batch[Batch.Name.tokens].integers, batch[Batch.Name.targets].integers
        )
        var arrays = PackedArrays(rows: batch.sequences, columns: rowLength)
        for row in 0..<batch.sequences {
            var (place, segment) = (0, 0 as Int32)
            while place < rowLength {
                let bits = CounterHash.bits(
                    seed, SyntheticPackedBatches.lengthStream,
                    UInt64(position + batch.firstSequence + row), UInt64(segment))
                let drawn = 1 + CounterHash.scaled(bits, below: (rowLength + 1) / 2)
                let count = min(rowLength - place, drawn)
                let first = row * rowLength + place
                let window = Array(inputs[first..<first + count]) + [targets[first + count - 1]]
                arrays.put(window, count: count, segment: segment, at: first)
                (place, segment) = (place + count, segment + 1)
            }
        }
        return arrays.batch(firstSequence: batch.firstSequence)
    }

    public func targetWeight(position: Int) -> Double? { Double(layout.sequences * rowLength) }

    public func blank(rows: Int) -> Batch { .blankPacked(rows: rows, columns: rowLength) }
}
