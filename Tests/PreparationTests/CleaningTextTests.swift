// Control characters, normal forms, lines, block lists, counts.

import Datasets
import Foundation
import Preparation
import Testing

@Suite struct CleaningTextTests {
    @Test func controlCharacters() throws {
        let text =
            "a\u{0}b\tc\r\nd\re\u{B}f\u{C}g\u{85}h\u{2028}i\u{2029}j\u{7F}k\u{9F}l\u{FEFF}m\u{200B}n\u{2060}o"
        let result = try Cleaned(text) { _ in }
        #expect(result.text == "ab\tc\nd\ne\nf\ng\nh\ni\njklmno")
        #expect(result.counts.controlCharacters == 13)
        #expect(result.counts.bytesIn == text.utf8.count)
        #expect(result.counts.bytesOut == result.text.utf8.count)
        #expect(
            Array(try Cleaned(text) { $0.controlCharacters = .keep }.text.utf8) == Array(text.utf8))
        // What is spelt with joiners, and what begins with the same bytes.
        let others = "می\u{200C}خواهم 👩\u{200D}👩 \u{2026}\u{2010}\u{FF01}é\u{A0}"
        #expect(Array(try Cleaned(others) { _ in }.text.utf8) == Array(others.utf8))
    }

    @Test func illFormedUTF8() throws {
        let result = try Cleaned(Document(text: [0x61, 0xFF, 0xE2, 0x82, 0x62], number: 0)) { _ in }
        #expect(result.text == "a\u{FFFD}\u{FFFD}b")
        #expect(result.counts.textsRepaired == 1)
    }

    @Test func normalForms() throws {
        let text = "Cafe\u{301} ﬁ ½ ① Å \u{1E9B}\u{323} ㎒ \u{1100}\u{1161}\u{11A8} e\u{323}\u{302}"
        for (form, expected) in [
            (CleaningOptions.Normalization.none, text),
            (.nfc, text.precomposedStringWithCanonicalMapping),
            (.nfkc, text.precomposedStringWithCompatibilityMapping),
        ] {
            let result = try Cleaned(text) { $0.normalization = form }
            #expect(Array(result.text.utf8) == Array(expected.utf8))
        }
        #expect(try Cleaned(text) { _ in }.counts.textsNormalized == 1)
        #expect(try Cleaned("é") { _ in }.counts.textsNormalized == 0)
    }

    /// By UAX #15 and section 3.12 of the standard; Foundation leaves some of these apart.
    @Test(arguments: [
        ("\u{1103}\u{1163}\u{117B}", "\u{B31C}\u{117B}"),
        ("\u{1104}\u{1171}\u{32F}", "\u{B6F0}\u{32F}"), ("\u{AC1C}\u{11AC}", "\u{AC21}"),
        ("\u{AC21}\u{11AC}", "\u{AC21}\u{11AC}"), ("a\u{1161}", "a\u{1161}"),
    ])
    func syllables(_ text: String, _ expected: String) throws {
        #expect(Array(try Cleaned(text) { _ in }.text.utf8) == Array(expected.utf8))
    }

    /// Texts of characters from the blocks where something may happen, against Foundation's forms.
    @Test func normalFormsOfRandomTexts() throws {
        let common: [ClosedRange<UInt32>] = [
            0x20...0x7E, 0x100...0x17F, 0x300...0x36F, 0x400...0x4FF, 0x590...0x6FF, 0x900...0x9FF,
            0xB40...0xBFF, 0xD00...0xDFF, 0x2100...0x214F, 0xAC00...0xAC80, 0xF900...0xFAFF,
            0x11080...0x110BF,
        ]
        // What is a space with a mark to NFKC, and small syllables, Foundation leaves out of order.
        let blocks = [
            common + [
                0xA0...0xFF, 0x370...0x3FF, 0x1E00...0x1FFF, 0x3040...0x30FF, 0xFB00...0xFFEF,
            ],
            common,
        ]
        var state: UInt64 = 3
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var cleaners: [Cleaner] = []
        for form in [CleaningOptions.Normalization.nfc, .nfkc] {
            var options = CleaningOptions()
            (options.normalization, options.controlCharacters) = (form, .keep)
            cleaners.append(try Cleaner(options))
        }
        var changed = 0
        for round in 0..<4_000 {
            let form = round % 2
            var text = String.UnicodeScalarView()
            for _ in 0..<(1 + random(12)) {
                let block = blocks[form][random(blocks[form].count)]
                let value = block.lowerBound + UInt32(random(block.count))
                guard let scalar = Unicode.Scalar(value), (scalar.properties.age?.major ?? 99) <= 9
                else { continue }
                text.append(scalar)
            }
            let string = String(text)
            guard !string.isEmpty else { continue }
            let expected =
                form == 0
                ? string.precomposedStringWithCanonicalMapping
                : string.precomposedStringWithCompatibilityMapping
            var document = Document(text: Array(string.utf8), number: 0)
            #expect(cleaners[form].clean(&document) == .keep)
            #expect(document.parts[0].text == Array(expected.utf8))
            if document.parts[0].text != Array(string.utf8) { changed += 1 }
        }
        #expect(changed > 1_000)
    }

    @Test func lines() throws {
        let text = "a \t\nb\u{3000}\n\n \n\n\nc\n\n\nd  "
        #expect(try Cleaned(text) { $0.trimsLineEnds = true }.text == "a\nb\n\n\n\n\nc\n\n\nd")
        let result = try Cleaned(text) {
            $0.trimsLineEnds = true
            $0.collapsesBlankLines = true
        }
        #expect(result.text == "a\nb\n\n\nc\n\n\nd")
        #expect(result.counts.linesRemoved[.blankLines] == 2)
        #expect(
            try Cleaned(text) { $0.collapsesBlankLines = true }.text
                == "a \t\nb\u{3000}\n\n \nc\n\n\nd  ")
        #expect(try Cleaned("a\n\n") { $0.collapsesBlankLines = true }.text == "a\n\n")
    }

    @Test func emptyTexts() throws {
        #expect(try Cleaned("") { _ in }.verdict == .drop(.empty))
        #expect(try Cleaned("\u{FEFF}\u{0}") { _ in }.verdict == .drop(.empty))
        func record(_ second: String) -> Document {
            Document(parts: [.init(.source, [65]), .init(.target, Array(second.utf8))], number: 0)
        }
        #expect(try Cleaned(record("")) { _ in }.verdict == .keep)
        #expect(try Cleaned(record("\u{0}")) { _ in }.verdict == .drop(.empty))
    }

    @Test func blockedWords() throws {
        let file = try TemporaryFile("# a list\nbad\n\n  Very   Bad Thing \n$hit\nböse\nc++\n")
        func verdict(_ text: String) throws -> Verdict {
            try Cleaned(text) { $0.blockedWords = [file.path] }.verdict
        }
        for text in [
            "bad", "so BAD!", "not-bad", "a very\n bad  thing", "a $hit.", "so böse ist", "in C++",
            "(bad)",
        ] {
            #expect(try verdict(text) == .drop(.blockedWord), "\(text)")
        }
        for text in [
            "badly", "notbad", "bad_word", "very thing", "hit", "c+", "# a list", "badé", "ébad",
        ] {
            #expect(try verdict(text) == .keep, "\(text)")
        }
    }

    @Test func blockedDomains() throws {
        let file = try TemporaryFile("example.org\n*.Evil.com\n.third.net.\n")
        func verdict(_ address: String?) throws -> Verdict {
            var document = Document(text: [65], number: 0)
            document.address = address
            return try Cleaned(document) { $0.blockedDomains = [file.path] }.verdict
        }
        for address in [
            "https://example.org/page", "http://www.EXAMPLE.org:8080", "example.org",
            "https://user:word@sub.evil.com/?q", "//third.net.", "http://example.org?x=/y",
        ] {
            #expect(try verdict(address) == .drop(.blockedDomain), "\(address)")
        }
        for address in [
            "https://myexample.org", "https://example.org.uk", "https://a.com/example.org", "org",
            "",
            "https://example.com/?u=http://example.org",
        ] {
            #expect(try verdict(address) == .keep, "\(address)")
        }
        #expect(try verdict(nil) == .keep)
    }

    @Test func faultyLists() throws {
        func kind(_ change: (inout CleaningOptions) -> Void) -> DatasetError.Kind? {
            do {
                _ = try Cleaned("a", change)
                return nil
            } catch { return (error as? DatasetError)?.kind }
        }
        #expect(kind { $0.blockedWords = ["/nowhere/list"] } == .missing)
        #expect(kind { $0.blockedWords = ["/"] } == .missing)
        for (text, expected) in [
            ("ok\n...\n", DatasetError.Kind?.some(.invalidText)), ("ok\n", nil),
        ] {
            let file = try TemporaryFile(text)
            #expect(kind { $0.blockedWords = [file.path] } == expected)
        }
        for text in ["http://example.org", "127.0.0.1 example.org", "a@example.org", "*"] {
            let file = try TemporaryFile(text)
            #expect(kind { $0.blockedDomains = [file.path] } == .invalidText)
        }
        let bytes = try TemporaryFile([0x61, 0xFF])
        #expect(kind { $0.blockedWords = [bytes.path] } == .invalidText)
    }

    @Test func countsAddUpAndKeepTheirNames() throws {
        var sum = try Cleaned("a@b.org") { $0.emailAddresses = .redact }.counts
        sum += try Cleaned("a@b.org") { $0.emailAddresses = .drop }.counts
        sum += try Cleaned("one") { $0.rules = [.c4] }.counts
        #expect((sum.documentsIn, sum.documentsOut) == (3, 1))
        #expect((sum.bytesIn, sum.bytesOut) == (17, 7))
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let json = try encoder.encode(sum)
        #expect(
            String(decoding: json, as: UTF8.self) == """
                {"bytes_in":17,"bytes_out":7,"control_characters":0,"documents_in":3,"documents_out":1,\
                "dropped":{"c4_few_sentences":1,"email_address":1},\
                "lines_removed":{"c4_no_terminal_punctuation":1},"redactions":{"email_address":1},\
                "texts_normalized":0,"texts_repaired":0}
                """)
        #expect(try JSONDecoder().decode(CleaningCounts.self, from: json) == sum)
        let unknown = Data(
            String(decoding: json, as: UTF8.self).replacingOccurrences(of: "c4_few", with: "c5_few")
                .utf8)
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(CleaningCounts.self, from: unknown)
        }
        #expect(Set(DropReason.allCases.map(\.rawValue)).count == DropReason.allCases.count)
        for reason in DropReason.allCases {
            #expect(reason.rawValue.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" })
        }
    }
}
