import Testing
import Tokenizers

/// Byte pair encoding, and the words that it works on.
@Suite struct BytePairTests {
    static let merges = [
        ("a", "b"), ("Ġ", "ab"), ("l", "l"), ("h", "e"), ("he", "ll"), ("hell", "o"), ("o", "r"),
        ("w", "or"),
        ("Ġ", "wor"), ("Ġwor", "l"), ("Ġworl", "d"), ("Ã", "©"), ("Ġ", "Ġ"), ("ĠĠ", "ĠĠ"),
        ("1", "2"), ("12", "3"),
        ("!", "!"), ("Ċ", "Ċ"), ("e", "s"), ("a", "a"), ("aa", "aa"),
        ("Ċ", "/"),
    ]

    @Test func bestRankedPairsMergeFirst() throws {
        var text = TokenizerText.byteLevel(merges: [("a", "b"), ("Ġ", "ab"), ("b", "a")])
        text.addedTokens = [TokenizerText.added(259, "<end>")]
        #expect(
            try text.pipeline().tokens("abab ab<end>bab") == [
                "ab", "ab", "Ġab", "<end>", "b", "ab",
            ])
    }

    /// What the encoder does with a cache, short and long pieces, by the definition: of all pairs the best-ranked, the
    /// leftmost of equal ones.
    private func reference(_ piece: String, _ merges: [(String, String)]) -> [String] {
        var parts = piece.utf8.map { String(TokenizerText.byteCharacters[Int($0)]) }
        while true {
            var best: (rank: Int, place: Int)?
            for place in parts.indices.dropLast() {
                guard
                    let rank = merges.firstIndex(where: { $0 == (parts[place], parts[place + 1]) })
                else { continue }
                if best.map({ rank < $0.rank }) ?? true { best = (rank, place) }
            }
            guard let best else { return parts }
            parts.replaceSubrange(
                best.place...best.place + 1, with: [parts[best.place] + parts[best.place + 1]])
        }
    }

    @Test(arguments: [1, 5, 39, 40, 41, 200])
    func piecesOfAnyLengthMergeByTheDefinition(length: Int) throws {
        var text = TokenizerText.byteLevel(merges: Self.merges)
        text.preTokenizer = TokenizerText.byteLevelPart(usesPattern: false)
        let pipeline = try text.pipeline()
        var dice = Dice(UInt64(length))
        var differences = 0
        for _ in 0..<50 {
            let piece = String(
                (0..<length).map { _ in "aabhello 12!\n".randomElement(using: &dice)! })
            let expected = reference(piece, Self.merges)
            #expect(try pipeline.tokens(piece) == expected)
            if reference(piece, Self.merges.reversed()) != expected { differences += 1 }
        }
        #expect(length < 200 || differences > 0, "the control: another order of merges shows")
    }

    static let patterns = [
        #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
    ]

    /// A tokenizer of these words whose tokens are whole words where it can be: each has a number of its own.
    private func splitter(_ pattern: String) throws -> TokenizerPipeline {
        var text = TokenizerText.byteLevel()
        text.preTokenizer = """
            {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": \
            \(TokenizerText.quoted(pattern))}, "behavior": "Isolated", "invert": false}]}
            """
        text.model = #"{"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0}}"#
        return try text.pipeline()
    }

    @Test(arguments: patterns)
    func scannersFindTheWordsOfTheirExpressions(pattern: String) throws {
        let scanner = try splitter(pattern)
        // In brackets it is no pattern that a scanner knows, so PCRE2 runs it.
        let expression = try splitter("(?:\(pattern))")
        let others = try Self.patterns.filter { $0 != pattern }.map(splitter)
        var dice = Dice(1)
        var differs = [Bool](repeating: false, count: others.count)
        for _ in 0..<2000 {
            let text = dice.text(pieces: Int.random(in: 0...12, using: &dice))
            let words = try scanner.aligned(text).offsets
            #expect(try expression.aligned(text).offsets == words, "\(text.debugDescription)")
            for (index, other) in others.enumerated() where try other.aligned(text).offsets != words
            {
                differs[index] = true
            }
        }
        #expect(differs.allSatisfy { $0 }, "the control: other patterns have other words")
    }

    /// A letter that had another case in the version of Unicode that patterns have: small, and now of none as `ª`.
    @Test func lettersHaveTheCaseOfTheirVersion() throws {
        let scanner = try splitter(Self.patterns[3])
        #expect(try scanner.aligned("B\u{295}Bb").offsets == [0..<2, 2..<4])
        #expect(try scanner.aligned("BªBb").offsets == [0..<4], "the control")
    }

    /// Corpora are encoded in parts.
    @Test(arguments: patterns) func whereATextMayBeCutNothingChanges(pattern: String) throws {
        var file = TokenizerText.byteLevel(merges: Self.merges)
        file.preTokenizer = """
            {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": \
            \(TokenizerText.quoted(pattern))}, "behavior": "Isolated", "invert": false}, \
            \(TokenizerText.byteLevelPart(usesPattern: false))]}
            """
        let encoder = TextEncoder(try file.pipeline())
        var dice = Dice(10)
        var (cuts, differences) = (0, 0)
        for _ in 0..<3000 {
            let text =
                dice.text(pieces: 6) + ["\n", "\n\n", " \n", "\n ", "!\n/"].randomElement(
                    using: &dice)!
                + dice.text(pieces: 4)
            let bytes = Array(text.utf8)
            var whole: [Int32] = []
            try encoder.encode(bytes, into: &whole)
            func parts(_ cut: Int) throws -> [Int32] {
                var tokens: [Int32] = []
                try encoder.encode(Array(bytes[..<cut]), into: &tokens)
                try encoder.encode(Array(bytes[cut...]), into: &tokens)
                return tokens
            }
            if let cut = encoder.lastCut(of: bytes) {
                cuts += 1
                #expect(try parts(cut) == whole, "\(text.debugDescription) at \(cut)")
            } else if let feed = bytes.lastIndex(of: 0x0A), try parts(feed + 1) != whole {
                differences += 1
            }
        }
        #expect(cuts > 100)
        // Of the others runs of white space end with a line.
        #expect(
            differences > 10 || pattern != Self.patterns[0],
            "the control: not every line end will do")
    }

    /// Marks are of words, as Oniguruma has it.
    @Test func expressionsOfWords() throws {
        let words = try splitter(#"\w+|[^\w\s]+"#)
        #expect(try words.aligned("नमस्ते a_1!").offsets == [0..<6, 6..<7, 7..<10, 10..<11])
        for refused in [
            #"\bx"#, #"(?im:a.b)"#, #"(?s)a"#, #"(*ACCEPT)"#, "[a[b]]", "a{,3}", #"a{1,2}+"#,
        ] {
            #expect(throws: TokenizerError.self) { try splitter(refused) }
        }
    }

    @Test func everyTextComesBack() throws {
        let pipeline = try TokenizerText.byteLevel(merges: Self.merges).pipeline()
        var dice = Dice(2)
        for _ in 0..<500 {
            let text = dice.text(pieces: 10)
            let tokens = try TextEncoder(pipeline).encode(text)
            #expect(try pipeline.decoded(tokens) == text)
            let aligned = try pipeline.aligned(text)
            #expect(aligned.identifiers == tokens)
            // Characters of all tokens together cover the text.
            let count = text.unicodeScalars.count
            #expect(Set(aligned.offsets.flatMap { $0 }).isSubset(of: Set(0..<count)))
        }
        #expect(try pipeline.decoded(TextEncoder(pipeline).encode("a")) != "b")
    }

    @Test func bytesThatAreNoTextCountAsReplacements() throws {
        let pipeline = try TokenizerText.byteLevel().pipeline()
        var dice = Dice(3)
        for _ in 0..<500 {
            let bytes = (0..<Int.random(in: 0...20, using: &dice)).map { _ in
                [0x61, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0xED, 0xA0, 0xFF, 0x80]
                    .randomElement(using: &dice)!
            }.map { UInt8($0) }
            var tokens: [Int32] = []
            try TextEncoder(pipeline).encode(bytes, into: &tokens)
            #expect(try pipeline.decoded(tokens) == String(decoding: bytes, as: UTF8.self))
        }
    }

    @Test func characterSymbolsFallBackToBytesOrToTheUnknown() throws {
        var text = TokenizerText()
        let bytes = (0..<256).map {
            let digits = String($0, radix: 16, uppercase: true)
            return "<0x\(digits.count == 1 ? "0" : "")\(digits)>"
        }
        let vocabulary = ["<unk>"] + bytes + ["▁", "a", "b", "▁a"]
        text.normalizer = """
            {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, \
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
            """
        text.decoder = """
            {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, \
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
            """
        let options = #""unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "#
        text.model = TokenizerText.bytePairs(vocabulary, [("▁", "a")], options: options)
        let pipeline = try text.pipeline()
        #expect(try pipeline.tokens("a é b a") == ["▁a", "▁", "<0xC3>", "<0xA9>", "▁", "b", "▁a"])
        #expect(
            try pipeline.aligned("a é b").offsets == [0..<1, 1..<2, 2..<3, 2..<3, 3..<4, 4..<5])
        #expect(try pipeline.decoded(TextEncoder(pipeline).encode("a é b a")) == "a é b a")
        text.model = TokenizerText.bytePairs(
            ["<unk>", "▁", "a"], [], options: #""unk_token": "<unk>", "fuse_unk": true, "#)
        #expect(try text.pipeline().tokens("axya") == ["▁", "a", "<unk>", "a"])
        text.model = TokenizerText.bytePairs(
            ["<unk>", "▁", "a"], [], options: #""unk_token": "<unk>", "fuse_unk": false, "#)
        #expect(try text.pipeline().tokens("axya") == ["▁", "a", "<unk>", "<unk>", "a"])
        text.model = TokenizerText.bytePairs(["▁", "a"], [], options: #""unk_token": "<no>", "#)
        let poor = try text.pipeline()
        #expect(try poor.tokens("aa") == ["▁", "a", "a"])
        #expect(throws: TokenizerError.self) { try poor.tokens("ax") }
    }

    @Test func prefixesSuffixesAndWholeWords() throws {
        var text = TokenizerText()
        text.preTokenizer = #"{"type": "WhitespaceSplit"}"#
        text.model = TokenizerText.bytePairs(
            ["a", "b", "b</w>", "ab</w>", "a</w>"], [("a", "b</w>")],
            options: #""end_of_word_suffix": "</w>", "#)
        text.decoder = #"{"type": "BPEDecoder", "suffix": "</w>"}"#
        let pipeline = try text.pipeline()
        #expect(try pipeline.tokens("ab a") == ["ab</w>", "a</w>"])
        #expect(try pipeline.decoded(TextEncoder(pipeline).encode("ab a")) == "ab a")
        text.model = TokenizerText.bytePairs(
            ["a", "##b", "ab"], [("a", "##b")], options: ###""continuing_subword_prefix": "##", "###
        )
        #expect(try text.pipeline().tokens("ab") == ["ab"])
        // `ignore_merges`: a piece that is a token needs none.
        text.model = TokenizerText.bytePairs(
            ["a", "b", "ab"], [], options: #""ignore_merges": true, "#)
        #expect(try text.pipeline().tokens("ab aab") == ["ab", "a", "a", "b"])
    }
}
