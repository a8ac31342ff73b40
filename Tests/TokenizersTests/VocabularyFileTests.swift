import Foundation
import Testing
import Tokenizers

/// Folders with vocabularies of before there was a tokenizer.json.
@Suite struct VocabularyFileTests {
    private static let pairs: [String: String] = [
        "vocab.json":
            #"{"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "<|endoftext|>": 5}"#,
        "merges.txt": "#version: 0.2\na b\r\nĠ ab\n\n",
    ]

    private static let words: [String: String] = [
        "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhe\n##llo  \nHe\n,\n"
    ]

    /// Calls `body` with a folder of `files`.
    private func inFolder<Result>(
        _ files: [String: String], _ body: (String) throws -> Result
    ) throws -> Result {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("vocabulary-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in files {
            try Data(text.utf8).write(to: folder.appendingPathComponent(name))
        }
        return try body(folder.path)
    }

    private func tokens(
        _ text: String, _ files: [String: String], file: String? = nil
    ) throws -> [Int32] {
        try inFolder(files) { folder in
            let pipeline = try TokenizerPipeline.load(file.map { "\(folder)/\($0)" } ?? folder)
            return try TextEncoder(pipeline).encoding(
                of: Array(text.utf8), addsSpecials: true, isAligned: false
            ).identifiers
        }
    }

    /// The error of a folder or of a file in it, without the folder's path.
    private func error(
        _ files: [String: String], file: String? = nil
    ) throws -> (kind: TokenizerError.Kind, text: String)? {
        try inFolder(files) { folder -> (kind: TokenizerError.Kind, text: String)? in
            do throws(TokenizerError) {
                _ = try TokenizerPipeline.load(file.map { "\(folder)/\($0)" } ?? folder)
                return nil
            } catch {
                return (error.kind, "\(error)".replacing(folder, with: "…"))
            }
        }
    }

    // MARK: Byte pairs

    @Test(arguments: [nil, "vocab.json", "merges.txt"])
    func eachOfTwoFilesLeadsToTheOther(_ file: String?) throws {
        #expect(try tokens("abab ab<|endoftext|>ba", Self.pairs, file: file) == [3, 3, 4, 5, 1, 0])
    }

