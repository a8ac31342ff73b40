/// Pseudo-random pairs of sequences without padding, for measuring speed.
public struct SyntheticPairs: BatchSource {
    private let sources: SyntheticBatches
    private let targets: SyntheticBatches
    private let lengths: (source: Int, target: Int)
    public let layout: BatchLayout

    /// - Parameters:
    ///   - source: tokens of each source.
    ///   - target: tokens of each target.
    ///   - rows: of a sequence of the layout, where that is a group of pairs.
    public init(
        source: Int, target: Int, rows: Int = 1, vocabularySize: Int, layout: BatchLayout,
        seed: UInt64
    ) {
        let pairs = BatchLayout(
            sequences: rows * layout.sequences, microBatch: rows * layout.microBatch)
        func batches(_ length: Int, _ seed: UInt64) -> SyntheticBatches {
            SyntheticBatches(
                sampleLength: length, vocabularySize: vocabularySize, layout: pairs, seed: seed)
        }
        (sources, targets) = (batches(source, seed), batches(target, seed &+ 1))
        (lengths, self.layout) = ((source, target), layout)
    }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        try pairs(
            sources.trainingBatch(position: position, microBatch: microBatch),
            targets.trainingBatch(position: position, microBatch: microBatch))
    }

    public func targetWeight(position: Int) -> Double? { targets.targetWeight(position: position) }

    public func blank(rows: Int) -> Batch {
        pairs(sources.blank(rows: rows), targets.blank(rows: rows))
    }

    private func pairs(_ source: Batch, _ target: Batch) -> Batch {
        typealias Name = Batch.Name
        let rows = source.sequences
        return Batch(
            fields: [
                source[Name.tokens],
                Batch.Field(
                    name: Name.lengths, rows: rows, extents: [],
                    values: .integers(Array(repeating: Int32(lengths.source), count: rows))),
                Batch.Field(
                    name: Name.decoderTokens, rows: rows, columns: lengths.target,
                    values: target[Name.tokens].integers),
                target[Name.targets],
            ], weights: target.weights, sequences: rows, firstSequence: source.firstSequence)
    }
}
