// Minimum Bayes risk: of several texts, the one that is expected to be the most like the true one,
// where what a model says stands for the truth (Kumar and Byrne 2004; over samples: Eikema and Aziz
// 2020).

/// Takes the candidate h with the highest expected utility Σᵣ wᵣ·u(h, r)/Σᵣ wᵣ over texts r with
/// weights wᵣ.
public struct MinimumBayesRisk: Hashable, Sendable {
    /// How good a hypothesis is if a text is the reference.
    public enum Utility: Hashable, Sendable {
        /// BLEU of the sentence with the effective order, 0 to 100.
        case bleu(BLEU)
        /// chrF of the sentence, 0 to 100.
        case chrF(ChrF)
        /// `editSimilarity` of words, 0 to 1.
        case editSimilarity(WordTokenizer)
    }

    public var utility: Utility

    public init(utility: Utility) { self.utility = utility }

    /// The index of the best candidate, the first one of equals.
    ///
    /// - Parameters:
    ///   - candidates: at least one.
    ///   - references: texts that stand for the truth; nil: the candidates themselves, each
    ///     compared with itself too.
    ///   - weights: of the references, such as their probabilities; none negative. nil: all weigh
    ///     the same, as samples do.
    public func choose(
        _ candidates: [String], references: [String]? = nil, weights: [Double]? = nil
    ) -> Int {
        precondition(!candidates.isEmpty, "minimum Bayes risk: expected at least one candidate")
        let utilities = expectedUtilities(
            of: candidates, references: references, weights: weights)
        return utilities.indices.reduce(0) { utilities[$1] > utilities[$0] ? $1 : $0 }
    }

    /// The expected utility of each candidate; see `choose`.
    public func expectedUtilities(
        of candidates: [String], references: [String]? = nil, weights: [Double]? = nil
    ) -> [Double] {
        let count = references?.count ?? candidates.count
        let weights = weights ?? Array(repeating: 1, count: count)
        precondition(
            weights.count == count,
            "minimum Bayes risk: \(weights.count) weights of \(count) references")
        precondition(
            weights.allSatisfy { $0 >= 0 && $0.isFinite },
            "minimum Bayes risk: expected finite weights of at least 0")
        let total = weights.reduce(0, +)
        guard total > 0 else { return candidates.map { _ in 0 } }
        return utilities(of: candidates, references).map { row in
            zip(weights, row).reduce(0) { $0 + $1.0 * $1.1 } / total
        }
    }

    /// A row for each candidate, with a column for each reference.
    private func utilities(of candidates: [String], _ references: [String]?) -> [[Double]] {
        var numbering = NGramNumbering()
        switch utility {
        case .bleu(let metric):
            let metric = metric.ofSentences
            return compare(candidates, references) {
                metric.profile(of: $0, &numbering)
            } by: {
                metric.score(of: metric.statistics(of: $0, references: [$1])).score
            }
        case .chrF(let metric):
            return compare(candidates, references) {
                metric.profile(of: $0, &numbering)
            } by: {
                metric.score(of: metric.statistics(of: $0, references: [$1]))
            }
        case .editSimilarity(let tokenizer):
            return compare(candidates, references) { text in
                numbering.symbols(of: tokenizer.words(of: Array(text.utf8)))
            } by: {
                Metrics.editSimilarity($0, $1)
            }
        }
    }
}

/// Compares all with all; what is made of a text for that is made once.
private func compare<Prepared>(
    _ candidates: [String], _ references: [String]?, prepare: (String) -> Prepared,
    by utility: (Prepared, Prepared) -> Double
) -> [[Double]] {
    let hypotheses = candidates.map(prepare)
    let expected = references?.map(prepare) ?? hypotheses
    return hypotheses.map { hypothesis in expected.map { utility(hypothesis, $0) } }
}
