import Metrics
import Testing

@Suite struct MinimumBayesRiskTests {
    private let reference: Reference

    init() throws { reference = try Reference.load() }

    private let utilities: [String: MinimumBayesRisk.Utility] = [
        "bleu": .bleu(BLEU()), "chrf": .chrF(ChrF()), "edit": .editSimilarity(.none),
    ]

    /// Expected utilities made of the reference programs' scores.
    @Test func choicesAreThoseOfTheReference() throws {
        for entry in reference.risk {
            let risk = MinimumBayesRisk(utility: try #require(utilities[entry.utility]))
            let found = risk.expectedUtilities(of: entry.candidates, weights: entry.weights)
            #expect(isClose(found, entry.expected), "\(entry)")
            #expect(risk.choose(entry.candidates, weights: entry.weights) == entry.best)
        }
        // Control: weights and utilities change choices.
        let choices = Set(reference.risk.map { "\($0.candidates)" })
        #expect(Set(reference.risk.map { "\($0.candidates) \($0.best)" }).count > choices.count)
    }

    @Test(arguments: [
        MinimumBayesRisk.Utility.bleu(BLEU()), .chrF(.plusPlus), .editSimilarity(.mteval13a),
    ])
    func tiesGoToTheFirst(utility: MinimumBayesRisk.Utility) {
        let risk = MinimumBayesRisk(utility: utility)
        #expect(risk.choose(["one text", "one text", "one text"]) == 0)
        #expect(risk.choose(["a b", "c d"]) == 0)
        #expect(risk.choose(["a b", "c d", "c d"]) == 1)
        #expect(risk.choose(["a b", "c d", "c d"], weights: [3, 1, 1]) == 0)
        #expect(risk.choose(["a b", "c d"], weights: [0, 0]) == 0)
    }

    /// What stands for the truth may be other texts than those to choose from.
    @Test func referencesOfTheirOwn() {
        let risk = MinimumBayesRisk(utility: .editSimilarity(.none))
        let found = risk.expectedUtilities(
            of: ["a b", "c"], references: ["a b c", "a c", "c"], weights: [1, 1, 2])
        #expect(isClose(found, [(2.0 / 3 + 0.5) / 4, (1.0 / 3 + 0.5 + 2) / 4]))
        #expect(risk.choose(["a b", "c"], references: ["a b c", "a c", "c"]) == 1)
    }
}

@Suite struct EditDistanceTests {
    @Test func distancesAreThoseOfNLTK() throws {
        let reference = try Reference.load()
        let found = reference.pairs.map { pair in
            let texts = [pair.hypothesis, pair.references[0]].map {
                WordTokenizer.none.tokenized($0).unicodeScalars.split(separator: " ").map {
                    Array($0)
                }
            }
            #expect(editDistance(texts[0], texts[1]) == editDistance(texts[1], texts[0]))
            return editDistance(texts[0], texts[1])
        }
        #expect(found == reference.edits)
        #expect(Set(found).count > 5, "control: distances differ")
    }

    @Test func knownWords() {
        #expect(editDistance(Array("kitten"), Array("sitting")) == 3)
        #expect(editDistance([1, 2, 3], []) == 3)
        #expect(editDistance([Int](), []) == 0)
        #expect(editSimilarity(Array("kitten"), Array("sitting")) == 1 - 3.0 / 7)
        #expect(editSimilarity([Int](), []) == 1)
        #expect(editSimilarity([1], [2]) == 0)
    }
}
