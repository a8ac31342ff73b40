// The best few of beams × vocabulary continuations, without a sort of all: a short sorted list,
// whose last value each further one must exceed.

/// A hypothesis continued by a token.
struct Candidate {
    /// The row of the hypothesis in its group.
    var row: Int
    var token: Int32
    /// What the choice goes by.
    var value: Float
    /// The log-probability of the whole.
    var logProbability: Float

    /// Of equals the lower row, then the lower token.
    func isBefore(_ other: Candidate) -> Bool {
        if value != other.value { return value > other.value }
        return row != other.row ? row < other.row : token < other.token
    }
}

/// The best candidates so far, the first one the best.
struct Selection {
    let capacity: Int
    private(set) var candidates: [Candidate] = []
    /// The value of the last one once there are as many as wanted. What is −∞, or no number, is
    /// never a candidate.
    private var bound = -Float.infinity

    init(capacity: Int) {
        self.capacity = capacity
        candidates.reserveCapacity(capacity + 1)
    }

    mutating func offer(_ candidate: Candidate) {
        guard candidate.value > -.infinity, candidate.logProbability > -.infinity else { return }
        let isFull = candidates.count == capacity
        if isFull, !candidate.isBefore(candidates[capacity - 1]) { return }
        if isFull { candidates.removeLast() }
        var place = candidates.count
        while place > 0 && candidate.isBefore(candidates[place - 1]) { place -= 1 }
        candidates.insert(candidate, at: place)
        if candidates.count == capacity { bound = candidates[capacity - 1].value }
    }

    /// Offers all tokens of a row but some. Rows come in their order, the excepted tokens of a row
    /// after it.
    ///
    /// - Parameters:
    ///   - excepted: ascending.
    ///   - value: of a logit; monotone, and also the log-probability of the continued hypothesis.
    mutating func offer(
        _ logits: LogitRow, row: Int, except excepted: [Int32], value: (Float) -> Float
    ) {
        var next = 0
        for block in logits.maxima.indices where value(logits.maxima[block]) > bound {
            for token in logits.tokens(ofBlock: block) {
                let value = value(logits.logits[token])
                guard value > bound else { continue }
                while next < excepted.count && excepted[next] < token { next += 1 }
                if next < excepted.count && excepted[next] == token { continue }
                offer(
                    Candidate(row: row, token: Int32(token), value: value, logProbability: value))
            }
        }
    }
}
