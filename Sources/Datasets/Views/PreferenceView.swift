/// The view of preferences: a prompt with two answers is two rows of next-token prediction, the better answer in row
/// 2i and the worse one in row 2i + 1. Only the tokens of the answers, and the end of each, are targets that count.
///
/// What stands before the answers, whatever its role, is the prompt, the same in both rows. Where the longer answer
/// leaves no room for all of it, its first tokens are left out in both, down to its last; what an answer then has too
/// much is cut off at its end.
public struct PreferenceView: RecordView, Equatable {
    /// T, targets of a row.
    public let length: Int
    /// Before the prompt; is never left out.
    public let begin: Int32?
    /// Behind each answer; nil where the answers have theirs already.
    public let end: Int32?

    public init(length: Int, begin: Int32?, end: Int32?) {
        precondition(length > 1, "PreferenceView: expected at least 2 tokens, got \(length)")
        (self.length, self.begin, self.end) = (length, begin, end)
    }

    public var rowsPerRecord: Int { 2 }
    public var recordWeight: Double? { nil }

    /// Both rows, and whether something of them is missing.
    private func rows(
        _ record: Record, _ number: Int
    ) throws(DatasetError) -> (rows: [WeightedSequence], isCut: Bool) {
        guard let chosen = record.tokens(.chosen), let rejected = record.tokens(.rejected) else {
            throw DatasetError(
                .mismatch,
                "record \(number): expected a chosen and a rejected answer, found "
                    + "\(record.roles)")
        }
        let answers = [chosen, rejected].map { answer in end.map { answer + [$0] } ?? answer }
        var start = WeightedSequence()
        if let begin { start.append([begin], counts: false) }
        let prompt = record.parts.filter { $0.role != .chosen && $0.role != .rejected }
            .flatMap(\.tokens)
        let room = length + 1 - start.tokens.count
        let longest = answers.map(\.count).max() ?? 0
        let kept = min(prompt.count, max(room - longest, 1))
        start.append(prompt.suffix(kept), counts: false)
        let rows = answers.map { answer in
            var row = start
            row.append(answer.prefix(room - kept), counts: true)
            return row
        }
        return (rows, prompt.count + longest > room)
    }

    public func batch(
        records: [Record], numbers: [Int], firstSequence: Int
    ) throws(DatasetError) -> Batch {
        var all: [WeightedSequence] = []
        for (record, number) in zip(records, numbers) { all += try rows(record, number).rows }
        return .weightedNextToken(all, limit: length, firstSequence: firstSequence)
    }

    /// - Parameter rows: records; the batch has twice as many rows.
    public func blank(rows: Int) -> Batch {
        .weightedNextToken(
            Array(repeating: WeightedSequence(), count: 2 * rows), limit: length, firstSequence: 0)
    }

    /// A record of which one answer counts nothing has no preference to learn from.
    public func census(of record: Record, number: Int) throws(DatasetError) -> RecordCensus {
        let (rows, isCut) = try rows(record, number)
        let targets = rows.map(\.targetCount)
        var census = RecordCensus(truncated: isCut, targets: targets.reduce(0, +))
        census.withoutTarget = targets.contains(0) ? 1 : 0
        return census
    }
}
