// What a model gives to texts that are already there: to rank candidates from elsewhere, or to
// measure references.

/// A given target as a model sees it.
public struct TargetScore: Sendable, Hashable {
    /// Of each token after those before it, natural logarithms.
    public var logProbabilities: [Float]
    /// As `Hypothesis.score` of the same text has it, without coverage.
    public var score: Float

    /// Their sum, in the order in which a search adds them.
    public var logProbability: Float { logProbabilities.reduce(0, +) }
}

extension BeamOptions {
    /// Scores a target; of the options only the length penalty counts, since no rule applies to a
    /// given text.
    ///
    /// - Parameters:
    ///   - target: at least one token, the end included, the start token not.
    ///   - logits: [target, vocabulary], of each token after the start token and those before it.
    public func score(target: [Int32], logits: [[Float]], vocabulary: Int) -> TargetScore {
        precondition(
            !target.isEmpty && logits.count == target.count,
            "score: expected logits of \(target.count) tokens, got \(logits.count)")
        let values = zip(target, logits).map { token, row in
            LogitRow(row, vocabulary: vocabulary).logProbability(of: token)
        }
        return TargetScore(
            logProbabilities: values,
            score: score(logProbability: values.reduce(0, +), length: target.count))
    }
}
