// Batches that a view makes of windows of one long text: what is done to a window is the view's business, which
// windows there are, and in what order, is the same for all.

/// What becomes of windows of a text. A pure function of tokens and the number of the sample.
public protocol WindowView: Sendable {
    /// Tokens of a window.
    var windowLength: Int { get }
    /// Targets of a full window.
    var targetCount: Int { get }
    var seed: UInt64 { get }

    /// A row for each window, none of them empty; those at the end of a split may be shorter.
    ///
    /// - Parameter samples: their numbers over the whole run, or within the split for an evaluation.
    func batch(windows: [[Int32]], samples: [Int], firstSequence: Int) -> Batch

    /// A batch of the shape of others that counts nothing.
    func blank(rows: Int) -> Batch
}

extension WindowView {
    fileprivate func batch(
        _ windows: [Range<Int>], samples: [Int], firstSequence: Int, from stream: TokenStream
    ) throws(DatasetError) -> Batch {
        var rows: [[Int32]] = []
        for window in windows {
            var row = [Int32](repeating: 0, count: window.count)
            try stream.copy(window, into: &row)
            rows.append(row)
        }
        return batch(windows: rows, samples: samples, firstSequence: firstSequence)
    }
}

/// Training batches of a view of windows, in the order of `SampleOrder`, the last token of whose windows is left out.
public struct WindowBatches: BatchSource {
    public let layout: BatchLayout
    private let view: any WindowView
    private let order: SampleOrder
    private let stream: TokenStream

    /// Expects an epoch to hold at least one step.
    public init(
        stream: TokenStream, view: any WindowView, layout: BatchLayout
    ) throws(DatasetError) {
        let batches = try TokenBatches(
            stream: stream, sampleLength: view.windowLength, layout: layout, seed: view.seed)
        (order, self.layout) = (batches.order, layout)
        (self.view, self.stream) = (view, stream)
    }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let sequences = layout.sequences(ofMicroBatch: microBatch)
        return try view.batch(
            sequences.map { order.window(ofSample: position + $0).dropLast() },
            samples: sequences.map { position + $0 }, firstSequence: sequences.lowerBound,
            from: stream)
    }

    public func targetWeight(position: Int) -> Double? {
        Double(layout.sequences * view.targetCount)
    }

    public func blank(rows: Int) -> Batch { view.blank(rows: rows) }
}

/// Evaluation batches of a view over a whole split: windows start at 0, L, 2L, …, always the same; the last may be
/// shorter, and the last batch may have fewer rows.
public struct WindowEvaluationBatches: EvaluationSource {
    private let stream: TokenStream
    private let view: any WindowView
    private let microBatch: Int

    /// Expects at least one token.
    public init(
        stream: TokenStream, view: any WindowView, microBatch: Int
    ) throws(DatasetError) {
        precondition(
            microBatch > 0, "WindowEvaluationBatches: expected rows, got \(microBatch) a batch")
        guard stream.count > 0 else {
            throw DatasetError(
                .tooSmall,
                "validation tokens: expected at least 1, found 0; use more text or a larger "
                    + "validation_fraction")
        }
        (self.stream, self.view, self.microBatch) = (stream, view, microBatch)
    }

    private var windowCount: Int { (stream.count + view.windowLength - 1) / view.windowLength }

    public var batchCount: Int { (windowCount + microBatch - 1) / microBatch }

    public func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch {
        precondition(
            index >= 0 && index < batchCount,
            "WindowEvaluationBatches: batch \(index) of \(batchCount)")
        let first = index * microBatch
        let windows = first..<min(first + microBatch, windowCount)
        return try view.batch(
            windows.map {
                $0 * view.windowLength..<min(($0 + 1) * view.windowLength, stream.count)
            }, samples: Array(windows), firstSequence: first, from: stream)
    }
}
