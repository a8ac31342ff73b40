import Testing
import Tokenizers

/// Regular expressions as the Hugging Face library reads them.
@Suite struct PatternTests {
    private func pipeline(_ pattern: String) throws -> TokenizerPipeline {
        var text = TokenizerText.byteLevel()
        text.preTokenizer = """
            {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": \
            \(TokenizerText.quoted(pattern))}, "behavior": "Removed", "invert": false}, \
            \(TokenizerText.byteLevelPart(usesPattern: false))]}
            """
        return try text.pipeline()
    }

    /// What a pattern leaves of a text; PCRE2 alone would leave something else but in the last rows, the control.
    @Test(arguments: [
        (#"\w+"#, "a1_é\u{301}Ⅷⓐ🄰½²٣ €¢-", " €¢-"), (#"\W+"#, "aⅧ½ €-b", "aⅧ½b"),
        (#"[\w]+"#, "aⅧⓐ½²", "½²"), (#"[^\w]+"#, "aⅧ½ €", "aⅧ"),
        (#"\s"#, "a \u{180E}\u{85}\u{2003}\tb", "a\u{180E}b"), (#"\S"#, "a \u{180E}", " "),
        (#"[\s]"#, "a \u{180E}", "a\u{180E}"),
        (#"[\S]"#, "a\u{180E} \u{0}\u{7F}\u{80}€é漢\u{E000}\u{85}", " \u{85}"),
        (#"[\s\S]"#, "a\u{180E} \u{85}", ""), (#"(?i:A)b"#, "abABaB", "ABaB"),
        (#"[[:digit:]]+"#, "a12", "a"), (#"(?i)k(?-i:k)"#, "KkkK", "kK"),
    ])
    func partsThatDifferAreWrittenOut(pattern: String, text: String, rest: String) throws {
        let pipeline = try pipeline(pattern)
        #expect(try pipeline.decoded(TextEncoder(pipeline).encode(text)) == rest)
    }

    @Test(arguments: [
        ("[[:alpha:]]", "[:alpha:]"), ("[a[:^punct:]]", "[:^punct:]"), ("[a[:b]", "[ in a class"),
        (#"\p{Alphabetic}"#, #"\p{Alphabetic}"#), (#"\P{white_space}"#, #"\p{white_space}"#),
        (#"(?i)\p{Lu}"#, "where case does not count"),
        (#"(?i:a[\p{Ll}])"#, "where case does not count"),
        (#"a(?:b(?i)c|\p{Lt})"#, "where case does not count"), (#"\bword"#, #"\b"#),
        ("[a&&b]", "&&"), ("a{,3}", "{,n}"), ("(?m:.)", "(?m"),
    ])
    func partsThatCannotBeAreRefused(pattern: String, part: String) throws {
        let error = #expect(throws: TokenizerError.self) { try pipeline(pattern) }
        #expect(error?.message.contains(part) == true, "\(String(describing: error))")
    }

    /// Flags end with their group.
    @Test(arguments: [
        #"(?i:a)\p{Lu}"#, #"(?:(?i)a)\p{Ll}"#, #"(?i:a(?-i:\p{Lu}))"#, #"\((?i:\))\p{Lu}"#,
    ])
    func caseCountsOutsideOfItsGroup(pattern: String) throws { _ = try pipeline(pattern) }
}
