// Gopher's rules of repetition: of each a text at the threshold, which stays, and one just beyond, which goes; and a plain
// second implementation, which agrees on random texts.

import Preparation
import Testing

@Suite struct CleaningRepetitionTests {
    private func verdict(_ text: String) throws -> Verdict {
        try Cleaned(text) { $0.rules = [.gopherRepetition] }.verdict
    }

    /// `parts` with a word of its own behind each, of `total` characters in all.
    private func spread(_ parts: [String], over total: Int) -> String {
        var unusual = UnusualWords()
        let rest = total - parts.reduce(0) { $0 + $1.count } - 2 * parts.count + 1
        let (each, more) = (rest / parts.count, rest % parts.count)
        let text = parts.enumerated().map {
            $0.element + " " + unusual.next(each + ($0.offset < more ? 1 : 0))
        }.joined(separator: " ")
        precondition(text.count == total, "spread: expected \(total) characters")
        return text
    }

    @Test(arguments: [
        ("\n", DropReason.gopherDuplicateLines), ("\n\n", .gopherDuplicateParagraphs),
    ])
    func pieces(_ separator: String, _ reason: DropReason) throws {
        func text(_ copies: Int) -> String {
            var unusual = UnusualWords()
            return (0..<10).map { $0 < copies ? "ab" : unusual.next(40) }
                .joined(separator: separator)
        }
        // The first copy is none.
        #expect(try verdict(text(4)) == .keep)
        #expect(try verdict(text(5)) == .drop(reason))
    }

    @Test(arguments: [
        ("\n", 9, DropReason.gopherDuplicateLineCharacters),
        ("\n\n", 18, .gopherDuplicateParagraphCharacters),
    ])
    func charactersOfPieces(_ separator: String, _ breaks: Int, _ reason: DropReason) throws {
        func text(_ length: Int, total: Int) -> String {
            var unusual = UnusualWords()
            let double = String(repeating: "é", count: length)
            let rest = total - 2 * length - breaks
            let others = (0..<8).map { unusual.next(rest / 8 + ($0 < rest % 8 ? 1 : 0)) }
            let pieces = [double] + others.prefix(4) + [double] + others.suffix(4)
            return pieces.joined(separator: separator)
        }
        #expect(try verdict(text(100, total: 500)) == .keep)
        #expect(try verdict(text(100, total: 499)) == .drop(reason))
    }

    @Test(arguments: [
        ("aaa bbb", 350, DropReason.gopherTop2Grams), ("aaa bbb ccc", 612, .gopherTop3Grams),
        ("aa bb cc dd", 688, .gopherTop4Grams),
    ])
    func topNGrams(_ phrase: String, _ total: Int, _ reason: DropReason) throws {
        let phrases = [String](repeating: phrase, count: 10)
        #expect(try verdict(spread(phrases, over: total)) == .keep)
        #expect(try verdict(spread(phrases, over: total - 1)) == .drop(reason))
    }

    @Test(arguments: [
        (5, 1000, DropReason.gopherDuplicate5Grams), (6, 1286, .gopherDuplicate6Grams),
        (7, 1616, .gopherDuplicate7Grams), (8, 2000, .gopherDuplicate8Grams),
        (9, 2455, .gopherDuplicate9Grams), (10, 3000, .gopherDuplicate10Grams),
    ])
    func duplicateNGrams(_ length: Int, _ total: Int, _ reason: DropReason) throws {
        // Ten phrases, twice each: 30 letters a word of the phrases are repeated.
        let letters = Array("abcdefghijklmnopqrstuvwxyz")
        let phrases = (0..<10).map { phrase in
            (0..<length).map { "\(letters[phrase])\(letters[$0])z" }.joined(separator: " ")
        }
        #expect(try verdict(spread(phrases + phrases, over: total)) == .keep)
        #expect(try verdict(spread(phrases + phrases, over: total - 1)) == .drop(reason))
    }

    @Test func whatIsThereOnceIsNoRepetition() throws {
        #expect(try verdict("two words") == .keep)
        #expect(try verdict("word") == .keep)
    }

