// BLEU (Papineni et al. 2002) as sacrebleu computes it (Post 2018): matched n-grams of a corpus
// over all of its n-grams, for orders 1 to 4, and a penalty for brevity. Scores are in percent.

import Foundation

/// What BLEU needs of a corpus; see `MetricStatistics`.
public struct BLEUStatistics: MetricStatistics {
    /// The hypotheses' length, the references' length, matches of orders 1 to 4, n-grams of orders
    /// 1 to 4.
    public let values: [Int]

    public init(values: [Int]) {
        precondition(
            values.count == 2 + 2 * BLEU.maximumOrder,
            "BLEU: expected \(2 + 2 * BLEU.maximumOrder) integers, got \(values.count)")
        self.values = values
    }

    /// In words.
    public var hypothesisLength: Int { values[0] }
    /// In words: of each sentence, that of the reference whose length is the nearest, the shorter
    /// one of two.
    public var referenceLength: Int { values[1] }
    /// Of each order from 1: n-grams of hypotheses which a reference has too, each at most as often
    /// as there.
    public var matches: [Int] { Array(values[2..<2 + BLEU.maximumOrder]) }
    /// Of each order from 1: n-grams of hypotheses.
    public var totals: [Int] { Array(values[(2 + BLEU.maximumOrder)...]) }
}

public struct BLEUScore: Hashable, Sendable {
    /// 0 to 100.
    public var score: Double
    /// Of orders 1 to 4, 0 to 100, smoothed; all are 0 where nothing matches.
    public var precisions: [Double]
    /// 0 to 1.
    public var brevityPenalty: Double
    /// Not smoothed.
    public var statistics: BLEUStatistics

    public var hypothesisLength: Int { statistics.hypothesisLength }
    public var referenceLength: Int { statistics.referenceLength }
    /// The hypotheses' length over the references'; 0 where those are empty.
    public var lengthRatio: Double {
        referenceLength == 0 ? 0 : Double(hypothesisLength) / Double(referenceLength)
    }
}

/// BLEU = b·exp(1/4·Σ log pₙ) with pₙ = matches/n-grams of order n, and b = exp(1 − r/h) where the
/// hypotheses' length h is below the references' length r, else 1.
public struct BLEU: CorpusMetric {
    /// What an order without matches counts (Chen and Cherry 2014); the corpus has 0 all the same
    /// where no word matches.
    public enum Smoothing: Hashable, Sendable {
        /// Nothing: the score is 0.
        case none
        /// The k-th such order, as if 2⁻ᵏ of an n-gram matched (their method 3).
        case exponential
        /// As if this many n-grams matched (their method 1, with 0.1).
        case floor(Double)
        /// All orders from 2 have this many matches and n-grams more (their method 2, with 1).
        case addition(Double)
    }

    /// The highest order of n-grams.
    public static let maximumOrder = 4

    public var tokenizer: WordTokenizer
    /// Whether case does not matter.
    public var lowercases: Bool
    public var smoothing: Smoothing
    /// Whether the mean goes only over orders of which there are n-grams: hypotheses of under four
    /// words are not lost.
    public var usesEffectiveOrder: Bool

    public init(
        tokenizer: WordTokenizer = .mteval13a, lowercases: Bool = false,
        smoothing: Smoothing = .exponential, usesEffectiveOrder: Bool = false
    ) {
        (self.tokenizer, self.lowercases) = (tokenizer, lowercases)
        (self.smoothing, self.usesEffectiveOrder) = (smoothing, usesEffectiveOrder)
    }

    public var name: String { "BLEU" }

    public var zero: BLEUStatistics {
        BLEUStatistics(values: Array(repeating: 0, count: 2 + 2 * BLEU.maximumOrder))
    }

