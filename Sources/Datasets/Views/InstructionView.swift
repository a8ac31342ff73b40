/// The view of instructions: a conversation is one sequence of next-token prediction, `tokens` and `targets` [B, T],
/// in which only the tokens of `response` parts, and the end of each, are targets that count.
///
/// What is longer than the model's context is cut at the left, so that the last answer stays, or not shown at all: such
/// a record takes its place in a batch as a row that counts nothing. A record without a token of a response counts
/// nothing either. `census` says how many there are.
public struct InstructionView: RecordView, Equatable {
    public enum Overflow: Sendable {
        /// The first tokens are left out; `begin` stays.
        case cutsLeft
        case drops
    }

    /// T, targets of a row.
    public let length: Int
    /// Before the conversation.
    public let begin: Int32?
    /// Behind each response; nil where the responses have theirs already.
    public let end: Int32?
    public let overflow: Overflow

    public init(length: Int, begin: Int32?, end: Int32?, overflow: Overflow = .cutsLeft) {
        precondition(length > 0, "InstructionView: expected at least 1 token, got \(length)")
        (self.length, self.begin, self.end) = (length, begin, end)
        self.overflow = overflow
    }

    public var rowsPerRecord: Int { 1 }
    public var recordWeight: Double? { nil }

    /// The row of a record, and whether something of it is missing.
    private func row(_ record: Record) -> (sequence: WeightedSequence, isCut: Bool) {
        var body = WeightedSequence()
        for part in record.parts {
            body.append(part.tokens, counts: part.role == .response)
            if part.role == .response, let end { body.append([end], counts: true) }
        }
        var row = WeightedSequence()
        if let begin { row.append([begin], counts: false) }
        let excess = row.tokens.count + body.tokens.count - (length + 1)
        guard excess > 0 else {
            row.append(body)
            return (row, false)
        }
        guard overflow == .cutsLeft else { return (WeightedSequence(), true) }
        row.append(body.dropFirst(excess))
        return (row, true)
    }

    public func batch(
        records: [Record], numbers: [Int], firstSequence: Int
    ) throws(DatasetError) -> Batch {
        .weightedNextToken(
            records.map { row($0).sequence }, limit: length, firstSequence: firstSequence)
    }

    public func blank(rows: Int) -> Batch {
        .weightedNextToken(
            Array(repeating: WeightedSequence(), count: rows), limit: length, firstSequence: 0)
    }

    public func census(of record: Record, number: Int) throws(DatasetError) -> RecordCensus {
        let (sequence, isCut) = row(record)
        return RecordCensus(truncated: isCut, targets: sequence.targetCount)
    }
}
