import Metrics
import Testing

@Suite struct BLEUTests {
    private let reference: Reference

    init() throws { reference = try Reference.load() }

    private func configured(_ entry: Reference.BLEUEntry) -> BLEU? {
        let smoothings: [String: BLEU.Smoothing] = [
            "none": .none, "exp": .exponential, "floor": .floor(entry.value),
            "add-k": .addition(entry.value),
        ]
        guard let tokenizer = WordTokenizer(rawValue: entry.tokenizer),
            let smoothing = smoothings[entry.smoothing]
        else { return nil }
        return BLEU(
            tokenizer: tokenizer, lowercases: entry.lowercases, smoothing: smoothing,
            usesEffectiveOrder: entry.effective)
    }

    private func numbers(_ score: BLEUScore) -> [Double] {
        [score.score] + score.precisions
            + [score.brevityPenalty, Double(score.hypothesisLength), Double(score.referenceLength)]
    }

    @Test func corporaAreThoseOfSacrebleu() throws {
        for entry in reference.bleu {
            let metric = try #require(configured(entry))
            for (index, corpus) in reference.texts.enumerated() {
                let found = numbers(metric.score(corpus.hypotheses, references: corpus.references))
                #expect(isClose(found, entry.corpora[index]), "\(metric), corpus \(index)")
                let count = referenceCount(of: corpus.references)
                #expect(metric.signature(referenceCount: count) == entry.signatures[index])
            }
        }
    }

    @Test func sentencesAreThoseOfSacrebleu() throws {
        for entry in reference.bleu where entry.effective {
            var metric = try #require(configured(entry))
            metric.usesEffectiveOrder = false  // what a sentence has all the same
            let found = reference.pairs.map {
                metric.sentenceScore($0.hypothesis, references: $0.references).score
            }
            #expect(isClose(found, entry.sentences), "\(metric)")
        }
    }

    /// Control: each setting changes some sentence's score, and a pair that is swapped is another
    /// one.
    @Test func settingsMatter() throws {
        let sentences = reference.bleu.filter(\.effective).map(\.sentences)
        for (index, scores) in sentences.enumerated() {
            #expect(!sentences[..<index].contains { isClose($0, scores) })
        }
        let metric = BLEU()
        let swapped = reference.pairs.map {
            metric.sentenceScore($0.references[0], references: [$0.hypothesis]).score
        }
        let straight = reference.pairs.map {
            metric.sentenceScore($0.hypothesis, references: [$0.references[0]]).score
        }
        #expect(!isClose(swapped, straight))
        // A corpus whose hypotheses are of one or two words: only the effective order has a score
        // for it.
        let corpora = reference.bleu.filter { $0.smoothing == "exp" && $0.tokenizer == "13a" }
        #expect(corpora.contains { $0.corpora[3][0] == 0 && !$0.effective })
        #expect(!corpora.contains { $0.corpora[3][0] == 0 && $0.effective })
    }

    /// Ranks count their parts and add up.
    @Test func statisticsAddUp() {
        let metric = BLEU()
        let (hypotheses, references) = (reference.hypotheses, reference.references)
        let whole = metric.statistics(of: hypotheses, references: references)
        for middle in [0, 1, 17, hypotheses.count] {
            let first = metric.statistics(
                of: Array(hypotheses[..<middle]), references: Array(references[..<middle]))
            let second = metric.statistics(
                of: Array(hypotheses[middle...]), references: Array(references[middle...]))
            #expect(second + first == whole)
            #expect(BLEUStatistics(values: second.values) == second)
        }
        #expect(metric.score(of: whole) == metric.score(hypotheses, references: references))
        #expect(metric.score(of: metric.zero).score == 0)
    }

    /// By hand: of the 7 words "the", a reference has 2 (Papineni et al. 2002, example 2).
    @Test func matchesAreClipped() {
        let statistics = BLEU(lowercases: true).statistics(
            of: "the the the the the the the",
            references: ["The cat is on the mat.", "There is a cat on the mat."])
        #expect(statistics.matches == [2, 0, 0, 0])
        #expect(statistics.totals == [7, 6, 5, 4])
        #expect(statistics.hypothesisLength == 7 && statistics.referenceLength == 7)
    }
}

@Suite struct WordTokenizerTests {
    @Test func wordsAreThoseOfMteval13a() throws {
        for conversion in try Reference.load().tokens {
            #expect(WordTokenizer.mteval13a.tokenized(conversion.text) == conversion.result)
            // Strings are also equal if only their canonical forms are.
            let found = Array(WordTokenizer.mteval13a.tokenized(conversion.text).utf8)
            #expect(found == Array(conversion.result.utf8))
        }
        #expect(
            WordTokenizer.mteval13a.tokenized("1,5-a b,c.") == "1,5 - a b , c .")
        #expect(WordTokenizer.none.tokenized(" 1,5-a\u{2028}b,c.\u{1F}\n") == "1,5-a b,c.")
    }

    @Test func lowerCaseIsThatOfPython() throws {
        let conversions = try Reference.load().lowercase
        for conversion in conversions {
            #expect(lowercase(conversion.text) == Array(conversion.result.utf8))
        }
        // Control: the rule for a sigma is needed.
        #expect(conversions.contains { $0.text.lowercased() != $0.result })
    }
}
