import Foundation
import Testing
import Tokenizers

/// What normalizers make of a text, seen through tokens of bytes; and where offsets say it comes from.
@Suite struct NormalizationTests {
    private func normalized(_ normalizer: String, _ text: String) throws -> (
        text: String, offsets: [Range<Int>]
    ) {
        var file = TokenizerText.byteLevel()
        file.normalizer = normalizer
        file.preTokenizer = TokenizerText.byteLevelPart(usesPattern: false)
        let pipeline = try file.pipeline()
        let aligned = try pipeline.aligned(text)
        #expect(
            try TextEncoder(pipeline).encode(text) == aligned.identifiers,
            "with offsets and without it is the same: \(text.debugDescription)")
        return (try pipeline.decoded(aligned.identifiers), aligned.offsets)
    }

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// Foundation has its own implementation, of a later Unicode; these characters are older than either.
    @Test(arguments: ["NFC", "NFD", "NFKC", "NFKD"])
    func formsOfUnicode(form: String) throws {
        var dice = Dice(5)
        let pieces = [
            "a", "e", "o", "\u{300}", "\u{301}", "\u{308}", "\u{323}", "\u{327}", "é", "ấ", "Å",
            "ﬁ", "²", "Ｋ", "각", "\u{1100}",
            "\u{1161}", "\u{11A8}", "ក", "\u{3099}", "か", "\u{2126}", "\u{F900}", "\u{1D15E}",
            "\u{344}", " ",
        ]
        var changes = 0
        for _ in 0..<1500 {
            let text = (0..<8).map { _ in pieces.randomElement(using: &dice)! }.joined()
            let expected =
                switch form {
                case "NFC": text.precomposedStringWithCanonicalMapping
                case "NFD": text.decomposedStringWithCanonicalMapping
                case "NFKC": text.precomposedStringWithCompatibilityMapping
                default: text.decomposedStringWithCompatibilityMapping
                }
            let found = try normalized("{\"type\": \"\(form)\"}", text).text
            #expect(bytes(found) == bytes(expected), "\(text.unicodeScalars.map { $0.value })")
            if bytes(found) != bytes(text) { changes += 1 }
        }
        #expect(changes > 500, "the control: most of these texts change")
    }

    @Test func offsetsFollowCompositions() throws {
        let composed = try normalized(#"{"type": "NFC"}"#, "ae\u{301}b")
        #expect(composed.text == "aéb")
        #expect(composed.offsets == [0..<1, 1..<2, 1..<2, 3..<4])
        let decomposed = try normalized(#"{"type": "NFKD"}"#, "ﬁé")
        #expect(bytes(decomposed.text) == bytes("fie\u{301}"))
        #expect(decomposed.offsets == [0..<1, 0..<1, 1..<2, 1..<2, 1..<2])
    }

    static let bert =
        #"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}"#

    @Test func bertCleansUp() throws {
        #expect(try normalized(Self.bert, "A\u{0}B\tc\u{200B}Ünï 你x").text == "ab cuni  你 x")
        #expect(try normalized(Self.bert, "\u{1}\u{2}").text == "")
        let cased = Self.bert.replacing("\"lowercase\": true", with: "\"lowercase\": false")
        #expect(try normalized(cased, "AÉ İ").text == "AÉ İ")
        #expect(try normalized(Self.bert, "İ").text == "i", "small letters come last")
        var dice = Dice(6)
        for _ in 0..<500 { _ = try normalized(Self.bert, dice.text(pieces: 8)) }
    }

    @Test(arguments: [
        (#"{"type": "Lowercase"}"#, "ÀSS ΣΑΣ İ", "àss σασ i\u{307}"),
        (#"{"type": "Strip", "strip_left": true, "strip_right": true}"#, " \t a b \u{A0}", "a b"),
        (#"{"type": "Strip", "strip_left": false, "strip_right": true}"#, "  a  ", "  a"),
        (#"{"type": "Strip", "strip_left": true, "strip_right": true}"#, "   ", ""),
        (#"{"type": "StripAccents"}"#, "e\u{301}é", "eé"),
        (#"{"type": "Nmt"}"#, "a\u{1}b\u{200B}c\u{FEFF}", "ab c "),
        (#"{"type": "Replace", "pattern": {"String": "ab"}, "content": "x"}"#, "abaabb", "xaxb"),
        (
            #"{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}"#, "a   b  c d",
            "a b c d"
        ),
        (#"{"type": "Prepend", "prepend": "▁"}"#, "ab", "▁ab"),
        (#"{"type": "Prepend", "prepend": "▁"}"#, "", ""),
    ])
    func rules(_ rule: String, _ text: String, _ expected: String) throws {
        #expect(bytes(try normalized(rule, text).text) == bytes(expected))
    }

    @Test func offsetsFollowRules() throws {
        #expect(
            try normalized(
                #"{"type": "Replace", "pattern": {"String": "bc"}, "content": "xyz"}"#, "abcd"
            ).offsets
                == [0..<1, 2..<3, 2..<3, 2..<3, 3..<4])
        #expect(
            try normalized(#"{"type": "Prepend", "prepend": "▁"}"#, "ab").offsets == [
                0..<1, 0..<1, 0..<1, 0..<1, 1..<2,
            ])
        #expect(try normalized(Self.bert, "\u{1}aÉ").offsets == [1..<2, 2..<3])
    }

    /// A double-array trie for: ﬁ → fi, tab → space, zero-width space → nothing.
    @Test func precompiledMaps() throws {
        let map = try #require(
            DoubleArray(["ﬁ": "fi", "\t": " ", "\u{200B}": "", "e\u{301}": "é"]).base64)
        let rule = #"{"type": "Precompiled", "precompiled_charsmap": "\#(map)"}"#
        #expect(try normalized(rule, "ﬁne\tx\u{200B}y").text == "fine xy")
        #expect(bytes(try normalized(rule, "e\u{301}").text) == bytes("é"))
        #expect(bytes(try normalized(rule, "e\u{308}").text) == bytes("e\u{308}"))
        // What is replaced by nothing is counted to the character before it.
        #expect(try normalized(rule, "ﬁ\u{200B}b").offsets == [0..<1, 1..<2, 2..<3])
        #expect(try normalized(rule, "plain").text == "plain")
        for broken in ["", "AAAA", "////", "AQAAAA=="] {
            var file = TokenizerText.byteLevel()
            file.normalizer = #"{"type": "Precompiled", "precompiled_charsmap": "\#(broken)"}"#
            #expect(throws: TokenizerError.self) { try file.pipeline() }
        }
    }
}

/// Builds the double arrays that SentencePiece's normalizers are (Darts): small ones, by trying offsets in order.
private struct DoubleArray {
    private var units: [UInt32] = [0]
    private var used: Set<Int> = [0]
    private var texts: [UInt8] = []

    init(_ rules: KeyValuePairs<String, String>) {
        var keys: [(key: [UInt8], value: Int)] = []
        for (key, text) in rules {
            keys.append((Array(key.utf8), texts.count))
            texts += Array(text.utf8) + [0]
        }
        place(keys, at: 0)
    }

    private mutating func place(_ keys: [(key: [UInt8], value: Int)], at node: Int) {
        let children = Set(keys.compactMap(\.key.first)).sorted()
        let value = keys.first { $0.key.isEmpty }?.value
        let labels = children.map { Int($0) } + (value == nil ? [] : [0])
        let offset = (1...).first { offset in
            labels.allSatisfy { !used.contains(node ^ offset ^ $0) }
        }!
        while units.count <= node ^ offset | 0xFF { units.append(0) }
        for label in labels { used.insert(node ^ offset ^ label) }
        units[node] |= UInt32(offset) << 10 | (value == nil ? 0 : 1 << 8)
        if let value { units[node ^ offset] = UInt32(value) | 1 << 31 }
        for child in children { units[node ^ offset ^ Int(child)] = UInt32(child) }
        for child in children {
            place(
                keys.filter { $0.key.first == child }.map { (Array($0.key.dropFirst()), $0.value) },
                at: node ^ offset ^ Int(child))
        }
    }

    var base64: String? {
        var bytes: [UInt8] = []
        for unit in [UInt32(4 * units.count)] + units {
            for shift in stride(from: 0, to: 32, by: 8) {
                bytes.append(UInt8(unit >> UInt32(shift) & 0xFF))
            }
        }
        return Data(bytes + texts).base64EncodedString()
    }
}
