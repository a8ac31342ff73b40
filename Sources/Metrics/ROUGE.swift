// ROUGE (Lin 2004) as Google's rouge-score computes it without a stemmer: recall, precision and
// their F-score of n-grams or of a longest common subsequence, for each pair, and the mean over
// pairs. Scores are 0 to 1.

public struct ROUGEScore: Hashable, Sendable {
    /// Matches over the hypothesis.
    public var precision: Double
    /// Matches over the reference.
    public var recall: Double
    /// 2·P·R/(P + R)
    public var fMeasure: Double

    /// - Parameters:
    ///   - hypothesis: its size, in n-grams or words.
    ///   - reference: likewise.
    init(matches: Int, hypothesis: Int, reference: Int) {
        precision = Double(matches) / Double(max(1, hypothesis))
        recall = Double(matches) / Double(max(1, reference))
        let sum = precision + recall
        fMeasure = sum > 0 ? 2 * precision * recall / sum : 0
    }

    init(precision: Double, recall: Double, fMeasure: Double) {
        (self.precision, self.recall, self.fMeasure) = (precision, recall, fMeasure)
    }
}

/// Sums of scores over pairs; see `MetricStatistics`.
///
/// A pair's scores are rounded to multiples of 2⁻³⁶ (1.5·10⁻¹¹), which makes the sums integers that
/// are the same in whatever order they are added. There is room for 2²⁷ pairs.
public struct ROUGEStatistics: MetricStatistics {
    /// The number of pairs; the sums of precisions, recalls and F-scores in units of 2⁻³⁶.
    public let values: [Int]

    static let unit = 0x1p-36

    public init(values: [Int]) {
        precondition(values.count == 4, "ROUGE: expected 4 integers, got \(values.count)")
        self.values = values
    }

    init(_ score: ROUGEScore) {
        let scores = [score.precision, score.recall, score.fMeasure]
        values = [1] + scores.map { Int(($0 / ROUGEStatistics.unit).rounded()) }
    }

    public var pairCount: Int { values[0] }
}

/// Of several references of a pair, the one counts that gives it the highest F-score, the first one
/// of equals.
public struct ROUGE: CorpusMetric {
    public enum Variant: String, Hashable, Sendable, CaseIterable {
        /// Words.
        case unigrams = "rouge1"
        /// Pairs of words.
        case bigrams = "rouge2"
        /// Words of a longest common subsequence.
        case subsequence = "rougeL"
        /// Words in longest common subsequences of lines: for each of the reference, their union
        /// over the lines of the hypothesis (Lin 2004, section 3.2), where no word counts more
        /// often than either text has it.
        case subsequenceOfLines = "rougeLsum"
    }

    public var variant: Variant

    public init(_ variant: Variant) { self.variant = variant }

    public var name: String { variant.rawValue }
    public var zero: ROUGEStatistics { ROUGEStatistics(values: [0, 0, 0, 0]) }

    public func statistics(of hypothesis: String, references: [String]) -> ROUGEStatistics {
        ROUGEStatistics(sentenceScore(hypothesis, references: references))
    }

    /// The means over pairs; 0 where there are none.
    public func score(of statistics: ROUGEStatistics) -> ROUGEScore {
        let unit = ROUGEStatistics.unit / Double(max(1, statistics.pairCount))
        let means = statistics.values[1...].map { Double($0) * unit }
        return ROUGEScore(precision: means[0], recall: means[1], fMeasure: means[2])
    }

    /// The score of one pair, not rounded.
    public func sentenceScore(_ hypothesis: String, references: [String]) -> ROUGEScore {
        precondition(!references.isEmpty, "ROUGE: expected at least one reference")
        let scores = references.map { score(hypothesis, reference: $0) }
        return scores.dropFirst().reduce(scores[0]) { best, score in
            score.fMeasure > best.fMeasure ? score : best
        }
    }

    private func score(_ hypothesis: String, reference: String) -> ROUGEScore {
        let texts = [reference, hypothesis].map(lowercase)
        var numbering = NGramNumbering()
        if variant == .subsequenceOfLines {
            let lines = texts.map { text in
                text.split(separator: 0x0A).map { numbering.symbols(of: alphanumericWords(of: $0)) }
            }
            return ROUGEScore(
                matches: matchesOfLines(lines[0], lines[1]), hypothesis: lines[1].joined().count,
                reference: lines[0].joined().count)
        }
        let words = texts.map { numbering.symbols(of: alphanumericWords(of: $0[...])) }
        if variant == .subsequence {
            return ROUGEScore(
                matches: longestCommonSubsequenceLength(words[0], words[1]),
                hypothesis: words[1].count, reference: words[0].count)
        }
        let order = variant == .bigrams ? 2 : 1
        let profiles = words.map { numbering.profile(of: $0, orders: order) }
        return ROUGEScore(
            matches: profiles[0].matches(profiles[1])[order - 1],
            hypothesis: profiles[1].totals[order - 1], reference: profiles[0].totals[order - 1])
    }
}

/// Runs of small letters and digits of ASCII; all else separates them.
private func alphanumericWords(of text: Word) -> [Word] {
    text.split { !(0x61...0x7A ~= $0 || 0x30...0x39 ~= $0) }
}

private func matchesOfLines(_ reference: [[UInt32]], _ hypothesis: [[UInt32]]) -> Int {
    var remaining = [reference, hypothesis].map { lines in
        lines.joined().reduce(into: [UInt32: Int]()) { $0[$1, default: 0] += 1 }
    }
    var matches = 0
    for line in reference {
        var isCommon = line.map { _ in false }
        for other in hypothesis {
            for position in longestCommonSubsequence(line, other) { isCommon[position] = true }
        }
        for (word, isCommon) in zip(line, isCommon) where isCommon {
            guard remaining.allSatisfy({ $0[word, default: 0] > 0 }) else { continue }
            matches += 1
            for side in remaining.indices { remaining[side][word, default: 0] -= 1 }
        }
    }
    return matches
}
