import Testing
import Tokenizers

/// Tokens that are found before anything else, cutting, and what is done to finished tokens.
@Suite struct AddedTokenTests {
    private func pipeline(_ tokens: [String], normalizer: String = "null") throws
        -> TokenizerPipeline
    {
        var text = TokenizerText.byteLevel()
        text.addedTokens = tokens
        text.normalizer = normalizer
        return try text.pipeline()
    }

    @Test func theLongestOfThoseThatBeginFirst() throws {
        let pipeline = try pipeline([
            TokenizerText.added(256, "<a>"), TokenizerText.added(257, "<a><b>"),
        ])
        #expect(try pipeline.tokens("x<a><b><a>y<a") == ["x", "<a><b>", "<a>", "y", "<", "a"])
        #expect(try pipeline.aligned("é<a>").offsets == [0..<1, 0..<1, 1..<4])
        #expect(try pipeline.decoded([120, 256, 121]) == "xy")
        #expect(try pipeline.decoded([120, 256, 121], skipsSpecials: false) == "x<a>y")
    }

    @Test func whiteSpaceAndWords() throws {
        let stripping = try pipeline([TokenizerText.added(256, "<m>", left: true, right: true)])
        #expect(try stripping.tokens("a \u{A0}<m>  b") == ["a", "<m>", "b"])
        #expect(try stripping.tokens("<m> <m>") == ["<m>", "<m>"])
        #expect(try stripping.aligned("a <m> b").offsets == [0..<1, 1..<6, 6..<7])
        let words = try pipeline([TokenizerText.added(256, "day", word: true)])
        #expect(try words.tokens("day") == ["day"])
        #expect(try words.tokens("xday").count == 4)
        #expect(try words.tokens("day\u{301}").count == 5, "a mark is of the word")
        #expect(try words.tokens("(day)") == ["(", "day", ")"])
    }

    @Test func longRunsOfWhiteSpaceCostLittle() throws {
        let spaces = String(repeating: " ", count: 300_000)
        let left = try pipeline([TokenizerText.added(256, "  ", left: true)])
        #expect(try left.tokens(spaces).count >= 1)
        let both = try pipeline([TokenizerText.added(256, "<m>", left: true, right: true)])
        #expect(try both.tokens(spaces + "<m>" + spaces + "<m>" + spaces) == ["<m>", "<m>"])
    }

