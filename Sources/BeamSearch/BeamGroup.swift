// One beam: the running and the finished hypotheses of a source, or of one of its groups in diverse
// search.

/// The state of a search of `width` beams.
///
/// A step takes the best (ends + 1)·width continuations, at least 2·width, so that enough of them
/// go on even if each hypothesis is also continued by every end. Only those among the first `width`
/// that end are finished; the others that end are dropped.
struct BeamGroup: Sendable {
    let source: Int
    let rules: TokenRules
    /// The best first; there are fewer than `width` only while fewer texts are possible.
    private(set) var running: [Partial]
    /// The best first, at most `width`; of equals the one that ended first.
    private(set) var finished: [Hypothesis] = []
    /// The last tokens of those that run, and of those that ended at the last step.
    private(set) var lastTokens: [Int32] = []
    /// Generated tokens of all that run.
    private var length = 0

    private var options: BeamOptions { rules.options }

    init(source: Int, rules: TokenRules) {
        (self.source, self.rules) = (source, rules)
        running = [Partial(text: [rules.options.start])]
    }

    /// Goes on by a token.
    ///
    /// - Parameters:
    ///   - logits: of each running hypothesis.
    ///   - attention: to the source, of each; empty without a coverage penalty.
    ///   - taken: tokens by which hypotheses of earlier groups went on or ended.
    /// - Returns: for each hypothesis that now runs the one that it continues.
    mutating func advance(
        _ logits: ArraySlice<[Float]>, _ attention: ArraySlice<[Float]>, vocabulary: Int,
        taken: [Int32]
    ) -> [Int] {
        let candidates = select(
            logits.map { LogitRow($0, vocabulary: vocabulary) }, taken: taken)
        let covered = zip(running, attention).map { $0.covering($1) }
        let before = covered.isEmpty ? running : covered
        length += 1
        let isLast = length == rules.maximumLength
        var parents: [Int] = []
        var (next, ended): ([Partial], [Hypothesis]) = ([], [])
        for (rank, candidate) in candidates.enumerated() {
            var partial = before[candidate.row]
            partial.logProbability = candidate.logProbability
            if isLast || options.ends.contains(candidate.token) {
                guard rank < options.width else { continue }
                partial.text.append(candidate.token)
                ended.append(hypothesis(partial))
            } else if next.count < options.width {
                partial.text.append(candidate.token)
                next.append(partial)
                parents.append(candidate.row)
            }
        }
        for hypothesis in ended { finish(hypothesis) }
        lastTokens = next.compactMap(\.text.last) + ended.compactMap(\.tokens.last)
        running = isDone(best: next.first) ? [] : next
        return running.isEmpty ? [] : parents
    }

    private func hypothesis(_ partial: Partial) -> Hypothesis {
        let score =
            options.score(logProbability: partial.logProbability, length: partial.text.count - 1)
            + options.coverageScore(partial.coverage)
        return Hypothesis(
            tokens: Array(partial.text.dropFirst()), score: score,
            logProbability: partial.logProbability)
    }

    private mutating func finish(_ hypothesis: Hypothesis) {
        let place =
            finished.firstIndex { $0.score < hypothesis.score } ?? finished.count
        finished.insert(hypothesis, at: place)
        if finished.count > options.width { finished.removeLast() }
    }

    /// Whether no step can or need change the finished ones.
    private func isDone(best: Partial?) -> Bool {
        guard let best else { return true }
        guard finished.count == options.width, let worst = finished.last else { return false }
        if options.earlyStopping == .firstFinished { return true }
        // Coverage is at most 0, and only finished hypotheses lose by it.
        let isFarSighted = options.earlyStopping == .never && options.lengthPenalty.exponent > 0
        let hope = options.score(
            logProbability: best.logProbability,
            length: isFarSighted ? rules.maximumLength : length)
        return hope <= worst.score
    }
}

// The choice of continuations.
extension BeamGroup {
    private func select(_ logits: [LogitRow], taken: [Int32]) -> [Candidate] {
        let kept =
            options.isGreedy ? 1 : max(2, options.ends.count + 1) * options.width
        var selection = Selection(capacity: kept)
        for (row, logits) in logits.enumerated() {
            if let forced = rules.forced(after: running[row].text) {
                let price = forced.isPriced ? price(of: forced.token, row, logits) : 0
                let sum = running[row].logProbability + price
                selection.offer(
                    Candidate(row: row, token: forced.token, value: sum, logProbability: sum))
            } else if options.isGreedy {
                offerGreedily(logits, to: &selection)
            } else {
                offer(logits, row, taken: taken, to: &selection)
            }
        }
        return selection.candidates
    }

    /// The log-probability of a token of the prefix; 0 if it is not possible, since it must come.
    private func price(of token: Int32, _ row: Int, _ logits: LogitRow) -> Float {
        let text = running[row].text
        let price = logProbability(of: token, logits, text)
        return rules.banned(after: text).contains(token) || !(price > -.infinity) ? 0 : price
    }

    private func logProbability(of token: Int32, _ logits: LogitRow, _ text: [Int32]) -> Float {
        let plain = logits.logProbability(of: token)
        return rules.isPenalising && text.contains(token) ? rules.penalised(plain) : plain
    }

    /// All continuations of a row, by their log-probabilities.
    private func offer(
        _ logits: LogitRow, _ row: Int, taken: [Int32], to selection: inout Selection
    ) {
        let (text, sum) = (running[row].text, running[row].logProbability)
        let banned = rules.banned(after: text)
        let changed = changed((rules.isPenalising ? text : []) + taken, banned, logits)
        let (peak, logSum) = (logits.peak, logits.logSum)
        selection.offer(logits, row: row, except: changed) { (($0 - peak) - logSum) + sum }
        for token in changed where !banned.contains(token) {
            let total = logProbability(of: token, logits, text) + sum
            let count = taken.reduce(0) { $0 + ($1 == token ? 1 : 0) }
            selection.offer(
                Candidate(
                    row: row, token: token, value: total - options.diversityPenalty * Float(count),
                    logProbability: total))
        }
    }

    /// The greatest logit, as it is: log-probabilities of logits that differ may be equal, and the
    /// repetition penalty acts on logits here.
    private func offerGreedily(_ logits: LogitRow, to selection: inout Selection) {
        let (text, sum) = (running[0].text, running[0].logProbability)
        let banned = rules.banned(after: text)
        let changed = changed(rules.isPenalising ? text : [], banned, logits)
        var best = Selection(capacity: 1)
        best.offer(logits, row: 0, except: changed) { $0 }
        for token in changed where !banned.contains(token) {
            let value = rules.penalised(logits.logits[Int(token)])
            best.offer(Candidate(row: 0, token: token, value: value, logProbability: value))
        }
        for var candidate in best.candidates {
            candidate.logProbability = logProbability(of: candidate.token, logits, text) + sum
            selection.offer(candidate)
        }
    }

    /// Tokens whose logits do not stand as they are, ascending. A start token may be none of the
    /// vocabulary.
    private func changed(
        _ tokens: [Int32], _ banned: Set<Int32>, _ logits: LogitRow
    ) -> [Int32] {
        banned.union(tokens).filter { logits.logits.indices.contains(Int($0)) }.sorted()
    }
}
