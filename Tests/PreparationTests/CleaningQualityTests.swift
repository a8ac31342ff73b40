// Gopher's rules: of each a text at the threshold, which stays, and one just beyond, which goes.

import Preparation
import Testing

@Suite struct CleaningQualityTests {
    private func verdict(_ words: [String]) throws -> Verdict {
        try verdict(words.joined(separator: " "))
    }

    private func verdict(_ text: String) throws -> Verdict {
        try Cleaned(text) { $0.rules = [.gopherQuality] }.verdict
    }

    /// `the`, `of`, and others of 5 letters.
    private func words(_ count: Int) -> [String] {
        var unusual = UnusualWords()
        return ["the", "of"] + unusual.next(count - 2, of: 5)
    }

    @Test func numberOfWords() throws {
        #expect(try verdict(words(49)) == .drop(.gopherFewWords))
        #expect(try verdict(words(50)) == .keep)
        // Punctuation by itself is no word.
        #expect(try verdict(words(49) + ["--"]) == .drop(.gopherFewWords))
        let many = ["the", "of"] + [String](repeating: "many", count: 99_998)
        #expect(try verdict(many) == .keep)
        #expect(try verdict(many + ["more"]) == .drop(.gopherManyWords))
    }

    @Test func lengthOfWords() throws {
        var unusual = UnusualWords()
        // 5 letters in two words, and 48 others.
        let three = [String](repeating: "abc", count: 47)
        #expect(try verdict(["the", "of"] + three + ["abcd"]) == .keep)
        #expect(try verdict(["the", "of"] + three + ["abc"]) == .drop(.gopherShortWords))
        let ten = unusual.next(47, of: 10)
        #expect(try verdict(["the", "of"] + ten + [unusual.next(25)]) == .keep)
        #expect(
            try verdict(["the", "of"] + ten + [unusual.next(26)]) == .drop(.gopherLongWords))
        // Characters count, not bytes.
        let cyrillic = [String](repeating: "словословс", count: 47)
        #expect(try verdict(["the", "of"] + cyrillic + [unusual.next(25)]) == .keep)
    }

    @Test(arguments: [
        ("#", DropReason.gopherHashes), ("…", .gopherEllipses), ("...", .gopherEllipses),
    ])
    func symbols(_ symbol: String, _ reason: DropReason) throws {
        func marked(_ count: Int) -> [String] {
            words(50).enumerated().map { $0.offset < count ? $0.element + symbol : $0.element }
        }
        #expect(try verdict(marked(5)) == .keep)
        #expect(try verdict(marked(6)) == .drop(reason))
    }

    /// Ten lines of six words, of which some are changed.
    private func lines(_ count: Int, _ change: (String) -> String) -> String {
        let words = words(60)
        return (0..<10).map { line in
            let text = words[(6 * line)..<(6 * line + 6)].joined(separator: " ")
            return line < count ? change(text) : text
        }.joined(separator: "\n")
    }

    @Test(arguments: ["-", "•", "  -"])
    func bullets(_ bullet: String) throws {
        #expect(try verdict(lines(9) { bullet + $0 }) == .keep)
        #expect(try verdict(lines(10) { bullet + $0 }) == .drop(.gopherBulletLines))
        // Any other sign is none.
        #expect(try verdict(lines(10) { "+" + $0 }) == .keep)
    }

    @Test(arguments: ["...", "…", "… "])
    func ellipsesOfLines(_ ellipsis: String) throws {
        #expect(try verdict(lines(3) { $0 + ellipsis }) == .keep)
        #expect(try verdict(lines(4) { $0 + ellipsis }) == .drop(.gopherEllipsisLines))
        #expect(try verdict(lines(4) { $0 + ".." }) == .keep)
    }

    @Test func wordsWithLetters() throws {
        let numbers = [String](repeating: "12345", count: 11)
        #expect(try verdict(words(40) + numbers.prefix(10)) == .keep)
        #expect(try verdict(words(39) + numbers) == .drop(.gopherLetteredWords))
        let greek = [String](repeating: "12α45", count: 11)
        #expect(try verdict(words(39) + greek) == .keep)
    }

    @Test func stopWords() throws {
        var unusual = UnusualWords()
        let others = unusual.next(50, of: 5)
        #expect(try verdict(others + ["the", "of"]) == .keep)
        #expect(try verdict(others + ["“The”", "(OF),"]) == .keep)
        #expect(try verdict(others + ["the", "the"]) == .drop(.gopherStopWords))
        #expect(try verdict(others + ["theme", "off"]) == .drop(.gopherStopWords))
    }

    @Test func thresholdsAreOptions() throws {
        let text = words(20).joined(separator: " ")
        let kept = try Cleaned(text) {
            $0.rules = [.gopherQuality]
            $0.gopherQuality.fewestWords = 20
        }
        #expect(kept.verdict == .keep)
        #expect(kept.counts.documentsOut == 1)
        let dropped = try Cleaned(text) { $0.rules = [.gopherQuality] }
        #expect(dropped.counts.dropped[.gopherFewWords] == 1)
        #expect(dropped.counts.dropped.total == 1)
    }
}
