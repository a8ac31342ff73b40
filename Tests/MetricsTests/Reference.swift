// Pairs of texts and what the reference programs say of them; Fixtures/make.py makes the file.

import Foundation
import Metrics

struct Reference: Decodable {
    struct Pair: Decodable {
        var hypothesis: String
        var references: [String]
    }

    /// Some of the pairs, each with so many of its references at most.
    struct Corpus: Decodable {
        var pairs: [Int]
        var references: Int
    }

    struct Conversion: Decodable {
        var text: String
        var result: String
    }

    struct BLEUEntry: Decodable {
        var tokenizer: String
        var lowercases: Bool
        var smoothing: String
        var value: Double
        var effective: Bool
        /// Of each corpus: the score, the precisions, the brevity penalty, both lengths.
        var corpora: [[Double]]
        var signatures: [String]
        /// Of each pair; none without the effective order.
        var sentences: [Double]
    }

    struct ChrFEntry: Decodable {
        var name: String
        var wordOrder: Int
        var lowercases: Bool
        var keepsWhiteSpace: Bool
        var smoothsByEpsilon: Bool
        var corpora: [Double]
        var signatures: [String]
        var sentences: [Double]
    }

    struct ROUGEEntry: Decodable {
        var variant: String
        /// Precision, recall, F-score.
        var pairs: [[Double]]
        var means: [Double]
    }

    struct Risk: Decodable {
        var candidates: [String]
        var utility: String
        var weights: [Double]
        var expected: [Double]
        var best: Int
    }

    var pairs: [Pair]
    var corpora: [Corpus]
    var tokens: [Conversion]
    var lowercase: [Conversion]
    var bleu: [BLEUEntry]
    var chrf: [ChrFEntry]
    var rouge: [ROUGEEntry]
    /// Edit distances of the words of each hypothesis and its first reference.
    var edits: [Int]
    var risk: [Risk]

    static func load() throws -> Reference {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Fixtures/metrics.json")
        return try JSONDecoder().decode(Reference.self, from: Data(contentsOf: file))
    }

    var hypotheses: [String] { pairs.map(\.hypothesis) }
    var references: [[String]] { pairs.map(\.references) }

    /// The hypotheses and references of each corpus.
    var texts: [(hypotheses: [String], references: [[String]])] {
        corpora.map { corpus in
            (
                corpus.pairs.map { pairs[$0].hypothesis },
                corpus.pairs.map { Array(pairs[$0].references.prefix(corpus.references)) }
            )
        }
    }
}

/// Whether all numbers are the same but for rounding; scores are percents or parts of 1.
func isClose(_ found: [Double], _ expected: [Double]) -> Bool {
    found.count == expected.count && zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-10 }
}
