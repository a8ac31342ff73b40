import Foundation
import Preparation
import TestSupport
import Testing

/// Texts that nobody writes: whatever a text says, looking through it takes time in proportion to its length.
@Suite struct CleaningWorkTests {
    /// Seconds of this thread.
    private static func seconds(_ body: () throws -> Void) rethrows -> Double {
        func now() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
        }
        let start = now()
        try body()
        return now() - start
    }

    private static func text(_ pattern: String, _ byteCount: Int) -> Document {
        let piece = Array(pattern.utf8)
        var text: [UInt8] = []
        while text.count < byteCount { text += piece }
        return Document(text: text, number: 0)
    }

    /// Runs of one web token's parts, of which each is an eighth of the text.
    private static func token(_ byteCount: Int) -> Document {
        let part = text("-eyJ", byteCount / 8).parts[0].text
        let parts = (0..<8).map { _ in Array(part.dropFirst()) }
        return Document(text: Array(parts.joined(separator: [0x2E])), number: 0)
    }

    private static func all(_ options: inout CleaningOptions) {
        options.emailAddresses = .redact
        options.ipAddresses = .redact
        options.paymentCards = .redact
        options.secrets = .redact
        options.phoneNumbers = .redact
        options.trimsLineEnds = true
        options.collapsesBlankLines = true
    }

    /// Eight times the text takes about eight times as long, where another power of it would take 64 times.
    private static func expectProportion(
        _ options: CleaningOptions, _ name: String, _ document: (Int) -> Document
    ) throws {
        var cleaner = try Cleaner(options)
        var least = [Double.infinity, .infinity]
        for _ in 0..<3 {
            for (index, byteCount) in [1 << 14, 1 << 17].enumerated() {
                var copy = document(byteCount)
                let taken = Self.seconds { _ = cleaner.clean(&copy) }
                least[index] = min(least[index], taken)
            }
        }
        let ratio = least[1] / max(least[0], 20e-6)
        #expect(ratio < 24, "\(name): \(ratio)")
    }

    private static let patterns = [
        "-sk-", "sk-", "-eyJ", "eyJ", "-xoxb-", "glpat-", "github_pat_", "AKIA", "ghp_ ",
        "-----BEGIN PRIVATE KEY-----", "-----BEGIN A PRIVATE KEY-----\n", "-----BEGIN ",
        "-----END ",
        "@a.", "a@", "a@b.", "@", "1.", "1 ", "1-", "(1", "+1 ", "1", "a:", "::", ":1", "f",
        "tel 1234567 ", "tel", "[1", "[", "]", ". ", ".", "!\"", "e.g. ", "a", " ", "\n", " \n",
        "\u{2028}", "\u{301}", "\u{301}\u{327}", "\u{1100}\u{1161}", "{", "a\n\n", "\n\na\n",
        "a b\n",
    ]

    @Test func privateDataTakesTimeInProportion() throws {
        var options = CleaningOptions()
        Self.all(&options)
        for pattern in Self.patterns {
            try Self.expectProportion(options, pattern.debugDescription) {
                Self.text(pattern, $0)
            }
        }
        try Self.expectProportion(options, "web tokens", Self.token)
    }

    @Test(arguments: CleaningOptions.RuleSet.allCases)
    func rulesTakeTimeInProportion(rules: CleaningOptions.RuleSet) throws {
        var options = CleaningOptions()
        options.rules = [rules]
        options.c4.requiresTerminalPunctuation = false
        options.c4.fewestWordsPerLine = 0
        options.c4.longestWord = .max
        options.c4.dropsCurlyBrackets = false
        for pattern in Self.patterns {
            try Self.expectProportion(options, "\(rules) \(pattern.debugDescription)") {
                Self.text(pattern, $0)
            }
        }
    }

    @Test func addressesTakeTimeInProportion() throws {
        let list = try TemporaryFile("example.org\n")
        var options = CleaningOptions()
        options.blockedDomains = [list.path]
        try Self.expectProportion(options, "a.a.a…") { byteCount in
            var document = Document(text: [0x41], number: 0)
            document.address = "http://" + String(repeating: "a.", count: byteCount / 2) + "b"
            return document
        }
        // What they look at is enough.
        for (address, verdict) in [
            ("http://a.b.c.example.org/x", Verdict.drop(.blockedDomain)),
            ("xexample.org", .keep), ("example.org", .drop(.blockedDomain)),
            (".example.org", .drop(.blockedDomain)),
        ] {
            var document = Document(text: [0x41], number: 0)
            document.address = address
            var cleaner = try Cleaner(options)
            #expect(cleaner.clean(&document) == verdict)
        }
    }

    /// Megabytes of what costs most, which are looked through at once.
    @Test(arguments: ["-sk-", "-eyJ", "-----BEGIN PRIVATE KEY-----"])
    func longTextsEnd(pattern: String) throws {
        var options = CleaningOptions()
        Self.all(&options)
        var cleaner = try Cleaner(options)
        var document = Self.text(pattern, 4 << 20)
        _ = cleaner.clean(&document)
    }

    /// What ends a run, a token or a key is found from each beginning.
    @Test func whatWasLookedThroughIsFoundAgain() throws {
        let (digits, token) = (String(repeating: "aB3", count: 20), "eyJabcdefgh.eyJabcdefgh")
        let texts = [
            ("-sk-\(digits)-sk-\(digits)", "-<secret>"),
            ("\(token) x \(token).abcdefghij", "\(token) x <secret>"),
            ("\(token)-\(token).\(token).abcdefghij", "<secret>.<secret>"),
            (
                "-----BEGIN PRIVATE KEY-----@-----BEGIN PRIVATE KEY-----QUJD-----END PRIVATE KEY-----",
                "<secret>"
            ),
        ]
        for (text, expected) in texts {
            let cleaned = try Cleaned(text) { $0.secrets = .redact }
            #expect(cleaned.text == expected)
        }
        // The first two have their end too far away, the third has it near.
        let far = String(repeating: "A", count: 20_000)
        let begin = "-----BEGIN PRIVATE KEY-----"
        let keys = "\(begin)@\(far)@\(begin)@\(far)@\(begin)\(far)-----END PRIVATE KEY-----!"
        let cleaned = try Cleaned(keys) { $0.secrets = .redact }
        #expect(cleaned.text == "<secret>@\(far)@<secret>@\(far)@<secret>!")
    }

    /// A normal form may have more bytes than its text.
    @Test func whatCleaningMakesTooLongGoes() throws {
        for (most, verdict) in [(33, Verdict.keep), (32, .drop(.tooLong))] {
            let cleaned = try Cleaned("\u{FDFA}") {
                $0.normalization = .nfkc
                $0.mostBytes = most
            }
            #expect(cleaned.verdict == verdict && cleaned.text.utf8.count == 33)
        }
        let redacted = try Cleaned("a@b.co") {
            $0.emailAddresses = .redact
            $0.mostBytes = 6
        }
        #expect(redacted.verdict == .drop(.tooLong) && redacted.counts.redactions.total == 0)
    }
}
