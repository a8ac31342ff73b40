// What encoder–decoders read: a sequence to understand and one to write.

/// The tokens that a model expects around sequences.
///
/// | | start | begin | end |
/// | --- | --- | --- | --- |
/// | T5 | padding, 0 | – | 1 |
/// | Marian | padding | – | 0 |
/// | BART | end, 2 | 0 | 2 |
public struct SequenceMarks: Sendable, Equatable {
    /// What a decoder starts with: its inputs are the targets, one place further, behind it.
    public var start: Int32
    /// Before each sequence, source and target alike.
    public var begin: Int32?
    /// Behind each sequence.
    public var end: Int32?

    public init(start: Int32, begin: Int32? = nil, end: Int32? = nil) {
        (self.start, self.begin, self.end) = (start, begin, end)
    }

    /// Tokens around a sequence.
    package var count: Int { (begin == nil ? 0 : 1) + (end == nil ? 0 : 1) }

    /// `tokens` with what stands around them, of which only so many first ones are kept that all have room.
    package func around(_ tokens: some Collection<Int32>, limit: Int) -> [Int32] {
        var sequence: [Int32] = []
        if let begin { sequence.append(begin) }
        sequence += tokens.prefix(limit - count)
        if let end { sequence.append(end) }
        return sequence
    }
}

/// A row of an encoder–decoder's batch, with all marks but the decoder's start.
struct SequencePair: Equatable {
    var source: [Int32]
    var target: [Int32]
}

/// Rows padded to the longest take a length of which kernels make whole vectors.
enum Padding {
    static let multiple = 8

    /// The columns for rows of at most `length` tokens where the model takes no more than `limit`.
    static func columns(_ length: Int, limit: Int) -> Int {
        min((max(length, 1) + multiple - 1) / multiple * multiple, limit)
    }
}

extension Batch {
    /// `tokens` [B, S] and `lengths` [B] for the encoder; `decoder_tokens` and `targets` [B, T] for the decoder, which
    /// sees at each place what stands before the target. Padding is token 0, no target, weight 0; a source without a
    /// token has the length 1, as attention needs something to look at.
    static func sequencePairs(
        _ pairs: [SequencePair], start: Int32, sourceColumns: Int, targetColumns: Int,
        firstSequence: Int
    ) -> Batch {
        let rows = pairs.count
        var tokens = [Int32](repeating: 0, count: rows * sourceColumns)
        var decoderTokens = [Int32](repeating: 0, count: rows * targetColumns)
        var targets = [Int32](repeating: ignoredTarget, count: rows * targetColumns)
        var weights = [Float](repeating: 0, count: rows * targetColumns)
        for (row, pair) in pairs.enumerated() {
            for (column, token) in pair.source.enumerated() {
                tokens[row * sourceColumns + column] = token
            }
            let first = row * targetColumns
            decoderTokens[first] = start
            for (column, token) in pair.target.enumerated() {
                (targets[first + column], weights[first + column]) = (token, 1)
            }
            for (column, token) in pair.target.dropLast().enumerated() {
                decoderTokens[first + column + 1] = token
            }
        }
        return Batch(
            fields: [
                Field(name: Name.tokens, rows: rows, columns: sourceColumns, values: tokens),
                Field(
                    name: Name.lengths, rows: rows, extents: [],
                    values: .integers(pairs.map { Int32(max(1, $0.source.count)) })),
                Field(
                    name: Name.decoderTokens, rows: rows, columns: targetColumns,
                    values: decoderTokens),
                Field(name: Name.targets, rows: rows, columns: targetColumns, values: targets),
            ], weights: weights, sequences: rows, firstSequence: firstSequence)
    }

    /// A batch that counts nothing.
    static func blankSequencePairs(rows: Int, sourceColumns: Int, targetColumns: Int) -> Batch {
        sequencePairs(
            Array(repeating: SequencePair(source: [], target: []), count: rows), start: 0,
            sourceColumns: sourceColumns, targetColumns: targetColumns, firstSequence: 0)
    }
}
