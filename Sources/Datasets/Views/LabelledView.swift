/// The view of sequence classification: `tokens` [B, T], `lengths` [B] and `targets` [B, 1], the classes.
///
/// All parts of a record follow each other, each with its end behind it; what the model has no room for is cut off at
/// the right, but the last token stays the end.
public struct LabelledView: RecordView, Equatable {
    /// Tokens that the model reads, marks included.
    public let length: Int
    public let classes: Int
    /// Before the first part: `[CLS]` of BERT.
    public let begin: Int32?
    /// Behind each part: `[SEP]`.
    public let end: Int32?

    public init(length: Int, classes: Int, begin: Int32?, end: Int32?) {
        precondition(
            length > (begin == nil ? 0 : 1) + (end == nil ? 0 : 1) && classes > 0,
            "LabelledView: \(length) tokens, \(classes) classes")
        (self.length, self.classes, self.begin, self.end) = (length, classes, begin, end)
    }

    public var rowsPerRecord: Int { 1 }
    public var recordWeight: Double? { 1 }

    /// All tokens of a row, cut or not.
    private func whole(_ record: Record) -> [Int32] {
        var tokens: [Int32] = []
        if let begin { tokens.append(begin) }
        for part in record.parts {
            tokens += part.tokens
            if let end { tokens.append(end) }
        }
        return tokens
    }

    private func row(_ record: Record) -> [Int32] {
        let tokens = whole(record)
        guard tokens.count > length else { return tokens }
        guard let end else { return Array(tokens.prefix(length)) }
        return tokens.prefix(length - 1) + [end]
    }

    private func label(_ record: Record, _ number: Int) throws(DatasetError) -> Int32 {
        guard let label = record.label else {
            throw DatasetError(
                .mismatch,
                "record \(number): expected a class from 0 to \(classes - 1), found none; "
                    + "each text needs its label")
        }
        guard label >= 0 && label < classes else {
            throw DatasetError(
                .mismatch,
                "record \(number): expected a class from 0 to \(classes - 1), found \(label); "
                    + "does the model have as many classes as the data?")
        }
        return label
    }

    public func batch(
        records: [Record], numbers: [Int], firstSequence: Int
    ) throws(DatasetError) -> Batch {
        var labels: [Int32] = []
        for (record, number) in zip(records, numbers) {
            labels.append(try label(record, number))
        }
        return batch(records.map(row), labels, weight: 1, firstSequence: firstSequence)
    }

    /// A row without a token has the length 1, as attention needs something to look at.
    private func batch(
        _ rows: [[Int32]], _ labels: [Int32], weight: Float, firstSequence: Int
    ) -> Batch {
        let columns = Padding.columns(rows.map(\.count).max() ?? 0, limit: length)
        let tokens = rows.flatMap { $0 + [Int32](repeating: 0, count: columns - $0.count) }
        typealias Name = Batch.Name
        return Batch(
            fields: [
                Batch.Field(
                    name: Name.tokens, rows: rows.count, columns: columns, values: tokens),
                Batch.Field(
                    name: Name.lengths, rows: rows.count, extents: [],
                    values: .integers(rows.map { Int32(max(1, $0.count)) })),
                Batch.Field(name: Name.targets, rows: rows.count, columns: 1, values: labels),
            ], weights: [Float](repeating: weight, count: rows.count), sequences: rows.count,
            firstSequence: firstSequence)
    }

    public func blank(rows: Int) -> Batch {
        batch(
            Array(repeating: [], count: rows),
            [Int32](repeating: Batch.ignoredTarget, count: rows), weight: 0, firstSequence: 0)
    }

    public func census(of record: Record, number: Int) throws(DatasetError) -> RecordCensus {
        _ = try label(record, number)
        return RecordCensus(truncated: whole(record).count > length, targets: 1)
    }
}