    @Test func namesMayHaveAPrefixInCommon() throws {
        let files = Dictionary(uniqueKeysWithValues: Self.pairs.map { ("my-\($0.key)", $0.value) })
        #expect(try tokens("ab", files, file: "my-vocab.json") == [3])
        #expect(
            try error(files, file: "my-vocab.json") == nil)
        let found = try error(Self.pairs.filter { $0.key == "vocab.json" }, file: "vocab.json")
        #expect(found?.kind == .missing)
        #expect(found?.text == "…/vocab.json: expected merges.txt beside it, found none")
    }

    @Test func aTokenThatTheClassNeedsGoesBehindTheVocabulary() throws {
        var files = Self.pairs
        files["vocab.json"] = #"{"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4}"#
        #expect(try tokens("<|endoftext|>a", files) == [5, 0])
    }

    @Test func aVocabularyLikeRobertasHasItsTemplate() throws {
        var files = Self.pairs
        files["vocab.json"] =
            #"{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5, "Ġ": 6, "ab": 7, "Ġab": 8}"#
        #expect(try tokens("ab ab", files) == [0, 7, 8, 2])
        #expect(try tokens("<mask>", files) == [0, 9, 2])
        files["tokenizer_config.json"] = #"{"tokenizer_class": "GPT2Tokenizer"}"#
        #expect(try tokens("ab ab", files) == [7, 8])
        files["tokenizer_config.json"] =
            #"{"tokenizer_class": "BartTokenizerFast", "add_prefix_space": true, "cls_token": "</s>"}"#
        #expect(try tokens("ab", files) == [2, 8, 2])
    }

    @Test func settingsOfOtherClassesAreRefused() throws {
        var files = Self.pairs
        files["tokenizer_config.json"] = #"{"tokenizer_class": "Qwen2Tokenizer"}"#
        let found = try error(files)
        #expect(found?.kind == .unsupported)
        #expect(found?.text.contains("tokenizer_class: expected one of BartTokenizer, ") == true)
    }

    @Test(arguments: [
        (
            "a b c\n",
            "…/merges.txt: line 2: expected two tokens with a space between, found \"a b c\""
        ),
        ("a\n", "…/merges.txt: line 2: expected two tokens with a space between, found \"a\""),
        (
            "a b</w>\n",
            "…/merges.txt: line 2: expected byte-level tokens, found \"b</w>\", which ends a word; read the "
                + "tokenizer.json of the same model"
        ),
        (
            "a c\n",
            "…/vocab.json: expected the parts of merge 0 in the vocabulary, found no \"c\""
        ),
    ])
    func mergesThatAreNoneAreRefused(_ line: String, _ expected: String) throws {
        var files = Self.pairs
        files["merges.txt"] = "#version: 0.2\n" + line
        #expect(try error(files)?.text == expected)
    }

    @Test(arguments: [
        ("[]", "…/vocab.json: expected an object of tokens, found an array of 0"),
        ("{}", "…/vocab.json: expected an object of tokens, found an object of 0 members"),
        (
            #"{"a": -1}"#,
            "…/vocab.json: a: expected an integer from 0 to 16777215, found -1"
        ),
        (
            #"{"a": 99999999999}"#,
            "…/vocab.json: a: expected an integer from 0 to 16777215, found 99999999999"
        ),
        ("{", "…/vocab.json: expected a string, found the end of the file"),
    ])
    func vocabulariesThatAreNoneAreRefused(_ text: String, _ expected: String) throws {
        var files = Self.pairs
        files["vocab.json"] = text
        #expect(try error(files)?.text == expected)
    }

    // MARK: Word pieces

    @Test func wordsAreUncasedUnlessSettingsSayOtherwise() throws {
        #expect(try tokens("Hello, héllo", Self.words) == [2, 5, 6, 8, 5, 6, 3])
        #expect(try tokens("Hello[MASK]x", Self.words) == [2, 5, 6, 4, 1, 3])
        var files = Self.words
        files["tokenizer_config.json"] = #"{"do_lower_case": false}"#
        #expect(try tokens("Hello, hello", files, file: "vocab.txt") == [2, 7, 6, 8, 5, 6, 3])
    }

    @Test func specialTokensMayHaveOtherNames() throws {
        let files = [
            "vocab.txt": "<u>\n<c>\n<e>\na\n",
            "special_tokens_map.json":
                #"{"unk_token": "<u>", "cls_token": {"content": "<c>", "lstrip": false}, "sep_token": "<e>"}"#,
            "added_tokens.json": #"{"new": 4}"#,
        ]
        #expect(try tokens("a b new", files) == [1, 3, 0, 4, 2])
        var other = files
        other["added_tokens.json"] = #"{"new": 9}"#
        #expect(
            try error(other)?.text
                == "…/added_tokens.json: expected number 4 for the token \"new\", which it has in the "
                + "vocabulary or behind it, found 9")
    }

    @Test func aVocabularyWithoutTheUnknownTokenIsRefused() throws {
        #expect(
            try error(["vocab.txt": "a\nb"])?.text
                == "…/vocab.txt: expected a line with the unknown token \"[UNK]\", found none in 2")
    }

    // MARK: Folders

    @Test func aFolderWithoutATokenizerSaysWhatWasLookedFor() throws {
        let found = try error(["config.json": "{}"])
        #expect(found?.kind == .missing)
        #expect(
            found?.text
                == "…: expected tokenizer.json, a *.model, vocab.json with merges.txt, or vocab.txt, found none "
                + "of them")
        #expect(
            try error(["merges.txt": "a b"])?.text
                == "…: expected tokenizer.json, a *.model, vocab.json with merges.txt, or vocab.txt, found "
                + "merges.txt alone")
        #expect(
            try error(["a.model": "x", "b.model": "y"])?.text
                == "…: expected one *.model, found a.model, b.model; name the file")
        #expect(
            try error(["source.spm": "x", "target.spm": "y", "vocab.json": "{}"])?.text
                == "…/source.spm: expected one model for all texts, found one of Marian's two (source.spm, "
                + "target.spm)")
    }

    @Test func filesThatCannotBeReadAreNamed() throws {
        #expect(
            try error([:], file: "none.json")?.text
                == "…/none.json: expected a tokenizer, found no such file")
        #expect(
            try error(["tokenizer.json": ""])?.text
                == "…/tokenizer.json: expected 1 to 268435456 bytes, found 0")
        #expect(try error(["notes.md": "x"], file: "notes.md")?.kind == .unsupported)
        let found = try inFolder([:]) { folder in
            try FileManager.default.createDirectory(
                atPath: "\(folder)/tokenizer.json", withIntermediateDirectories: false)
            do {
                _ = try TokenizerPipeline.load(folder)
                return ""
            } catch {
                return "\(error)".replacing(folder, with: "…")
            }
        }
        #expect(found == "…/tokenizer.json: expected a regular file, found a folder")
    }

    @Test func aTokenizerFileComesFirst() throws {
        var files = Self.pairs
        var text = TokenizerText.byteLevel()
        text.addedTokens = [TokenizerText.added(256, "<end>")]
        files["tokenizer.json"] = String(decoding: text.json, as: UTF8.self)
        #expect(try tokens("<end>", files) == [256])
    }
}
