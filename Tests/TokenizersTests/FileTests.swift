import Testing
import Tokenizers

/// tokenizer.json: other spellings, hostile ones.
@Suite struct FileTests {
    @Test func oneTokenizerHasOneDigest() throws {
        let text = TokenizerText.byteLevel(merges: [("a", "b"), ("ab", "a")])
        let pipeline = try text.pipeline()
        let spelled = String(decoding: text.json, as: UTF8.self)
            .replacing("[\"a\", \"b\"]", with: "\"a b\"").replacing(
                "[\"ab\", \"a\"]", with: "\"ab a\""
            )
            .replacing("\"truncation\": null, ", with: "").replacing(", ", with: " ,\n")
        let other = try TokenizerPipeline(json: Array(spelled.utf8), name: "t")
        #expect(other.digest == pipeline.digest)
        #expect(
            try TokenizerPipeline(json: pipeline.canonicalJSON, name: "t").canonicalJSON
                == pipeline.canonicalJSON)
        let changed = spelled.replacing("\"ab a\"", with: "\"a ba\"")
        #expect(
            (try? TokenizerPipeline(json: Array(changed.utf8), name: "t"))?.digest
                != pipeline.digest)
    }

    @Test(arguments: [
        ("", "tokenizer.json: expected a value, found the end of the file"),
        ("[]", "tokenizer.json: expected an object, found an array of 0"),
        ("{}", "tokenizer.json: expected a member \"model\", found none"),
        (
            #"{"version": "2.0", "model": {}}"#,
            "tokenizer.json: version: expected \"1.0\", found \"2.0\""
        ),
        (
            #"{"model": {"type": "Magic"}}"#,
            "tokenizer.json: model: expected a type of model, found \"Magic\""
        ),
        (
            #"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}"#,
            "tokenizer.json: expected the parts of merge 0 in the vocabulary, found no \"b\""
        ),
        (
            #"{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}"#,
            "tokenizer.json: model.vocab: expected a number from 0 to 16777215 for each token, found -1 for \"a\""
        ),
        (
            #"{"model": {"type": "BPE", "dropout": 0.1, "vocab": {"a": 0}, "merges": []}}"#,
            "tokenizer.json: model.dropout: expected no dropout, found 0.1"
        ),
        (
            #"{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": false}, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"#,
            "tokenizer.json: pre_tokenizer.pattern: expected a regular expression, found \"(a\" (missing closing parenthesis, at byte 2)"
        ),
        (
            "{\"model\": \"\u{1}\"}",
            "tokenizer.json: expected the end of a string, found byte 0x01 at byte 11"
        ),
        (
            #"{"model": "\ud800"}"#,
            "tokenizer.json: expected a low surrogate, found \"\"\" at byte 17"
        ),
        (#"{"model": 1} x"#, "tokenizer.json: expected the end, found \"x\" at byte 13"),
    ])
    func faultsAreNamed(_ text: String, _ message: String) {
        do {
            _ = try TokenizerPipeline(json: Array(text.utf8), name: "tokenizer.json")
            Issue.record("expected an error")
        } catch {
            #expect(error.message == message)
        }
    }

    @Test func rulesThatGrowWithoutEndAreStopped() throws {
        var text = TokenizerText.byteLevel()
        let rule = #"{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}"#
        text.normalizer =
            #"{"type": "Sequence", "normalizers": [\#(repeatElement(rule, count: 60).joined(separator: ", "))]}"#
        let pipeline = try text.pipeline()
        #expect(throws: TokenizerError.self) { try TextEncoder(pipeline).encode("aaa") }
        #expect(try TextEncoder(pipeline).encode("b").count == 1)
    }

    @Test func depthCostsNoStack() {
        let text = String(repeating: "[", count: 1_000_000)
        #expect(throws: TokenizerError.self) {
            try TokenizerPipeline(json: Array(text.utf8), name: "t")
        }
    }

    /// Files with changed bytes are refused, or are tokenizers: nothing traps. `launch/peers` has many more.
    @Test func changedFilesTrapNothing() throws {
        var files = [
            TokenizerText.byteLevel(merges: BytePairTests.merges).json, ModelTests.bert.json,
        ]
        var llama = TokenizerText()
        llama.normalizer = #"{"type": "Prepend", "prepend": "▁"}"#
        llama.model = TokenizerText.bytePairs(["▁", "a", "b", "▁a"], [("▁", "a")])
        files.append(llama.json)
        var dice = Dice(8)
        var (refused, read) = (0, 0)
        for round in 0..<1500 {
            var bytes = files[round % files.count]
            for _ in 0..<Int.random(in: 1...3, using: &dice) {
                let place = Int.random(in: 0..<bytes.count, using: &dice)
                switch Int.random(in: 0..<4, using: &dice) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &dice)
                case 1: bytes.remove(at: place)
                case 2:
                    bytes.insert(Array("\"{}[]0,:".utf8).randomElement(using: &dice)!, at: place)
                default:
                    bytes.insert(contentsOf: bytes[place..<min(place + 9, bytes.count)], at: place)
                }
            }
            guard let pipeline = try? TokenizerPipeline(json: bytes, name: "t") else {
                refused += 1
                continue
            }
            read += 1
            let tokens = (try? TextEncoder(pipeline).encode("ab <s>Playing é 12\n")) ?? []
            _ = try? pipeline.decode(tokens, skipsSpecials: false)
        }
        #expect(refused > 100 && read > 20, "\(refused) refused, \(read) read")
    }
}
