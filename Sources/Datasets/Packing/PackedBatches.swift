// The view of next-token prediction inside documents: rows of whole documents, as far as they fit, none of which sees
// another. `segments` and `positions` tell a model where each begins.

extension Batch.Name {
    /// The document within its row of each token [B, T], from 0; padding has a number of its own, the last.
    public static let segments = "segments"
    /// The place of each token within its piece of a document [B, T], from 0.
    public static let positions = "positions"
}

/// Training batches of whole documents.
///
/// An epoch has every row once, in an order that is drawn for it. Sample g is number g mod N of epoch ⌊g/N⌋, N being
/// the rows of an epoch: the position in the data is one number, whatever the ranks and the batch.
public struct PackedBatches: BatchSource {
    public let layout: BatchLayout
    private let rows: PackedRows
    private let stream: TokenStream
    private let seed: UInt64

    /// Keeps the draw of the order apart from those of `SampleOrder` and `Masking`.
    private static let orderStream: UInt64 = 21

    /// - Parameters:
    ///   - stream: of whose documents `rows` are. Expects an epoch to hold at least one step.
    public init(
        stream: TokenStream, rows: PackedRows, layout: BatchLayout, seed: UInt64
    ) throws(DatasetError) {
        guard rows.count >= layout.sequences else {
            throw DatasetError(
                .tooSmall,
                "training documents: expected at least one step, \(layout.sequences) rows of "
                    + "\(rows.rowLength) tokens, found \(rows.count) rows; use more text or fewer "
                    + "batch.sequences")
        }
        (self.stream, self.rows) = (stream, rows)
        (self.layout, self.seed) = (layout, seed)
    }

    public var rowsPerEpoch: Int { rows.count }

    /// The row that is sample `sample`, counted over the whole run from 0.
    public func row(ofSample sample: Int) -> Int {
        precondition(sample >= 0, "PackedBatches: expected a sample from 0 on, got \(sample)")
        let (epoch, index) = sample.quotientAndRemainder(dividingBy: rows.count)
        let key = CounterHash.bits(seed, PackedBatches.orderStream, UInt64(epoch))
        return Permutation(count: rows.count, key: key)[index]
    }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let sequences = layout.sequences(ofMicroBatch: microBatch)
        return try Batch.packed(
            sequences.map { row(ofSample: position + $0) }, of: rows,
            firstSequence: sequences.lowerBound, from: stream)
    }

    /// Padding differs from row to row.
    public func targetWeight(position: Int) -> Double? { nil }

    public func blank(rows count: Int) -> Batch {
        .blankPacked(rows: count, columns: rows.rowLength)
    }
}

/// Evaluation batches of whole documents: every row once, region by region. The last batch may have fewer rows.
public struct PackedEvaluationBatches: EvaluationSource {
    private let rows: PackedRows
    private let stream: TokenStream
    private let microBatch: Int

    /// Expects at least one token that has a target.
    public init(
        stream: TokenStream, rows: PackedRows, microBatch: Int
    ) throws(DatasetError) {
        precondition(
            microBatch > 0,
            "PackedEvaluationBatches: expected at least 1 sequence, got \(microBatch)")
        guard rows.count > 0 else {
            throw DatasetError(
                .tooSmall,
                "validation documents: expected one of at least 2 tokens, found none; use more text or a "
                    + "larger validation_fraction")
        }
        (self.rows, self.stream, self.microBatch) = (rows, stream, microBatch)
    }

    public var batchCount: Int { (rows.count + microBatch - 1) / microBatch }

    public func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch {
        precondition(
            index >= 0 && index < batchCount,
            "PackedEvaluationBatches: batch \(index) of \(batchCount)")
        let first = index * microBatch
        return try Batch.packed(
            Array(first..<min(first + microBatch, rows.count)), of: rows, firstSequence: first,
            from: stream)
    }
}

extension Batch {
    /// The rows `numbers` of `rows`. What no piece fills is at a row's end: token 0, no target, weight 0, and a segment
    /// of its own, so that it changes nothing before it.
    fileprivate static func packed(
        _ numbers: [Int], of rows: PackedRows, firstSequence: Int, from stream: TokenStream
    ) throws(DatasetError) -> Batch {
        let columns = rows.rowLength
        var arrays = PackedArrays(rows: numbers.count, columns: columns)
        var window = [Int32](repeating: 0, count: columns + 1)
        for (row, number) in numbers.enumerated() {
            var (segment, place) = (0 as Int32, row * columns)
            for piece in try rows.pieces(ofRow: number) {
                let end = piece.tokens.upperBound + (piece.predictsEnd ? 0 : 1)
                try stream.copy(piece.tokens.lowerBound..<end, into: &window)
                if piece.predictsEnd, let token = rows.endToken {
                    window[piece.tokens.count] = token
                }
                arrays.put(window, count: piece.tokens.count, segment: segment, at: place)
                (segment, place) = (segment + 1, place + piece.tokens.count)
            }
            arrays.pad(place..<(row + 1) * columns, segment: segment)
        }
        return arrays.batch(firstSequence: firstSequence)
    }

    /// A batch of packed rows that counts nothing.
    static func blankPacked(rows: Int, columns: Int) -> Batch {
        var arrays = PackedArrays(rows: rows, columns: columns)
        for row in 0..<rows { arrays.pad(row * columns..<(row + 1) * columns, segment: 0) }
        return arrays.batch(firstSequence: 0)
    }
}

/// A batch of packed rows in the making.
struct PackedArrays {
    private let rows: Int
    private let columns: Int
    private var tokens: [Int32]
    private var targets: [Int32]
    private var segments: [Int32]
    private var positions: [Int32]
    private var weights: [Float]

    init(rows: Int, columns: Int) {
        (self.rows, self.columns) = (rows, columns)
        let count = rows * columns
        tokens = Array(repeating: 0, count: count)
        (segments, positions) = (tokens, tokens)
        targets = Array(repeating: Batch.ignoredTarget, count: count)
        weights = Array(repeating: 0, count: count)
    }

    /// A piece of a document: the first `count` tokens of `window`, each of which predicts the one behind it.
    mutating func put(_ window: [Int32], count: Int, segment: Int32, at first: Int) {
        for index in 0..<count {
            tokens[first + index] = window[index]
            targets[first + index] = window[index + 1]
            segments[first + index] = segment
            positions[first + index] = Int32(index)
            weights[first + index] = 1
        }
    }

    mutating func pad(_ range: Range<Int>, segment: Int32) {
        for (position, index) in range.enumerated() {
            (segments[index], positions[index]) = (segment, Int32(position))
        }
    }

    func batch(firstSequence: Int) -> Batch {
        func field(_ name: String, _ values: [Int32]) -> Batch.Field {
            Batch.Field(name: name, rows: rows, columns: columns, values: values)
        }
        return Batch(
            fields: [
                field(Batch.Name.tokens, tokens), field(Batch.Name.targets, targets),
                field(Batch.Name.segments, segments), field(Batch.Name.positions, positions),
            ], weights: weights, sequences: rows, firstSequence: firstSequence)
    }
}
