import Testing
import Tokenizers

/// Unigram vocabularies of small corpora.
@Suite struct UnigramTrainingTests {
    typealias Words = [(text: [UInt8], count: Int)]

    private func words(_ counts: KeyValuePairs<String, Int>) -> Words {
        counts.map { (Array($0.key.utf8), $0.value) }
    }

    private func training(_ vocabularySize: Int, threads: Int = 1) -> UnigramTraining {
        var training = UnigramTraining()
        training.vocabularySize = vocabularySize
        training.threads = threads
        return training
    }

    private func texts(_ pieces: [(text: [UInt8], score: Double)]) -> [String] {
        pieces.map { String(decoding: $0.text, as: UTF8.self) }
    }

    /// Pieces and the bits of their scores, one a line.
    private func lines(_ pieces: [(text: [UInt8], score: Double)]) -> [String] {
        pieces.map { "\(String(decoding: $0.text, as: UTF8.self)) \($0.score.bitPattern)" }
    }

    private static let syllables = [
        "ba", "ne", "ko", "tir", "lum", "sch", "ön", "日本", "qu", "ing", "vex", "🙂y",
    ]

    /// Words of two to seven syllables, as if thrown by dice.
    private func syllableWords(_ wordCount: Int) -> Words {
        var state: UInt64 = 1
        func next(below bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var counts: [String: Int] = [:]
        for _ in 0..<wordCount {
            let word = (0...1 + next(below: 6)).map { _ in
                Self.syllables[next(below: Self.syllables.count)]
            }.joined()
            counts[word, default: 0] += 1 + next(below: 9)
        }
        return counts.map { (Array($0.key.utf8), $0.value) }
            .sorted { $0.text.lexicographicallyPrecedes($1.text) }
    }

    /// With room for one piece a syllable, the syllables are what tells the words best.
    @Test func syllablesAreFound() throws {
        let corpus = syllableWords(800)
        let characters = Set(Self.syllables.joined().unicodeScalars)
        let size = characters.count + Self.syllables.count
        let (pieces, unknown) = try training(size).train(corpus)
        #expect(Set(texts(pieces).prefix(Self.syllables.count)) == Set(Self.syllables))
        #expect(Set(texts(pieces)) == Set(Self.syllables + characters.map { String($0) }))
        #expect(pieces.count == size)
        #expect(unknown == nil)
        for (better, worse) in zip(pieces, pieces.dropFirst()) {
            #expect(better.score >= worse.score)
        }
    }

    /// The control of the above: other counts, another vocabulary.
    @Test func aFrequentWordIsAPieceOfItsOwn() throws {
        let corpus = syllableWords(800) + words(["bakotir": 5000])
        let characters = Set(Self.syllables.joined().unicodeScalars)
        let (pieces, _) = try training(characters.count + Self.syllables.count).train(corpus)
        #expect(texts(pieces).first == "bakotir")
        #expect(!Set(texts(pieces)).isSuperset(of: Self.syllables))
    }

    @Test func noBitDependsOnThreadsOrOrder() throws {
        let corpus = syllableWords(2000)
        let (alone, _) = try training(300).train(corpus)
        #expect(alone.count == 300)
        for threads in 2...3 {
            let (shared, _) = try training(300, threads: threads).train(corpus)
            #expect(lines(shared) == lines(alone))
        }
        let (turned, _) = try training(300, threads: 2).train(corpus.reversed())
        #expect(lines(turned) == lines(alone))
        var changed = corpus
        changed[0].count += 1
        let (other, _) = try training(300).train(changed)
        #expect(lines(other) != lines(alone))
    }

    @Test func specialTokensStandFirst() throws {
        let corpus = words(["aaab": 7, "<s>": 9, "a": 3])
        var training = training(30)
        training.specials = [Array("<s>".utf8), Array("a".utf8)]
        training.unknown = Array("<unk>".utf8)
        let (pieces, unknown) = try training.train(corpus)
        let texts = texts(pieces)
        #expect(texts.prefix(3) == ["<unk>", "<s>", "a"])
        #expect(pieces.prefix(3).map(\.score) == [0, 0, 0])
        #expect(unknown == 0)
        #expect(Set(texts).count == texts.count)
        #expect(Set(texts).isSuperset(of: ["b", "<", "s", ">"]))
        training.specials.append(Array("<unk>".utf8))
        #expect(try training.train(corpus).unknown == 2)
    }

    /// A word so long that the probabilities of its parts are no numbers any more, and one longer than a piece may be.
    @Test func longWordsKeepTheirCounts() throws {
        let unit = "abcdefghij"
        let corpus = words([String(repeating: unit, count: 3000): 2, "ihgfedcba": 1])
        var training = training(14)
        training.longestPiece = 10
        let (pieces, _) = try training.train(corpus)
        #expect(pieces[0].text == Array(unit.utf8))
        #expect(pieces.allSatisfy { $0.score.isFinite && $0.score < 0 && $0.text.count <= 10 })
    }

    /// Two ways tell the long word: at once by one piece and then by single letters; or by single letters, fewer, and then by
    /// the other piece. Halfway the second one is less likely than any `Double` beside the first.
    @Test func aWayThatIsUnlikelyAtFirstMayWin() throws {
        var state: UInt64 = 7
        let text = (0..<500).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(97 + Int(state >> 33) % 20)
        }
        let (first, second) = (Array(text[..<245]), Array(text[244..<499]))
        var training = training(22)
        training.longestPiece = 255
        // The two are the seeds of most characters; there is room for no other.
        training.seedSize = 22
        let (pieces, _) = try training.train([(text, 100), (first, 7), (second, 3)])
        let scores = [first, second].map { piece in pieces.first { $0.text == piece }?.score }
        #expect(pieces.count == 22)
        #expect(try #require(scores[1]) > #require(scores[0]) + 2)
    }

    @Test func whatCannotBeTrainedIsRefused() {
        var training = training(5)
        training.specials = [Array("<s>".utf8)]
        #expect(throws: TokenizerError.self) { try training.train(words(["abcde": 3])) }
        do {
            _ = try training.train(words(["abcde": 3]))
        } catch {
            #expect(
                "\(error)"
                    == "unigram training: vocabulary: expected at least 6 tokens (characters of the words: 5, special tokens: 1), found 5; make it larger, or replace rare characters"
            )
        }
        do {
            _ = try training.train(words(["": 3, "abc": 0]))
            Issue.record("expected an error")
        } catch {
            #expect("\(error)" == "unigram training: words: expected at least one, found none")
        }
    }
}
