/// A sequence of which each token but the first may be a target of the one before.
struct WeightedSequence: Equatable {
    private(set) var tokens: [Int32] = []
    /// Whether each token counts where it is a target.
    private(set) var counts: [Bool] = []

    mutating func append(_ tokens: some Collection<Int32>, counts: Bool) {
        self.tokens += tokens
        self.counts += [Bool](repeating: counts, count: tokens.count)
    }

    mutating func append(_ other: WeightedSequence) {
        tokens += other.tokens
        counts += other.counts
    }

    func dropFirst(_ count: Int) -> WeightedSequence {
        var rest = WeightedSequence()
        (rest.tokens, rest.counts) = (
            Array(tokens.dropFirst(count)), Array(counts.dropFirst(count))
        )
        return rest
    }

    /// Targets that count.
    var targetCount: Int { counts.dropFirst().count { $0 } }
}

extension Batch {
    /// A batch of next-token prediction, [B, T], in which only some targets count: the others are what they are, with
    /// weight 0. Padding at the end, token 0, no target, changes nothing before it under a causal mask.
    ///
    /// - Parameters:
    ///   - limit: columns that the model takes; no row is longer than `limit` + 1.
    static func weightedNextToken(
        _ rows: [WeightedSequence], limit: Int, firstSequence: Int
    ) -> Batch {
        let longest = rows.map(\.tokens.count).max() ?? 0
        let columns = Padding.columns(longest - 1, limit: limit)
        var tokens = [Int32](repeating: 0, count: rows.count * columns)
        var targets = [Int32](repeating: ignoredTarget, count: rows.count * columns)
        var weights = [Float](repeating: 0, count: rows.count * columns)
        for (index, row) in rows.enumerated() {
            let first = index * columns
            for place in row.tokens.indices.dropLast() {
                tokens[first + place] = row.tokens[place]
                targets[first + place] = row.tokens[place + 1]
                weights[first + place] = row.counts[place + 1] ? 1 : 0
            }
        }
        return nextToken(
            tokens: tokens, targets: targets, weights: weights, columns: columns,
            firstSequence: firstSequence)
    }
}
