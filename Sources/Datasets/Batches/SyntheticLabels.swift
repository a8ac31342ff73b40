/// Pseudo-random tokens with pseudo-random classes, of the whole sequence or of each token, for measuring speed.
public struct SyntheticLabels: BatchSource {
    private let tokens: SyntheticBatches
    private let sampleLength: Int
    private let targets: Int
    private let classes: Int

    /// - Parameter targets: of a sequence: 1, or one a token.
    public init(
        sampleLength: Int, vocabularySize: Int, targets: Int, classes: Int, layout: BatchLayout,
        seed: UInt64
    ) {
        tokens = SyntheticBatches(
            sampleLength: sampleLength, vocabularySize: vocabularySize, layout: layout, seed: seed)
        (self.sampleLength, self.targets, self.classes) = (sampleLength, targets, classes)
    }

    public var layout: BatchLayout { tokens.layout }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let batch = try tokens.trainingBatch(position: position, microBatch: microBatch)
        let labels = batch[Batch.Name.targets].integers
        return labelled(
            batch, (0..<batch.sequences * targets).map { labels[$0] % Int32(classes) }, weight: 1)
    }

    public func targetWeight(position: Int) -> Double? { Double(layout.sequences * targets) }

    public func blank(rows: Int) -> Batch {
        labelled(
            tokens.blank(rows: rows), Array(repeating: Batch.ignoredTarget, count: rows * targets),
            weight: 0)
    }

    private func labelled(_ batch: Batch, _ labels: [Int32], weight: Float) -> Batch {
        let rows = batch.sequences
        return Batch(
            fields: [
                batch[Batch.Name.tokens],
                Batch.Field(
                    name: Batch.Name.lengths, rows: rows, extents: [],
                    values: .integers(Array(repeating: Int32(sampleLength), count: rows))),
                Batch.Field(
                    name: Batch.Name.targets, rows: rows, columns: targets, values: labels),
            ], weights: Array(repeating: weight, count: labels.count), sequences: rows,
            firstSequence: batch.firstSequence)
    }
}
