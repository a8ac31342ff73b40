import Testing
import Tokenizers

/// WordPiece, Unigram, WordLevel.
@Suite struct ModelTests {
    static var bert: TokenizerText {
        var text = TokenizerText()
        text.normalizer = """
            {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, \
            "strip_accents": null, "lowercase": true}
            """
        text.preTokenizer = #"{"type": "BertPreTokenizer"}"#
        text.decoder = ###"{"type": "WordPiece", "prefix": "##", "cleanup": true}"###
        text.model = """
            {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", \
            "max_input_chars_per_word": 8, "vocab": \(TokenizerText.numbered(vocabulary))}
            """
        text.addedTokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].enumerated().map {
            TokenizerText.added($0.offset, $0.element)
        }
        text.postProcessor = """
            {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, \
            {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}], \
            "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, \
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}, \
            {"SpecialToken": {"id": "[SEP]", "type_id": 1}}], \
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}, \
            "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}}
            """
        return text
    }

    static let vocabulary = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "play", "##ing", "##ed", "un", "##play", "cafe", "!",
        "你", "p", "##l", ".",
        "i", "##a",
    ]

    @Test func wordsAreToldByTheLongestPieces() throws {
        let pipeline = try Self.bert.pipeline()
        #expect(
            try pipeline.tokens("Playing UNPLAYED!") == [
                "play", "##ing", "un", "##play", "##ed", "!",
            ])
        #expect(try pipeline.tokens("plx Café 你好") == ["[UNK]", "cafe", "你", "[UNK]"])
        #expect(try pipeline.tokens("playinging p") == ["[UNK]", "p"], "more than 8 characters")
        #expect(try pipeline.aligned("Cafe\u{301} play").offsets == [0..<4, 6..<10])
        #expect(try pipeline.decoded([4, 5, 10, 9]) == "playing! cafe")
    }

    @Test func templatesPairsAndTruncation() throws {
        var text = Self.bert
        let encoder = TextEncoder(try text.pipeline())
        func encode(_ first: String, _ second: String?) throws -> Encoding {
            try encoder.encoding(
                of: Array(first.utf8), pair: second.map { Array($0.utf8) }, addsSpecials: true,
                isAligned: true)
        }
        let single = try encode("play!", nil)
        #expect(single.identifiers == [2, 4, 10, 3])
        #expect(single.offsets == [0..<0, 0..<4, 4..<5, 0..<0])
        #expect(single.specials == [1, 0, 0, 1])
        let pair = try encode("play", "i p")
        #expect(pair.identifiers == [2, 4, 3, 15, 12, 3])
        #expect(pair.types == [0, 0, 0, 1, 1, 1])
        for (strategy, expected) in [
            ("LongestFirst", [2, 4, 4, 3, 15, 3]), ("OnlyFirst", [2, 4, 4, 3, 15, 3]),
        ] {
            text.truncation =
                #"{"direction": "Right", "max_length": 6, "strategy": "\#(strategy)", "stride": 0}"#
            let short = try TextEncoder(text.pipeline()).encoding(
                of: Array("play play play play".utf8), pair: Array("i".utf8), addsSpecials: true,
                isAligned: true)
            #expect(short.identifiers == expected.map { Int32($0) })
        }
        text.truncation =
            #"{"direction": "Left", "max_length": 3, "strategy": "OnlySecond", "stride": 0}"#
        let strict = TextEncoder(try text.pipeline())
        #expect(throws: TokenizerError.self) {
            try strict.encoding(of: Array("play play".utf8), addsSpecials: true, isAligned: false)
        }
    }

    static let pieces: [(String, Double)] = [
        ("<unk>", 0), ("▁", -3), ("a", -2.5), ("b", -2.25), ("c", -4), ("ab", -3.5), ("abc", -9),
        ("bc", -3), ("▁a", -2),
        ("ca", -3.75), ("▁ab", -6),
    ]

    private func unigram(_ more: String = "", pieces: [(String, Double)] = Self.pieces) throws
        -> TokenizerPipeline
    {
        var text = TokenizerText()
        text.preTokenizer = """
            {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, \
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]}
            """
        text.decoder =
            #"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#
        let list = pieces.map { "[\(TokenizerText.quoted($0.0)), \($0.1)]" }
        text.model =
            #"{"type": "Unigram", "unk_id": 0, \#(more)"vocab": [\#(list.joined(separator: ", "))]}"#
        return try text.pipeline()
    }

    /// The best sum over all ways to tell a word.
    private func bestScore(_ word: Substring) -> Double {
        if word.isEmpty { return 0 }
        return Self.pieces.dropFirst().filter { word.hasPrefix($0.0) }
            .map { $0.1 + bestScore(word.dropFirst($0.0.count)) }.max() ?? -.infinity
    }

    @Test func theBestWayIsFound() throws {
        let pipeline = try unigram()
        let scores = Dictionary(uniqueKeysWithValues: Self.pieces)
        var dice = Dice(4)
        for _ in 0..<300 {
            let word = String(
                (0..<Int.random(in: 1...9, using: &dice)).map { _ in
                    "abc".randomElement(using: &dice)!
                })
            let tokens = try pipeline.tokens(word)
            #expect(tokens.joined() == "▁" + word)
            let score = tokens.reduce(0) { $0 + scores[$1]! }
            #expect(abs(score - bestScore("▁" + word)) < 1e-9, "\(word)")
        }
        // The control: the longest pieces first is another way.
        #expect(try pipeline.tokens("abc") != ["▁ab", "c"])
    }

    @Test func whatIsUnknownIsOneToken() throws {
        #expect(try unigram().tokens("axyzb  a") == ["▁a", "<unk>", "b", "▁a"])
        #expect(try unigram().aligned("axyzb  a").offsets == [0..<1, 1..<4, 4..<5, 7..<8])
        #expect(try unigram().decoded([8, 3, 8]) == "ab a")
        let bytes = [("<0xC3>", -9.0), ("<0xA9>", -9.0)]
        let pipeline = try unigram("\"byte_fallback\": true, ", pieces: Self.pieces + bytes)
        #expect(try pipeline.tokens("aéb") == ["▁a", "<0xC3>", "<0xA9>", "b"])
        #expect(try pipeline.aligned("aéb").offsets == [0..<1, 1..<2, 1..<2, 2..<3])
    }

    @Test func wordsAsTokens() throws {
        var text = TokenizerText()
        text.preTokenizer = #"{"type": "Whitespace"}"#
        text.model =
            #"{"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "it": 1, "'": 2, "s": 3}}"#
        #expect(try text.pipeline().tokens("it's so") == ["it", "'", "s", "?"])
        text.model = #"{"type": "WordLevel", "unk_token": "?", "vocab": {"it": 1}}"#
        let pipeline = try text.pipeline()
        #expect(throws: TokenizerError.self) { try pipeline.tokens("so") }
        #expect(try pipeline.tokens("it") == ["it"], "an error leaves nothing behind")
    }
}
