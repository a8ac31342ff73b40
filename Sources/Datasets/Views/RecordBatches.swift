// Batches that a view makes of records: what becomes of a record is the view's business, which records there are, and
// in what order, is the same for all.

/// What becomes of records. A pure function of them: nothing is drawn by chance but their order.
public protocol RecordView: Sendable {
    /// Rows that a record has in a batch.
    var rowsPerRecord: Int { get }
    /// Sum of the weights of a record where all have the same.
    var recordWeight: Double? { get }

    /// The rows of each record, padded to the longest.
    ///
    /// - Parameter numbers: of the records, for errors.
    /// - Throws: where a record lacks what the view needs.
    func batch(
        records: [Record], numbers: [Int], firstSequence: Int
    ) throws(DatasetError) -> Batch

    /// A batch of so many records that counts nothing.
    func blank(rows: Int) -> Batch

    /// What of a record a model will see.
    func census(of record: Record, number: Int) throws(DatasetError) -> RecordCensus
}

extension RecordView {
    func batch(
        _ numbers: [Int], of source: any RecordSource, firstSequence: Int
    ) throws(DatasetError) -> Batch {
        var records: [Record] = []
        for number in numbers { records.append(try source.record(number)) }
        return try batch(records: records, numbers: numbers, firstSequence: firstSequence)
    }

    /// What of the records in `range` a model will see: nothing that is cut or counts nothing goes by silently. Reads
    /// them all; ranks or threads may share the work and add up the results.
    public func census(
        of source: any RecordSource, in range: Range<Int>
    ) throws(DatasetError) -> RecordCensus {
        var census = RecordCensus()
        for number in range {
            census.add(try self.census(of: source.record(number), number: number))
        }
        return census
    }
}

/// How many records a view shows whole, cut or without a target.
public struct RecordCensus: Sendable, Equatable {
    public var records = 0
    /// Records that are longer than the model's context, of which a part is left out.
    public var truncated = 0
    /// Records of which no target counts: they take their place in batches, and teach nothing.
    public var withoutTarget = 0
    /// Targets that count.
    public var targets = 0

    public init() {}

    init(truncated: Bool, targets: Int) {
        records = 1
        self.truncated = truncated ? 1 : 0
        withoutTarget = targets == 0 ? 1 : 0
        self.targets = targets
    }

    public mutating func add(_ other: RecordCensus) {
        records += other.records
        truncated += other.truncated
        withoutTarget += other.withoutTarget
        targets += other.targets
    }
}

/// Training batches of records, each once an epoch in the order of `RecordOrder`; a sequence of `layout` is a record.
public struct RecordBatches: BatchSource {
    public let layout: BatchLayout
    public let order: RecordOrder
    private let records: any RecordSource
    private let view: any RecordView

    /// Expects at least as many records as a step has sequences.
    public init(
        records: any RecordSource, view: any RecordView, layout: BatchLayout, seed: UInt64
    ) throws(DatasetError) {
        guard records.count >= layout.sequences else {
            throw DatasetError(
                .tooSmall,
                "training records: expected at least one step, \(layout.sequences), found "
                    + "\(records.count); use more records or fewer batch.sequences")
        }
        order = RecordOrder(count: records.count, seed: seed)
        (self.records, self.view, self.layout) = (records, view, layout)
    }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let sequences = layout.sequences(ofMicroBatch: microBatch)
        return try view.batch(
            sequences.map { order.record(ofSample: position + $0) }, of: records,
            firstSequence: sequences.lowerBound * view.rowsPerRecord)
    }

    public func targetWeight(position: Int) -> Double? {
        view.recordWeight.map { $0 * Double(layout.sequences) }
    }

    public func blank(rows: Int) -> Batch { view.blank(rows: rows) }
}

/// Evaluation batches of records: each once, in their order; the last batch may have fewer.
public struct RecordEvaluationBatches: EvaluationSource {
    private let records: any RecordSource
    private let view: any RecordView
    private let microBatch: Int

    /// Expects at least one record.
    ///
    /// - Parameter microBatch: records of a batch.
    public init(
        records: any RecordSource, view: any RecordView, microBatch: Int
    ) throws(DatasetError) {
        precondition(
            microBatch > 0, "RecordEvaluationBatches: expected rows, got \(microBatch) a batch")
        guard records.count > 0 else {
            throw DatasetError(
                .tooSmall,
                "validation records: expected at least 1, found 0; use more records or a larger "
                    + "validation_fraction")
        }
        (self.records, self.view, self.microBatch) = (records, view, microBatch)
    }

    public var batchCount: Int { (records.count + microBatch - 1) / microBatch }

    public func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch {
        precondition(
            index >= 0 && index < batchCount,
            "RecordEvaluationBatches: batch \(index) of \(batchCount)")
        let first = index * microBatch
        return try view.batch(
            Array(first..<min(first + microBatch, records.count)), of: records,
            firstSequence: first * view.rowsPerRecord)
    }
}
