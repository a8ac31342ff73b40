/// The view of translation, summaries and whatever else makes one text of another: `source` parts for an encoder,
/// `target` parts for a decoder, each cut behind the tokens that the model has room for.
///
/// An empty target is its end alone; without an end such a record counts nothing.
public struct PairView: RecordView, Equatable {
    /// Tokens of a source, marks included, that the model reads.
    public let sourceLength: Int
    /// Tokens of a target likewise.
    public let targetLength: Int
    public let marks: SequenceMarks

    public init(sourceLength: Int, targetLength: Int, marks: SequenceMarks) {
        precondition(
            min(sourceLength, targetLength) > marks.count
                && max(sourceLength, targetLength) < 1 << 24,
            "PairView: expected \(marks.count + 1) to 2²⁴ − 1 tokens, got \(sourceLength) and "
                + "\(targetLength)")
        (self.sourceLength, self.targetLength) = (sourceLength, targetLength)
        self.marks = marks
    }

    public var rowsPerRecord: Int { 1 }
    public var recordWeight: Double? { nil }

    /// What the model is shown of so many tokens: with their marks, as far as there is room.
    func shown(source: Int, target: Int) -> (source: Int, target: Int) {
        (min(source + marks.count, sourceLength), min(target + marks.count, targetLength))
    }

    /// Columns for rows that are so long.
    func columns(source: Int, target: Int) -> (source: Int, target: Int) {
        (
            Padding.columns(source, limit: sourceLength),
            Padding.columns(target, limit: targetLength)
        )
    }

    func pair(_ record: Record, number: Int) throws(DatasetError) -> SequencePair {
        let (source, target) = (record.tokens(.source), record.tokens(.target))
        guard let source, let target else {
            throw DatasetError(
                .mismatch,
                "record \(number): expected a source and a target, found "
                    + "\(record.roles); pairs are records with both")
        }
        return SequencePair(
            source: marks.around(source, limit: sourceLength),
            target: marks.around(target, limit: targetLength))
    }

    public func batch(
        records: [Record], numbers: [Int], firstSequence: Int
    ) throws(DatasetError) -> Batch {
        var pairs: [SequencePair] = []
        for (record, number) in zip(records, numbers) {
            pairs.append(try pair(record, number: number))
        }
        let columns = columns(
            source: pairs.map(\.source.count).max() ?? 0,
            target: pairs.map(\.target.count).max() ?? 0)
        return .sequencePairs(
            pairs, start: marks.start, sourceColumns: columns.source,
            targetColumns: columns.target, firstSequence: firstSequence)
    }

    public func blank(rows: Int) -> Batch {
        let (source, target) = columns(source: 1, target: 1)
        return .blankSequencePairs(rows: rows, sourceColumns: source, targetColumns: target)
    }

    public func census(of record: Record, number: Int) throws(DatasetError) -> RecordCensus {
        let pair = try pair(record, number: number)
        let isWhole =
            (record.tokens(.source) ?? []).count + marks.count <= sourceLength
            && (record.tokens(.target) ?? []).count + marks.count <= targetLength
        return RecordCensus(truncated: !isWhole, targets: pair.target.count)
    }
}

extension Record {
    /// The tokens of the parts with `role`, one after the other; nil where there is no such part.
    func tokens(_ role: RecordRole) -> [Int32]? {
        let parts = parts.filter { $0.role == role }
        return parts.isEmpty ? nil : parts.flatMap(\.tokens)
    }

    /// In words.
    var roles: String {
        parts.isEmpty ? "no part" : parts.map { "\($0.role)" }.joined(separator: ", ")
    }
}
