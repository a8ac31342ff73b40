import Datasets
import Testing

@Suite struct TokenizerTests {
    /// A character-level tokenizer is made from a corpus only, so these go through its file.
    static func characters(_ text: String) throws -> Tokenizer {
        let folder = try TestFolder()
        return try DatasetBuilder.build(
            text: [folder.write("corpus.txt", text)], tokenizer: .character, validationFraction: 0,
            output: folder.file("data")
        ).tokenizer
    }

    @Test func bytesRoundTripWhateverTheyAre() throws {
        let tokenizer = Tokenizer.byte(ByteTokenizer())
        #expect(tokenizer.vocabularySize == 257)
        #expect(tokenizer.endOfText == 256 && tokenizer.startToken == 256)
        #expect(tokenizer.bytes(of: (0...255).map { Int32($0) }) == [UInt8](0...255))
        let text = "naïve ☕️ 𝄞\0\n"
        #expect(try tokenizer.decode(tokenizer.encode(text)) == text)
        #expect(tokenizer.decode([72, 256, 105]) == "Hi")
        #expect(tokenizer.decode([0xC3, 65, 300, -1]) == "\u{FFFD}A\u{FFFD}\u{FFFD}")
    }

    @Test func charactersAreNumberedByTheirValues() throws {
        let tokenizer = try TokenizerTests.characters("banana\né")
        #expect(tokenizer.vocabularySize == 5)
        #expect(try tokenizer.encode("\nabné") == [0, 1, 2, 3, 4])
        #expect(tokenizer.decode([2, 1, 3, 4]) == "bané")
        #expect(tokenizer.decode([1, 5, -1]) == "a\u{FFFD}\u{FFFD}")
        #expect(tokenizer.startToken == 0 && tokenizer.endOfText == nil)
        #expect(try TokenizerTests.characters("xyz").startToken == 0)
    }

    @Test func anUnknownCharacterIsNamedWithItsPosition() throws {
        let tokenizer = try TokenizerTests.characters("abc")
        let error = datasetError { _ = try tokenizer.encode("abxa") }
        #expect(error?.kind == .invalidText)
        #expect(
            error?.message
                == "text, character 2: expected one of the tokenizer's 3 characters, found U+0078 \"x\""
        )
    }

    @Test func filesRoundTrip() throws {
        for tokenizer in [
            Tokenizer.byte(ByteTokenizer()),
            try TokenizerTests.characters("a\u{0}\"\\/\u{301}é𝄞\u{FEFF}"),
        ] {
            let read = try Tokenizer(json: tokenizer.json(), name: "t")
            #expect(read == tokenizer)
            #expect(read.json() == tokenizer.json())
            #expect(read.digest == tokenizer.digest)
            #expect(tokenizer.digest.count == 64)
        }
        let digests = try ["abc", "abd", "ab"].map { try TokenizerTests.characters($0).digest }
        #expect(Set(digests).count == 3)
    }

    static let badFiles: [(String, String)] = [
        ("", "no valid JSON"),
        ("{", "no valid JSON"),
        ("[]", "another type"),
        ("null", "found"),
        (String(repeating: "[", count: 100_000), "no valid JSON"),
        (#"{"type":"murmuration-byte"}"#, "no key \"version\""),
        (#"{"type":"murmuration-byte","version":1,"digest":"x"}"#, "digest: expected"),
        (#"{"type":"murmuration-byte","version":2,"digest":"x"}"#, "version: expected 1, found 2"),
        (#"{"type":"murmuration-byte","version":true,"digest":"x"}"#, "another type at .version"),
        (#"{"type":"murmuration-byte","version":1,"digest":"x","more":1}"#, "found \"more\""),
        (
            #"{"type":"murmuration-byte","version":1,"digest":"","characters":["a"]}"#,
            "expected none"
        ),
        (#"{"type":"BPE","version":1,"digest":"x"}"#, "type: expected murmuration-byte"),
        (#"{"type":"murmuration-character","version":1,"digest":"x"}"#, "at least 1 character"),
        (
            #"{"type":"murmuration-character","version":1,"digest":"x","characters":["ab"]}"#,
            "characters[0]: expected one Unicode scalar, found 2"
        ),
        (
            #"{"type":"murmuration-character","version":1,"digest":"x","characters":["a",""]}"#,
            "characters[1]: expected one Unicode scalar, found 0"
        ),
        (
            #"{"type":"murmuration-character","version":1,"digest":"x","characters":["b","a"]}"#,
            "ascending, distinct characters"
        ),
        (
            #"{"type":"murmuration-character","version":1,"digest":"x","characters":["a","a"]}"#,
            "ascending, distinct characters"
        ),
        (
            #"{"type":"murmuration-character","version":1,"digest":"x","characters":[1]}"#,
            "another type"
        ),
        (
            #"{"type":"murmuration-character","version":1,"digest":"x","characters":["\ud800"]}"#,
            "no valid JSON"
        ),
    ]

    @Test(arguments: badFiles)
    func aBadFileIsRefused(json: String, expected: String) {
        let error = datasetError { _ = try Tokenizer(json: Array(json.utf8), name: "t.json") }
        #expect(error?.kind == .corrupt)
        #expect(error?.message.contains("t.json") == true)
        #expect(error?.message.contains(expected) == true, "\(error?.message ?? "no error")")
    }
}

@Suite struct UTF8StreamDecoderTests {
    /// The scalars of `bytes`, nil where they are no UTF-8.
    private func decode(_ bytes: [UInt8]) -> [UInt32]? {
        var decoder = UTF8StreamDecoder()
        var scalars: [UInt32] = []
        for byte in bytes {
            switch decoder.next(byte) {
            case .scalar(let value): scalars.append(value)
            case .incomplete: break
            case .invalid: return nil
            }
        }
        return decoder.isComplete ? scalars : nil
    }

    @Test func everyScalarIsRead() {
        for value in 0...0x10_FFFF as ClosedRange<UInt32> {
            guard let scalar = Unicode.Scalar(value) else { continue }
            if decode(Array(String(scalar).utf8)) != [value] { Issue.record("U+\(value)") }
        }
    }

    /// Agrees with the standard library on short sequences of bytes that matter.
    @Test func whatIsNoTextIsRefused() {
        let interesting: [UInt8] = [
            0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0,
            0xE1,
            0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
        ]
        var refused = 0
        for a in interesting {
            for b in interesting {
                for c in interesting {
                    for d in [[], [0x80 as UInt8], [0xBF], [0x41]] {
                        let bytes = [a, b, c] + d
                        let expected = String(validating: bytes, as: UTF8.self)?.unicodeScalars
                        if decode(bytes) != expected.map({ $0.map(\.value) }) {
                            Issue.record("\(bytes)")
                        }
                        if expected == nil { refused += 1 }
                    }
                }
            }
        }
        #expect(refused > 10_000)
    }
}
