/// How the sequences of a step are cut into micro-batches.
public struct BatchLayout: Sendable, Equatable {
    /// Sequences of the global batch of a step.
    public let sequences: Int
    /// Sequences of a micro-batch; divides `sequences`.
    public let microBatch: Int

    public init(sequences: Int, microBatch: Int) {
        precondition(
            sequences > 0 && microBatch > 0 && sequences % microBatch == 0,
            "BatchLayout: expected a micro-batch that divides \(sequences), got \(microBatch)")
        (self.sequences, self.microBatch) = (sequences, microBatch)
    }

    public var microBatchCount: Int { sequences / microBatch }

    /// The sequences of micro-batch `index`, numbered within the step.
    public func sequences(ofMicroBatch index: Int) -> Range<Int> {
        precondition(
            index >= 0 && index < microBatchCount,
            "BatchLayout: micro-batch \(index) of \(microBatchCount)")
        return index * microBatch..<(index + 1) * microBatch
    }
}

/// Where training batches come from: a pure function of position and micro-batch, so that any rank makes
/// its own and a resumed run goes on where it was.
public protocol BatchSource: Sendable {
    var layout: BatchLayout { get }

    /// Micro-batch `microBatch` of the step that starts after `position` samples of the run were consumed
    /// (by all ranks together): sequences `layout.sequences(ofMicroBatch:)` of its global batch.
    func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch

    /// N, the sum of all weights in the global batch of that step, where arithmetic gives it; nil: it is known when
    /// the batches are read, and the ranks add it up before their first backward pass.
    func targetWeight(position: Int) -> Double?

    /// A batch of so many sequences that counts nothing: what a rank computes on that could not read its own.
    func blank(rows: Int) -> Batch
}

/// Where evaluation batches come from: the same list whoever asks.
public protocol EvaluationSource: Sendable {
    /// Number of evaluation micro-batches.
    var batchCount: Int { get }
    func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch
    /// What is reported by itself too, in order and together everything; empty where nothing is.
    var parts: [EvaluationPart] { get }
}

extension EvaluationSource {
    public var parts: [EvaluationPart] { [] }
}

/// Batches of an evaluation that come from one source.
public struct EvaluationPart: Sendable, Equatable {
    public let name: String
    public let batches: Range<Int>
}
