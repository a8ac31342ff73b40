import Tokenizers

/// A tokenizer.json for tests, put together from parts of JSON.
struct TokenizerText {
    var addedTokens: [String] = []
    var normalizer = "null"
    var preTokenizer = "null"
    var postProcessor = "null"
    var decoder = "null"
    var truncation = "null"
    var padding = "null"
    var model = ""

    var json: [UInt8] {
        Array(
            """
            {"version": "1.0", "truncation": \(truncation), "padding": \(padding),
            "added_tokens": [\(addedTokens.joined(separator: ", "))],
            "normalizer": \(normalizer), "pre_tokenizer": \(preTokenizer),
            "post_processor": \(postProcessor), "decoder": \(decoder), "model": \(model)}
            """.utf8)
    }

    func pipeline() throws -> TokenizerPipeline {
        try TokenizerPipeline(json: json, name: "tokenizer.json")
    }

    static func added(
        _ id: Int, _ content: String, left: Bool = false, right: Bool = false, word: Bool = false,
        normalized: Bool = false
    ) -> String {
        """
        {"id": \(id), "content": \(quoted(content)), "single_word": \(word), "lstrip": \(left), \
        "rstrip": \(right), "normalized": \(normalized), "special": true}
        """
    }

    /// Byte-level: the 256 bytes, in the order of the characters that stand for them, and merges.
    static func byteLevel(merges: [(String, String)] = []) -> TokenizerText {
        var vocabulary = byteCharacters.map { String($0) }
        for (left, right) in merges where !vocabulary.contains(left + right) {
            vocabulary.append(left + right)
        }
        var text = TokenizerText()
        text.preTokenizer = byteLevelPart(usesPattern: true)
        text.decoder = text.preTokenizer
        text.model = bytePairs(vocabulary, merges)
        return text
    }

    static func byteLevelPart(usesPattern: Bool, addsPrefixSpace: Bool = false) -> String {
        """
        {"type": "ByteLevel", "add_prefix_space": \(addsPrefixSpace), "trim_offsets": true, \
        "use_regex": \(usesPattern)}
        """
    }

    static func bytePairs(
        _ vocabulary: [String], _ merges: [(String, String)], options: String = ""
    ) -> String {
        let pairs = merges.map { "[\(quoted($0.0)), \(quoted($0.1))]" }
        return """
            {"type": "BPE", \(options)"vocab": \(numbered(vocabulary)), \
            "merges": [\(pairs.joined(separator: ", "))]}
            """
    }

    static func numbered(_ vocabulary: [String]) -> String {
        let members = vocabulary.enumerated().map { "\(quoted($0.element)): \($0.offset)" }
        return "{\(members.joined(separator: ", "))}"
    }

    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            if scalar == "\"" || scalar == "\\" || scalar.value < 0x20 {
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// GPT-2's character of each byte.
    static let byteCharacters: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (UInt8.min...UInt8.max).map { byte in
            if 0x21...0x7E ~= byte || 0xA1...0xAC ~= byte || byte >= 0xAE {
                return Unicode.Scalar(byte)
            }
            defer { next += 1 }
            return Unicode.Scalar(next)!
        }
    }()
}

/// Pseudo-random numbers, the same on every machine.
struct Dice: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }

    /// A text of pieces that are hard on tokenizers.
    mutating func text(pieces count: Int) -> String {
        (0..<count).map { _ in Dice.pieces.randomElement(using: &self)! }.joined()
    }

    private static let pieces = [
        "don't", "I'll", "WE'VE", "'s", "'S", "'\u{17F}", "''", " ", "  ", "\t", "\n", "\r\n",
        "\n\n", "\u{A0}",
        "\u{2003}", "\u{85}", "hello", " world", "Ünï", "e\u{301}", "é", "한국", "각", "你好", "東京 ",
        "עב", "हिन्दी",
        "123", "4", "5678", "½", "Ⅷ", "²", "!", "?!", "...", "—", "_", "▁", "▁▁", "👩‍👩‍👧", "🇩🇪",
        "\u{200D}", "\u{FEFF}",
        "\u{0}", "\u{1}", "\u{7F}", "ﬁ", "Ａ", "ß", "İ", "Σ", "\u{1D165}", "a", "b", "A", "##b",
        "<s>", "x\u{308}\u{323}", "\u{301}", "E\u{301}", "AB", "Cd", "ǅ", "ʰ", "ª", "漢",
        "'Re", "we'd", "IT'S", "/", "!/", "/\n",
    ]
}

extension TokenizerPipeline {
    /// Tokens and offsets of a text.
    func aligned(_ text: String, addsSpecials: Bool = false) throws -> Encoding {
        try TextEncoder(self).encoding(
            of: Array(text.utf8), addsSpecials: addsSpecials, isAligned: true)
    }

    func tokens(_ text: String) throws -> [String] {
        try TextEncoder(self).encode(text).map {
            String(decoding: self.text(of: $0) ?? [], as: UTF8.self)
        }
    }

    func decoded(_ tokens: [Int32], skipsSpecials: Bool = true) throws -> String {
        String(decoding: try decode(tokens, skipsSpecials: skipsSpecials), as: UTF8.self)
    }
}
