// chrF (Popović 2015) and chrF++ (Popović 2017) as sacrebleu computes them: an F-score of matched
// n-grams of characters, and of words. Scores are in percent.

/// What chrF needs of a corpus; see `MetricStatistics`.
public struct ChrFStatistics: MetricStatistics {
    /// Of each order, those of characters before those of words: n-grams of the hypotheses, of the
    /// references, and matches. The first is 0 for a sentence of whose reference there are none.
    public let values: [Int]

    public init(values: [Int]) {
        precondition(values.count % 3 == 0, "chrF: expected three integers for each order")
        self.values = values
    }
}

/// F = (1 + β²)·P·R/(β²·P + R) with precision P and recall R, each the mean over orders of matches
/// over the n-grams of the hypotheses, and of the references.
///
/// Of several references of a sentence, the one counts that gives it the highest score, the first
/// one of equals.
public struct ChrF: CorpusMetric {
    /// The highest order of n-grams of characters (code points).
    public var characterOrder: Int
    /// The highest order of n-grams of words; 2 makes it chrF++.
    public var wordOrder: Int
    /// How many times as much as precision recall counts.
    public var beta: Int
    public var lowercases: Bool
    /// Whether white space is a part of n-grams of characters.
    public var keepsWhiteSpace: Bool
    /// Whether the mean is one of F-scores over all orders, where an order without n-grams counts
    /// 10⁻¹⁶, instead of one of precisions and recalls over orders of which both sides have
    /// n-grams.
    public var smoothsByEpsilon: Bool

    public init(
        characterOrder: Int = 6, wordOrder: Int = 0, beta: Int = 2, lowercases: Bool = false,
        keepsWhiteSpace: Bool = false, smoothsByEpsilon: Bool = false
    ) {
        (self.characterOrder, self.wordOrder, self.beta) = (characterOrder, wordOrder, beta)
        (self.lowercases, self.keepsWhiteSpace) = (lowercases, keepsWhiteSpace)
        self.smoothsByEpsilon = smoothsByEpsilon
    }

    /// chrF++
    public static let plusPlus = ChrF(wordOrder: 2)

    /// `chrF2`, or `chrF2++` with words.
    public var name: String { "chrF\(beta)" + String(repeating: "+", count: wordOrder) }

    public var zero: ChrFStatistics {
        ChrFStatistics(values: Array(repeating: 0, count: 3 * (characterOrder + wordOrder)))
    }

    /// sacrebleu's signature.
    ///
    /// - Parameter referenceCount: references of each sentence; nil: not all have as many.
    public func signature(referenceCount: Int? = 1) -> String {
        Metrics.signature(
            referenceCount: referenceCount, lowercases: lowercases,
            [
                ("eff", smoothsByEpsilon ? "no" : "yes"), ("nc", "\(characterOrder)"),
                ("nw", "\(wordOrder)"), ("space", keepsWhiteSpace ? "yes" : "no"),
            ])
    }

    public func statistics(of hypothesis: String, references: [String]) -> ChrFStatistics {
        var numbering = NGramNumbering()
        let references = references.map { profile(of: $0, &numbering) }
        return statistics(of: profile(of: hypothesis, &numbering), references: references)
    }

    func profile(of text: String, _ numbering: inout NGramNumbering) -> NGramProfile {
        let text = lowercases ? lowercase(text) : Array(text.utf8)
        let words = Metrics.words(of: text)
        let kept = keepsWhiteSpace ? text : Array(words.joined())
        let characters = numbering.profile(of: codePoints(of: kept), orders: characterOrder)
        guard wordOrder > 0 else { return characters }
        let symbols = numbering.symbols(of: words.flatMap(withoutPunctuation))
        return characters + numbering.profile(of: symbols, orders: wordOrder)
    }

    func statistics(of hypothesis: NGramProfile, references: [NGramProfile]) -> ChrFStatistics {
        precondition(!references.isEmpty, "chrF: expected at least one reference")
        var best: (score: Double, statistics: ChrFStatistics)?
        for reference in references {
            let matches = hypothesis.matches(reference)
            let statistics = ChrFStatistics(
                values: matches.indices.flatMap { order in
                    let total = reference.totals[order]
                    return [total > 0 ? hypothesis.totals[order] : 0, total, matches[order]]
                })
            let score = score(of: statistics)
            if let best, best.score >= score { continue }
            best = (score, statistics)
        }
        return best?.statistics ?? zero
    }

    /// 0 to 100.
    public func score(of statistics: ChrFStatistics) -> Double {
        let orders = stride(from: 0, to: statistics.values.count, by: 3).map { start in
            let values = statistics.values[start..<start + 3].map(Double.init)
            return (hypotheses: values[0], references: values[1], matches: values[2])
        }
        if smoothsByEpsilon {
            let epsilon = 1e-16
            let scores = orders.map { order in
                fScore(
                    precision: order.hypotheses > 0 ? order.matches / order.hypotheses : epsilon,
                    recall: order.references > 0 ? order.matches / order.references : epsilon)
                    ?? epsilon
            }
            return 100 * scores.reduce(0, +) / Double(orders.count)
        }
        let effective = orders.filter { $0.hypotheses > 0 && $0.references > 0 }
        guard !effective.isEmpty else { return 0 }
        let count = Double(effective.count)
        let precision = effective.reduce(0) { $0 + $1.matches / $1.hypotheses } / count
        let recall = effective.reduce(0) { $0 + $1.matches / $1.references } / count
        return 100 * (fScore(precision: precision, recall: recall) ?? 0)
    }

    /// nil where nothing matches.
    private func fScore(precision: Double, recall: Double) -> Double? {
        let factor = Double(beta * beta)
        let denominator = factor * precision + recall
        return denominator > 0 ? (1 + factor) * precision * recall / denominator : nil
    }
}

/// A word as chrF++ has it: one mark of ASCII's punctuation is a word of its own at the end of
/// another, or else at its beginning, so that `(hi)` becomes `(hi` and `)`.
private func withoutPunctuation(_ word: Word) -> [Word] {
    guard word.count > 1, let first = word.first, let last = word.last else { return [word] }
    if isPunctuation(last) { return [word.dropLast(), word.suffix(1)] }
    if isPunctuation(first) { return [word.prefix(1), word.dropFirst()] }
    return [word]
}

private func isPunctuation(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: true
    default: false
    }
}
