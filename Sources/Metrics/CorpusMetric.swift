// What all metrics of texts share: a corpus is scored from integers that are counted sentence by
// sentence and added up, so that ranks can count their parts and the score depends neither on their
// number nor on the order.

/// Integers from which a metric's score follows; those of a corpus are the sums of its sentences'.
public protocol MetricStatistics: Hashable, Sendable {
    /// All integers, in a fixed order: what ranks add up.
    var values: [Int] { get }
    /// - Parameter values: as many as the metric has.
    init(values: [Int])
}

extension MetricStatistics {
    public static func + (first: Self, second: Self) -> Self {
        precondition(
            first.values.count == second.values.count,
            "statistics: sums of \(first.values.count) and \(second.values.count) integers are of"
                + " different metrics")
        return Self(values: zip(first.values, second.values).map(+))
    }

    public static func += (sum: inout Self, other: Self) { sum = sum + other }
}

/// A metric of a corpus of hypotheses, each with one or more references.
public protocol CorpusMetric: Hashable, Sendable {
    associatedtype Statistics: MetricStatistics
    associatedtype Score: Sendable

    /// As the reference program prints it.
    var name: String { get }
    /// Of a corpus without sentences.
    var zero: Statistics { get }
    /// Of one hypothesis.
    ///
    /// - Parameter references: at least one; their order matters to nothing but ties.
    func statistics(of hypothesis: String, references: [String]) -> Statistics
    func score(of statistics: Statistics) -> Score
    /// The score of one hypothesis by itself.
    func sentenceScore(_ hypothesis: String, references: [String]) -> Score
}

extension CorpusMetric {
    /// The sums over a corpus, or a rank's part of one.
    ///
    /// - Parameter references: those of each hypothesis; each may have its own number of them.
    public func statistics(of hypotheses: [String], references: [[String]]) -> Statistics {
        precondition(
            hypotheses.count == references.count,
            "\(name): \(hypotheses.count) hypotheses but references of \(references.count)")
        return zip(hypotheses, references).reduce(into: zero) { sum, pair in
            sum += statistics(of: pair.0, references: pair.1)
        }
    }

    /// The score of a corpus.
    ///
    /// - Parameter references: those of each hypothesis; each may have its own number of them.
    public func score(_ hypotheses: [String], references: [[String]]) -> Score {
        score(of: statistics(of: hypotheses, references: references))
    }

    public func sentenceScore(_ hypothesis: String, references: [String]) -> Score {
        score(of: statistics(of: hypothesis, references: references))
    }
}

/// How many references each sentence has, for a signature; nil where the numbers differ.
public func referenceCount(of references: [[String]]) -> Int? {
    guard let count = references.first?.count else { return nil }
    return references.allSatisfy { $0.count == count } ? count : nil
}

/// The release of sacrebleu whose BLEU and chrF these are, as signatures name it.
public let sacrebleuVersion = "2.6.0"

/// A signature of sacrebleu: what must be equal for scores to be comparable.
func signature(referenceCount: Int?, lowercases: Bool, _ fields: [(String, String)]) -> String {
    let count = referenceCount.map(String.init) ?? "var"
    let all =
        [("nrefs", count), ("case", lowercases ? "lc" : "mixed")] + fields
        + [("version", sacrebleuVersion)]
    return all.map { "\($0.0):\($0.1)" }.joined(separator: "|")
}
