import Metrics
import Testing

@Suite struct ROUGETests {
    private let reference: Reference

    init() throws { reference = try Reference.load() }

    private func numbers(_ score: ROUGEScore) -> [Double] {
        [score.precision, score.recall, score.fMeasure]
    }

    @Test func scoresAreThoseOfRougeScore() throws {
        #expect(reference.rouge.count == ROUGE.Variant.allCases.count)
        for entry in reference.rouge {
            let metric = ROUGE(try #require(ROUGE.Variant(rawValue: entry.variant)))
            for (index, pair) in reference.pairs.enumerated() {
                let found = metric.sentenceScore(pair.hypothesis, references: pair.references)
                let expected = entry.pairs[index]
                #expect(isClose(numbers(found), expected), "\(entry.variant), pair \(index)")
            }
            let mean = metric.score(reference.hypotheses, references: reference.references)
            #expect(isClose(numbers(mean), entry.means), "\(entry.variant)")
            #expect(!isClose(numbers(mean).reversed(), entry.means), "control: recall is precision")
        }
    }

    /// Control: no variant is another one.
    @Test func variantsDiffer() {
        let means = ROUGE.Variant.allCases.map {
            numbers(ROUGE($0).score(reference.hypotheses, references: reference.references))
        }
        for index in means.indices {
            #expect(!means[..<index].contains { isClose($0, means[index]) })
        }
    }

    /// By hand: "police killed the gunman" (Lin 2004, section 3.1): a subsequence of 3 of 4 words.
    @Test func subsequenceOfThePaper() {
        let metric = ROUGE(.subsequence)
        let found = metric.sentenceScore(
            "Police kill the gunman.", references: ["police killed the gunman"])
        #expect(found.recall == 0.75 && found.precision == 0.75 && found.fMeasure == 0.75)
        // Its section 3.2: the union over two sentences is 4 of 5 words.
        let lines = ROUGE(.subsequenceOfLines).sentenceScore(
            "w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", references: ["w1 w2 w3 w4 w5"])
        #expect(lines.recall == 0.8)
    }

    /// The sums are the same in any order, to the last bit, though no score is an integer.
    @Test(arguments: ROUGE.Variant.allCases)
    func statisticsAddUpInAnyOrder(variant: ROUGE.Variant) {
        let metric = ROUGE(variant)
        let parts = reference.pairs.map {
            metric.statistics(of: $0.hypothesis, references: $0.references)
        }
        let sum = parts.reduce(metric.zero, +)
        #expect(parts.reversed().reduce(metric.zero, +) == sum)
        #expect(sum.pairCount == reference.pairs.count)
        let whole = metric.score(reference.hypotheses, references: reference.references)
        #expect(metric.score(of: sum) == whole)
        #expect(metric.score(of: metric.zero).fMeasure == 0)
    }
}