    /// The rules as the paper's table has them, on words and pieces as strings.
    private func reference(_ text: String) -> DropReason? {
        let total = Double(text.unicodeScalars.count)
        func pieces(_ breaks: Int) -> [String] {
            var (pieces, piece, run) = ([String](), "", 0)
            for character in text + String(repeating: "\n", count: breaks) {
                if character == "\n" {
                    run += 1
                    if run == breaks, !piece.isEmpty {
                        pieces.append(piece)
                        piece = ""
                    }
                } else {
                    if run > 0, run < breaks, !piece.isEmpty {
                        piece += String(repeating: "\n", count: run)
                    }
                    run = 0
                    piece.append(character)
                }
            }
            return pieces
        }
        func repeated(_ pieces: [String]) -> (Double, Double) {
            var seen = Set<String>()
            let again = pieces.filter { !seen.insert($0).inserted }
            let characters = again.reduce(0) { $0 + $1.unicodeScalars.count }
            return (Double(again.count) / Double(max(1, pieces.count)), Double(characters) / total)
        }
        let (paragraphs, lines) = (repeated(pieces(2)), repeated(pieces(1)))
        if paragraphs.0 > 0.3 { return .gopherDuplicateParagraphs }
        if paragraphs.1 > 0.2 { return .gopherDuplicateParagraphCharacters }
        if lines.0 > 0.3 { return .gopherDuplicateLines }
        if lines.1 > 0.2 { return .gopherDuplicateLineCharacters }
        let words = text.split { $0 == " " || $0 == "\n" }.map(String.init)
        let tops = [
            (2, 0.2, DropReason.gopherTop2Grams), (3, 0.18, .gopherTop3Grams),
            (4, 0.16, .gopherTop4Grams),
        ]
        for (length, limit, reason) in tops where words.count >= length {
            var (counts, order) = ([String: Int](), [String]())
            for start in 0...(words.count - length) {
                let gram = words[start..<start + length].joined(separator: " ")
                if counts[gram] == nil { order.append(gram) }
                counts[gram, default: 0] += 1
            }
            var top = order[0]
            for gram in order where counts[gram]! > counts[top]! { top = gram }
            if counts[top]! > 1, Double(counts[top]! * top.count) / total > limit { return reason }
        }
        let limits = [0.15, 0.14, 0.13, 0.12, 0.11, 0.1]
        for length in 5...10 where words.count >= length {
            var (seen, characters, start) = (Set<String>(), 0, 0)
            while start + length <= words.count {
                let gram = words[start..<start + length].joined(separator: " ")
                if seen.insert(gram).inserted {
                    start += 1
                } else {
                    characters += gram.count - length + 1
                    start += length
                }
            }
            if Double(characters) / total > limits[length - 5] {
                return DropReason(rawValue: "gopher_duplicate_\(length)_grams")
            }
        }
        return nil
    }

    @Test func agreesWithAPlainImplementation() throws {
        var options = CleaningOptions()
        options.rules = [.gopherRepetition]
        var cleaner = try Cleaner(options)
        var state: UInt64 = 7
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var reasons = Set<DropReason>()
        var kept = 0
        for round in 0..<600 {
            // From texts of a few words, which repeat everything, to those of many.
            let vocabulary = [20, 60, 200, 1_000][round % 4]
            let phrase = (0..<12).map { _ in "p\(random(90))" }
            var text = ""
            for _ in 0..<(20 + random(200)) {
                if random(30) == 0 {
                    text += phrase.prefix(4 + random(9)).joined(separator: " ")
                } else {
                    text += "w\(random(vocabulary))"
                }
                let end = random(40)
                text += end == 0 ? "\n\n" : end < 3 ? "\n" : " "
            }
            // Lines and words end alike for both.
            text = text.split(separator: " ", omittingEmptySubsequences: false)
                .joined(separator: " ")
            while text.last == " " || text.last == "\n" { text.removeLast() }
            var document = Document(text: Array(text.utf8), number: round)
            let expected = reference(text)
            #expect(cleaner.clean(&document) == expected.map { .drop($0) } ?? .keep)
            if let expected { reasons.insert(expected) } else { kept += 1 }
        }
        // The texts reach both sides, and more than a rule or two.
        #expect(kept > 50)
        #expect(reasons.count >= 6)
    }
}
