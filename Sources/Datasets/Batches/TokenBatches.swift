/// Training batches of next-token prediction from token shards, in the order of `SampleOrder`.
public struct TokenBatches: BatchSource {
    public let layout: BatchLayout
    public let order: SampleOrder
    private let stream: TokenStream

    /// `sampleLength` is T, the model's context. Expects an epoch to hold at least one step.
    public init(
        stream: TokenStream, sampleLength: Int, layout: BatchLayout, seed: UInt64
    ) throws(DatasetError) {
        order = try SampleOrder(tokenCount: stream.count, sampleLength: sampleLength, seed: seed)
        guard order.samplesPerEpoch >= layout.sequences else {
            throw DatasetError(
                .tooSmall,
                "training tokens: expected at least one step, \(layout.sequences) samples of "
                    + "\(sampleLength) tokens (\((layout.sequences + 1) * sampleLength) tokens), found "
                    + "\(order.samplesPerEpoch) samples in \(stream.count) tokens; "
                    + "use more text or fewer batch.sequences")
        }
        (self.stream, self.layout) = (stream, layout)
    }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let sequences = layout.sequences(ofMicroBatch: microBatch)
        return try Batch.nextToken(
            windows: sequences.map { order.window(ofSample: position + $0) },
            columns: order.sampleLength, firstSequence: sequences.lowerBound, from: stream)
    }

    public func targetWeight(position: Int) -> Double? {
        Double(layout.sequences * order.sampleLength)
    }

    public func blank(rows: Int) -> Batch {
        .blankNextToken(rows: rows, columns: order.sampleLength)
    }
}

/// Evaluation batches over a whole split: windows start at 0, T, 2T, …, each predicts its next tokens,
/// n − 1 targets in all. The last window may be shorter and is padded; the last batch may have fewer rows.
public struct EvaluationBatches: EvaluationSource {
    private let stream: TokenStream
    private let sampleLength: Int
    private let microBatch: Int
    private let windowCount: Int

    /// Expects at least two tokens.
    public init(
        stream: TokenStream, sampleLength: Int, microBatch: Int
    ) throws(DatasetError) {
        precondition(
            sampleLength > 0 && microBatch > 0,
            "EvaluationBatches: expected positive sizes, got \(sampleLength) and \(microBatch)")
        guard stream.count >= 2 else {
            throw DatasetError(
                .tooSmall,
                "validation tokens: expected at least 2, found \(stream.count); "
                    + "use more text or a larger validation_fraction")
        }
        (self.stream, self.sampleLength, self.microBatch) = (stream, sampleLength, microBatch)
        windowCount = (stream.count - 1 + sampleLength - 1) / sampleLength
    }

    public var batchCount: Int { (windowCount + microBatch - 1) / microBatch }

    public func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch {
        precondition(
            index >= 0 && index < batchCount, "EvaluationBatches: batch \(index) of \(batchCount)")
        let first = index * microBatch
        let windows = (first..<min(first + microBatch, windowCount)).map { window in
            window * sampleLength..<min((window + 1) * sampleLength + 1, stream.count)
        }
        return try Batch.nextToken(
            windows: windows, columns: sampleLength, firstSequence: first, from: stream)
    }
}