    /// The white space behind the first would be of both.
    @Test(arguments: ["  ", "\u{2003}x"], [false, true])
    func aTokenOfWhiteSpaceBesideOneThatTakesItIsRefused(content: String, normalized: Bool) throws {
        let tokens = [
            TokenizerText.added(256, "<m>", right: true, normalized: normalized),
            TokenizerText.added(257, content, normalized: normalized),
        ]
        let error = #expect(throws: TokenizerError.self) { try pipeline(tokens) }
        #expect(error?.message.contains("rstrip") == true, "\(String(describing: error))")
        #expect(throws: TokenizerError.self) {
            try pipeline([TokenizerText.added(256, content, right: true, normalized: normalized)])
        }
        // One of them before normalization and one behind it do not meet.
        _ = try pipeline([tokens[0], TokenizerText.added(257, content, normalized: !normalized)])
    }

    @Test func normalizedOnesAreFoundInNormalizedText() throws {
        let lower = #"{"type": "Lowercase"}"#
        let exact = try pipeline([TokenizerText.added(256, "Day")], normalizer: lower)
        #expect(try exact.tokens("Day") == ["Day"])
        #expect(try exact.tokens("DAY").count == 3)
        let normalized = try pipeline(
            [TokenizerText.added(256, "Day", normalized: true)], normalizer: lower)
        #expect(try normalized.tokens("DAYday") == ["Day", "Day"])
    }

    /// Ids alone are made in another way than ids with offsets: they are the same.
    @Test(arguments: ["always", "first", "never"], ["null", #"{"type": "Lowercase"}"#])
    func idsAreThoseWithOffsets(scheme: String, normalizer: String) throws {
        var text = TokenizerText()
        let letters = ["▁", "a", "b", "x", "é", "!", "▁a", "ab"]
        text.model = TokenizerText.bytePairs(letters, [("▁", "a"), ("a", "b")])
        text.preTokenizer = """
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "\(scheme)", "split": true}
            """
        text.normalizer = normalizer
        text.addedTokens = [
            TokenizerText.added(8, "ax", word: true), TokenizerText.added(9, "<s>"),
            TokenizerText.added(10, "bb", left: true),
            TokenizerText.added(11, "X", normalized: true),
        ]
        let pipeline = try text.pipeline()
        let encoder = TextEncoder(pipeline)
        var dice = Dice(3)
        let pieces = ["a", "b", "ax", "x", "X", "<s>", "bb", " ", "  ", "é", "!", "ab"]
        for fixed in ["ax<s>", "axbb", "<s>ax", " ax bb"] {
            #expect(try encoder.encode(fixed) == pipeline.aligned(fixed).identifiers, "\(fixed)")
        }
        for _ in 0..<2000 {
            let count = Int.random(in: 0...8, using: &dice)
            let text = (0..<count).map { _ in pieces.randomElement(using: &dice)! }.joined()
            #expect(try encoder.encode(text) == pipeline.aligned(text).identifiers, "\(text)")
        }
    }

    @Test func aNumberThatTheVocabularyContradictsIsRefused() {
        #expect(throws: TokenizerError.self) { try pipeline([TokenizerText.added(300, "<a>")]) }
        #expect(throws: TokenizerError.self) { try pipeline([TokenizerText.added(5, "a")]) }
    }

    @Test(arguments: [
        (
            #"{"type": "Punctuation", "behavior": "Isolated"}"#, "a,b!!c",
            [0..<1, 1..<2, 2..<3, 3..<4, 4..<5, 5..<6]
        ),
        (#"{"type": "Punctuation", "behavior": "Removed"}"#, "a,b!!c", [0..<1, 2..<3, 5..<6]),
        (
            #"{"type": "Punctuation", "behavior": "MergedWithPrevious"}"#, "a,b!!c",
            [0..<2, 2..<4, 4..<5, 5..<6]
        ),
        (
            #"{"type": "Punctuation", "behavior": "MergedWithNext"}"#, "a,b!!c",
            [0..<1, 1..<3, 3..<4, 4..<6]
        ),
        (
            #"{"type": "Punctuation", "behavior": "Contiguous"}"#, "a,b!!c",
            [0..<1, 1..<2, 2..<3, 3..<5, 5..<6]
        ),
        (#"{"type": "Digits", "individual_digits": true}"#, "a12", [0..<1, 1..<2, 2..<3]),
        (#"{"type": "Digits", "individual_digits": false}"#, "a12²b", [0..<1, 1..<4, 4..<5]),
        (#"{"type": "CharDelimiterSplit", "delimiter": "x"}"#, "axxb", [0..<1, 3..<4]),
        (#"{"type": "FixedLength", "length": 2}"#, "aéb", [0..<2, 2..<3]),
        (
            #"{"type": "Split", "pattern": {"String": "ab"}, "behavior": "Removed", "invert": true}"#,
            "xabyab", [1..<3, 4..<6]
        ),
        (
            #"{"type": "Split", "pattern": {"Regex": "^b"}, "behavior": "Isolated", "invert": false}"#,
            "a\nbb", [0..<2, 2..<3, 3..<4]
        ),
        (
            #"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}"#,
            "a b", [0..<1, 1..<3]
        ),
        (#"{"type": "WhitespaceSplit"}"#, " a\u{2003}b ", [1..<2, 3..<4]),
    ])
    func cutting(_ rule: String, _ text: String, _ pieces: [Range<Int>]) throws {
        var file = TokenizerText()
        file.preTokenizer = rule
        file.model = #"{"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0}}"#
        #expect(try file.pipeline().aligned(text).offsets == pieces)
    }

    @Test func spacesLeaveOffsets() throws {
        var text = TokenizerText.byteLevel(merges: [("Ġ", "a")])
        text.postProcessor = text.preTokenizer
        #expect(
            try text.pipeline().aligned("a a  b").offsets == [0..<1, 2..<3, 4..<4, 5..<5, 5..<6])
        text.postProcessor = """
            {"type": "RobertaProcessing", "sep": ["a", 97], "cls": ["b", 98], "trim_offsets": true, \
            "add_prefix_space": true}
            """
        let encoding = try text.pipeline().aligned(" a", addsSpecials: true)
        #expect(encoding.identifiers.count == 3)
        #expect(encoding.offsets == [0..<0, 0..<2, 0..<0])
    }
}
