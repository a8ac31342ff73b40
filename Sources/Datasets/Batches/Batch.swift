/// What a model is given: named arrays and a weight a target, a row for each sequence.
public struct Batch: Sendable, Equatable {
    /// Numbers of an array.
    public enum Values: Sendable, Equatable {
        case integers([Int32])
        case floats([Float])

        public var count: Int {
            switch self {
            case .integers(let values): values.count
            case .floats(let values): values.count
            }
        }
    }

    /// An array [rows, extents…], row-major.
    public struct Field: Sendable, Equatable {
        public let name: String
        public let rows: Int
        /// Of a row.
        public let extents: [Int]
        public let values: Values

        public init(name: String, rows: Int, extents: [Int], values: Values) {
            precondition(
                values.count == extents.reduce(rows, *),
                "Batch: \(name): expected \(rows) rows of \(extents), got \(values.count) values")
            (self.name, self.rows, self.extents, self.values) = (name, rows, extents, values)
        }

        public init(name: String, rows: Int, columns: Int, values: [Int32]) {
            self.init(name: name, rows: rows, extents: [columns], values: .integers(values))
        }

        /// The numbers of an array of integers.
        public var integers: [Int32] {
            guard case .integers(let values) = values else {
                preconditionFailure("Batch: \(name): expected integers, got floating-point numbers")
            }
            return values
        }

        /// The numbers of an array of Float32.
        public var floats: [Float] {
            guard case .floats(let values) = values else {
                preconditionFailure("Batch: \(name): expected Float32, got integers")
            }
            return values
        }
    }

    /// Names of the arrays that language models read.
    public enum Name {
        /// Token ids [B, T].
        public static let tokens = "tokens"
        /// The class of each target, [B, T] where every position has one; `ignoredTarget` where there is none.
        public static let targets = "targets"
        /// Tokens of each sequence that exist [B]; padding follows them.
        public static let lengths = "lengths"
        /// Numbers of an image's patches [B, N, channels · patch · patch].
        public static let patches = "patches"
        /// Positions that have a target [B, K], none twice in a row; −1 where there are fewer.
        public static let places = "places"
        /// What a decoder has before it at each target [B, T]: the token that it starts with, then the targets.
        public static let decoderTokens = "decoder_tokens"
    }

    /// The target of a position that is not counted: padding. Its weight is 0.
    public static let ignoredTarget: Int32 = -1

    /// In a fixed order.
    public let fields: [Field]
    /// How much each target counts, [B, T] where every token is one: 1, or 0 where it is padding.
    public let weights: [Float]
    /// B.
    public let sequences: Int
    /// The number of the first sequence within the step's global batch (dropout is drawn by it); within
    /// the split for an evaluation batch.
    public let firstSequence: Int

    public init(fields: [Field], weights: [Float], sequences: Int, firstSequence: Int) {
        precondition(
            fields.allSatisfy { $0.rows == sequences },
            "Batch: expected \(sequences) rows in each field, got \(fields.map(\.rows))")
        (self.fields, self.weights) = (fields, weights)
        (self.sequences, self.firstSequence) = (sequences, firstSequence)
    }

    /// The array called `name`, which must be there.
    public subscript(name: String) -> Field {
        guard let field = fields.first(where: { $0.name == name }) else {
            preconditionFailure("Batch: expected a field \(name), got \(fields.map(\.name))")
        }
        return field
    }

    /// Sum of the weights.
    public var targetWeight: Double { weights.reduce(0) { $0 + Double($1) } }
}

extension Batch {
    /// A batch of next-token prediction: row b holds the tokens `windows[b]`, each predicting the one
    /// after it. A window shorter than `columns` + 1 is padded at its end: token 0, no target, weight 0.
    /// Under a causal mask that changes nothing before it.
    static func nextToken(
        windows: [Range<Int>], columns: Int, firstSequence: Int, from stream: TokenStream
    ) throws(DatasetError) -> Batch {
        let count = windows.count * columns
        var tokens = [Int32](repeating: 0, count: count)
        var targets = [Int32](repeating: ignoredTarget, count: count)
        var weights = [Float](repeating: 0, count: count)
        var window = [Int32](repeating: 0, count: columns + 1)
        for (row, range) in windows.enumerated() {
            try stream.copy(range, into: &window)
            for column in 0..<(range.count - 1) {
                tokens[row * columns + column] = window[column]
                targets[row * columns + column] = window[column + 1]
                weights[row * columns + column] = 1
            }
        }
        return nextToken(
            tokens: tokens, targets: targets, weights: weights, columns: columns,
            firstSequence: firstSequence)
    }

    static func nextToken(
        tokens: [Int32], targets: [Int32], weights: [Float], columns: Int, firstSequence: Int
    ) -> Batch {
        let rows = tokens.count / columns
        return Batch(
            fields: [
                Field(name: Name.tokens, rows: rows, columns: columns, values: tokens),
                Field(name: Name.targets, rows: rows, columns: columns, values: targets),
            ],
            weights: weights, sequences: rows, firstSequence: firstSequence)
    }

    /// A batch of next-token prediction that counts nothing.
    static func blankNextToken(rows: Int, columns: Int) -> Batch {
        let count = rows * columns
        return nextToken(
            tokens: Array(repeating: 0, count: count),
            targets: Array(repeating: ignoredTarget, count: count),
            weights: Array(repeating: 0, count: count), columns: columns, firstSequence: 0)
    }
}
