import Metrics
import Testing

@Suite struct ChrFTests {
    private let reference: Reference

    init() throws { reference = try Reference.load() }

    private func configured(_ entry: Reference.ChrFEntry) -> ChrF {
        ChrF(
            wordOrder: entry.wordOrder, lowercases: entry.lowercases,
            keepsWhiteSpace: entry.keepsWhiteSpace, smoothsByEpsilon: entry.smoothsByEpsilon)
    }

    private func sentences(_ metric: ChrF) -> [Double] {
        reference.pairs.map { metric.sentenceScore($0.hypothesis, references: $0.references) }
    }

    @Test func corporaAreThoseOfSacrebleu() {
        for entry in reference.chrf {
            let metric = configured(entry)
            #expect(metric.name == entry.name)
            for (index, corpus) in reference.texts.enumerated() {
                let found = metric.score(corpus.hypotheses, references: corpus.references)
                #expect(isClose([found], [entry.corpora[index]]), "\(metric), corpus \(index)")
                let count = referenceCount(of: corpus.references)
                #expect(metric.signature(referenceCount: count) == entry.signatures[index])
            }
        }
    }

    @Test func sentencesAreThoseOfSacrebleu() {
        for entry in reference.chrf {
            #expect(isClose(sentences(configured(entry)), entry.sentences), "\(configured(entry))")
        }
    }

    /// Control: each setting changes some sentence's score; so do orders and β, which the fixture
    /// does not vary.
    @Test func settingsMatter() {
        let metrics =
            reference.chrf.map(configured) + [
                ChrF(characterOrder: 5), ChrF(beta: 1), ChrF(wordOrder: 1),
            ]
        let scores = metrics.map(sentences)
        for (index, found) in scores.enumerated() {
            #expect(!scores[..<index].contains { isClose($0, found) }, "\(metrics[index])")
        }
        #expect(ChrF.plusPlus.name == "chrF2++")
    }

    /// By hand: of "abc" and "abd", orders 1 to 3 match 2 of 3, 1 of 2, 0 of 1 on both sides.
    @Test func statisticsAreCounts() {
        let metric = ChrF()
        let statistics = metric.statistics(of: "a bc", references: ["ab d"])
        #expect(statistics.values == [3, 3, 2, 2, 2, 1, 1, 1, 0] + Array(repeating: 0, count: 9))
        #expect(isClose([metric.score(of: statistics)], [100 * (2.0 / 3 + 0.5) / 3]))
    }

    @Test func statisticsAddUp() {
        let metric = ChrF.plusPlus
        let (hypotheses, references) = (reference.hypotheses, reference.references)
        let whole = metric.statistics(of: hypotheses, references: references)
        let first = metric.statistics(
            of: Array(hypotheses[..<17]), references: Array(references[..<17]))
        let second = metric.statistics(
            of: Array(hypotheses[17...]), references: Array(references[17...]))
        #expect(second + first == whole)
        #expect(metric.score(of: whole) == metric.score(hypotheses, references: references))
        #expect(metric.score(of: metric.zero) == 0)
    }
}
