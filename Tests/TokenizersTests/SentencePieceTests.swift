import Foundation
import Testing
import Tokenizers

/// Models of SentencePiece of a few pieces, written by hand.
@Suite struct SentencePieceTests {
    // MARK: A writer of Protocol Buffers

    /// A field with its value behind its tag.
    private static func varint(_ number: Int, _ value: Int) -> [UInt8] {
        base128(UInt64(number) << 3) + base128(UInt64(bitPattern: Int64(value)))
    }

    private static func bytes(_ number: Int, _ value: [UInt8]) -> [UInt8] {
        base128(UInt64(number) << 3 | 2) + base128(UInt64(value.count)) + value
    }

    private static func base128(_ value: UInt64) -> [UInt8] {
        var (rest, result) = (value, [UInt8]())
        while rest >= 0x80 {
            result.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return result + [UInt8(rest)]
    }

    private static func piece(_ text: String, _ score: Float, type: Int = 1) -> [UInt8] {
        let bits = score.bitPattern
        let float = (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * UInt32($0))) }
        return bytes(1, bytes(1, Array(text.utf8)) + [2 << 3 | 5] + float + varint(3, type))
    }

    // MARK: Models

    /// `<unk>`, `<s>`, `</s>`, then pieces with scores.
    private static let head =
        piece("<unk>", 0, type: 2) + piece("<s>", 0, type: 3) + piece("</s>", 0, type: 3)

    /// Pairs as Llama has them: no rules of normalization, a space before the text.
    private static let llama: [UInt8] = {
        var file = head
        for byte in 0..<256 {
            let digits = String(byte, radix: 16, uppercase: true)
            file += piece("<0x\(digits.count == 1 ? "0" : "")\(digits)>", 0, type: 6)
        }
        // From 259 on.
        for (index, text) in ["▁a", "ab", "▁ab", "▁▁"].enumerated() {
            file += piece(text, -Float(index))
        }
        for text in ["▁", "a", "b"] { file += piece(text, -1000) }
        return file + bytes(2, varint(3, 2) + varint(35, 1)) + bytes(3, varint(3, 1) + varint(4, 0))
    }()

    /// A unigram model with an end alone, as T5 has it.
    private static func unigram(
        _ trainer: [UInt8] = [], normalizer: [UInt8] = [], more: [UInt8] = []
    ) -> [UInt8] {
        piece("<pad>", 0, type: 3) + piece("</s>", 0, type: 3) + piece("<unk>", 0, type: 2)
            + piece("▁", -3) + piece("▁hello", -4) + piece("▁he", -5) + piece("l", -6)
            + piece("o", -6) + piece("lo", -7) + more + bytes(2, trainer)
            + bytes(3, normalizer)
    }

    /// The tokenizer of a folder with `file` as its model.
    private func tokenizer(
        _ file: [UInt8], settings: String? = nil
    ) throws -> TokenizerPipeline {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("spm-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(file).write(to: folder.appendingPathComponent("tokenizer.model"))
        if let settings {
            try Data(settings.utf8).write(
                to: folder.appendingPathComponent("tokenizer_config.json"))
        }
        return try TokenizerPipeline.load(folder.path)
    }

    /// The error of a file, without its path.
    private func message(_ file: [UInt8], settings: String? = nil) -> String {
        do {
            _ = try tokenizer(file, settings: settings)
            return "no error"
        } catch {
            return "\(error)".components(separatedBy: "tokenizer.model: ").last ?? ""
        }
    }

    // MARK: What they make of texts

    @Test func pairsWithTheBestScoreMergeFirst() throws {
        let encoder = TextEncoder(try tokenizer(Self.llama))
        // ▁ab ▁ab; ▁a is better than ab, and then makes ▁ab.
        #expect(try encoder.encode("ab ab") == [261, 261])
        // ▁▁ a: ▁a is better than ▁▁.
        #expect(try encoder.encode(" a") == [263, 259])
        #expect(try encoder.encode("  b") == [262, 263, 265])
        #expect(try encoder.encode("").isEmpty)
    }

    @Test func whatTheVocabularyLacksBecomesBytes() throws {
        let pipeline = try tokenizer(Self.llama)
        let tokens = try TextEncoder(pipeline).encode("aé<0x41>")
        // The token of a byte is three more than it.
        #expect(tokens == [259] + "é<0x41>".utf8.map { Int32($0) + 3 })
        #expect(
            String(
                decoding: try pipeline.decode(tokens, skipsSpecials: true), as: UTF8.self)
                == "aé<0x41>")
    }

    @Test func aModelWithABeginningHasItBeforeTexts() throws {
        let encoder = TextEncoder(try tokenizer(Self.llama))
        let encoding = try encoder.encoding(
            of: Array("ab".utf8), addsSpecials: true, isAligned: false)
        #expect(encoding.identifiers == [1, 261])
    }

    @Test func aModelWithAnEndAloneHasItBehindTexts() throws {
        let encoder = TextEncoder(try tokenizer(Self.unigram()))
        let encoding = try encoder.encoding(
            of: Array("hello".utf8), addsSpecials: true, isAligned: false)
        #expect(encoding.identifiers == [4, 1])
    }

    @Test func spacesAtTheEndsAndManyAreNone() throws {
        let encoder = TextEncoder(try tokenizer(Self.unigram()))
        #expect(try encoder.encode("  hello   hello ▁ ") == [4, 4])
        #expect(try encoder.encode("   ").isEmpty)
    }

    @Test func spacesStayWhereTheModelKeepsThem() throws {
        let file = Self.unigram(normalizer: Self.varint(4, 0))
        #expect(try TextEncoder(try tokenizer(file)).encode(" hello ") == [3, 4, 3])
    }

    @Test func unknownCharactersBesideEachOtherAreOneToken() throws {
        let encoder = TextEncoder(try tokenizer(Self.unigram()))
        #expect(try encoder.encode("xyz hello") == [3, 2, 4])
    }

    @Test func userDefinedPiecesAreFoundWithoutASpaceOfTheirOwn() throws {
        let file = Self.unigram(more: Self.piece("(+)", 0, type: 4) + Self.piece("h", -9))
        let encoder = TextEncoder(try tokenizer(file))
        #expect(try encoder.encode("hello(+)hello") == [4, 9, 10, 2, 6, 8])
        #expect(try encoder.encode("(+)lo") == [3, 9, 8])
    }

    @Test func offsetsOfTheSpaceBeforeATextLieWhereTheTextBegins() throws {
        let file = Self.unigram(more: Self.piece("(+)", 0, type: 4))
        let encoding = try TextEncoder(try tokenizer(file)).encoding(
            of: Array("lo</s>lo".utf8), addsSpecials: false, isAligned: true)
        #expect(encoding.identifiers == [3, 8, 1, 3, 8])
        #expect(encoding.offsets == [0..<0, 0..<2, 2..<6, 6..<6, 6..<8])
    }

    @Test func piecesThatAreNotUsedAndTextsOfBytesGiveNoTokens() throws {
        let file = Self.unigram(more: Self.piece("lol", 0, type: 5))
        #expect(try TextEncoder(try tokenizer(file)).encode("helol") == [5, 8, 6])
    }

    @Test func theFileThatIsKeptIsATokenizerFile() throws {
        let pipeline = try tokenizer(Self.llama)
        let again = try TokenizerPipeline(json: pipeline.canonicalJSON, name: "tokenizer.json")
        #expect(try TextEncoder(again).encode("ab é") == TextEncoder(pipeline).encode("ab é"))
        #expect(again.vocabularySize == 266)
    }

    @Test func settingsBesideTheModelDecideAboutTemplates() throws {
        let settings = #"""
            {"add_bos_token": false, "add_eos_token": true, "tokenizer_class": "LlamaTokenizer",
             "added_tokens_decoder": {"266": {"content": "<|end|>", "special": true}}}
            """#
        let encoding = try TextEncoder(try tokenizer(Self.llama, settings: settings)).encoding(
            of: Array("ab<|end|>".utf8), addsSpecials: true, isAligned: false)
        #expect(encoding.identifiers == [261, 266, 2])
        let bare = try tokenizer(Self.llama, settings: #"{"add_prefix_space": false}"#)
        #expect(try TextEncoder(bare).encode("ab") == [260])
    }

    @Test func marksOfT5StandBehindThePiecesTheLastFirst() throws {
        let pipeline = try tokenizer(
            Self.unigram(), settings: #"{"tokenizer_class": "T5Tokenizer", "extra_ids": 2}"#)
        #expect(pipeline.identifier(of: "<extra_id_0>") == 10)
        #expect(pipeline.vocabularySize == 11)
    }

    @Test func classesThatNumberPiecesOtherwiseAreRefused() {
        let found = message(Self.llama, settings: #"{"tokenizer_class": "XLMRobertaTokenizer"}"#)
        #expect(found.hasSuffix("found XLMRobertaTokenizer; its tokenizer.json has its own"))
    }

    // MARK: What is refused

    @Test func otherAlgorithmsAreRefusedByName() {
        #expect(
            message(Self.unigram(Self.varint(3, 3)))
                == "trainer_spec: expected model_type UNIGRAM or BPE, found WORD")
        #expect(
            message(Self.unigram(Self.varint(24, 1)))
                == "trainer_spec: expected treat_whitespace_as_suffix false, found true")
    }

    @Test(
        arguments: [
            ([], "expected 1 to 33554432 bytes, found 0"),
            (
                [0x0A, 0x05],
                "expected a field that ends within its message, found one of 5 bytes at byte 0"
            ),
            (
                [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
                "expected a field that ends within its message, found one of 18446744073709551615 bytes at "
                    + "byte 0"
            ),
            (
                [UInt8](repeating: 0xFF, count: 11),
                "expected a number of at most 64 bits, found a longer one at byte 0"
            ),
            ([0x08], "expected a whole field, found the end at byte 1, behind byte 1"),
            ([0x0D, 0, 0, 0], "expected a whole field, found the end at byte 4, behind byte 1"),
            ([0x0B], "expected a field of Protocol Buffers, found type 3 at byte 0"),
            ([0x00, 0x00], "expected a field's number, found 0 at byte 0"),
            ([0x78, 0x01], "expected pieces, found none"),
            ([0x0A, 0x00], "pieces[0]: expected a text of 1 to 2048 bytes, found 0"),
            ([0x08, 0x00], "expected bytes for pieces, found a whole number"),
            (
                [0x0A, 0x03, 0x0A, 0x01, 0xFF],
                "pieces[0]: expected piece in UTF-8, found other bytes"
            ),
            (
                [0x0A, 0x05, 0x15, 0, 0, 0xC0, 0x7F],
                "pieces[0]: expected a finite score, found nan"
            ),
        ] as [([UInt8], String)])
    func hostileBytesEndInOneError(_ file: [UInt8], _ expected: String) {
        #expect(message(file) == expected)
    }

    @Test func piecesThatContradictEachOtherAreRefused() {
        #expect(
            message(Self.head + Self.piece("a", 0) + Self.piece("a", 1))
                == "expected pieces that differ, found \"a\" as pieces[3] and pieces[4]")
        #expect(
            message(Self.piece("a", 0)) == "expected one piece of type UNKNOWN, found 0")
        #expect(
            message(Self.head + Self.piece("a", 0, type: 7))
                == "pieces[3]: expected a type from 1 to 6, found 7")
        #expect(
            message(Self.unigram(Self.varint(35, 1)))
                == "expected 256 pieces of type BYTE with byte_fallback true, found 0")
        #expect(
            message(Self.unigram(normalizer: Self.bytes(2, [9]))).contains("precompiled_charsmap"))
    }

    @Test func listsOfTiktokenAreNamed() {
        #expect(message(Array("IQ== 0\nIg== 1\n".utf8)).contains("tiktoken's list of tokens"))
    }
}