    /// sacrebleu's signature.
    ///
    /// - Parameter referenceCount: references of each sentence; nil: not all have as many.
    public func signature(referenceCount: Int? = 1) -> String {
        let smooth =
            switch smoothing {
            case .none: "none"
            case .exponential: "exp"
            case .floor(let value): "floor" + String(format: "[%.2f]", value)
            case .addition(let value): "add-k" + String(format: "[%.2f]", value)
            }
        return Metrics.signature(
            referenceCount: referenceCount, lowercases: lowercases,
            [
                ("eff", usesEffectiveOrder ? "yes" : "no"), ("tok", tokenizer.rawValue),
                ("smooth", smooth),
            ])
    }

    public func statistics(of hypothesis: String, references: [String]) -> BLEUStatistics {
        var numbering = NGramNumbering()
        // The references first, so that their numbers are in order already.
        let references = references.map { profile(of: $0, &numbering) }
        return statistics(of: profile(of: hypothesis, &numbering), references: references)
    }

    func profile(of text: String, _ numbering: inout NGramNumbering) -> NGramProfile {
        let words = tokenizer.words(of: lowercases ? lowercase(text) : Array(text.utf8))
        return numbering.profile(
            of: numbering.symbols(of: words), orders: BLEU.maximumOrder)
    }

    func statistics(of hypothesis: NGramProfile, references: [NGramProfile]) -> BLEUStatistics {
        precondition(!references.isEmpty, "BLEU: expected at least one reference")
        let length = hypothesis.totals[0]
        let nearest = references.map { $0.totals[0] }.min { first, second in
            (abs(first - length), first) < (abs(second - length), second)
        }
        let union = references.dropFirst().reduce(references[0]) { $0.union($1) }
        return BLEUStatistics(
            values: [length, nearest ?? 0] + hypothesis.matches(union) + hypothesis.totals)
    }

    /// BLEU of one sentence, with the effective order whatever the property says, as
    /// `sentence_bleu` does by default.
    public func sentenceScore(_ hypothesis: String, references: [String]) -> BLEUScore {
        ofSentences.score(of: statistics(of: hypothesis, references: references))
    }

    /// With the effective order.
    var ofSentences: BLEU {
        var metric = self
        metric.usesEffectiveOrder = true
        return metric
    }

    public func score(of statistics: BLEUStatistics) -> BLEUScore {
        let (length, expected) = (statistics.hypothesisLength, statistics.referenceLength)
        var result = BLEUScore(
            score: 0, precisions: Array(repeating: 0, count: BLEU.maximumOrder),
            brevityPenalty: 1, statistics: statistics)
        if length < expected {
            result.brevityPenalty =
                length > 0 ? exp(1 - Double(expected) / Double(length)) : 0
        }
        guard statistics.matches.contains(where: { $0 > 0 }) else { return result }
        let found = precisions(statistics)
        result.precisions.replaceSubrange(0..<found.count, with: found)
        let order = usesEffectiveOrder ? found.count : BLEU.maximumOrder
        let counted = result.precisions[..<order]
        // The logarithm of nothing: the whole product is nothing.
        guard counted.allSatisfy({ $0 > 0 }) else { return result }
        let mean = counted.reduce(0) { $0 + log($1) } / Double(order)
        result.score = result.brevityPenalty * exp(mean)
        return result
    }

    /// Those of orders of which there are n-grams, in percent.
    private func precisions(_ statistics: BLEUStatistics) -> [Double] {
        var result: [Double] = []
        var share = 1.0
        for (index, (matches, total)) in zip(statistics.matches, statistics.totals).enumerated() {
            var (matched, all) = (Double(matches), Double(total))
            if case .addition(let value) = smoothing, index > 0 {
                (matched, all) = (matched + value, all + value)
            }
            guard all > 0 else { break }
            if matched == 0 {
                switch smoothing {
                case .none, .addition: break
                case .exponential:
                    share *= 2
                    result.append(100 / (share * all))
                    continue
                case .floor(let value): matched = value
                }
            }
            result.append(100 * matched / all)
        }
        return result
    }
}
