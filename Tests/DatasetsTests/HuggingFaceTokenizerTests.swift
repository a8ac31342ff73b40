import Datasets
import Foundation
import Testing

@Suite struct HuggingFaceTokenizerTests {
    private func vocabulary(_ tokenizer: Tokenizer) throws -> [String: Int] {
        let files = tokenizer.huggingFaceFiles(contextLength: 8)
        #expect(files.map(\.name).contains("tokenizer_config.json"))
        for file in files { _ = try JSONSerialization.jsonObject(with: Data(file.bytes)) }
        let own = try #require(files.first { $0.name == Tokenizer.exportedName })
        #expect(try Tokenizer(json: own.bytes, name: own.name) == tokenizer)
        let file = try #require(files.first { $0.name == "tokenizer.json" })
        #expect(Tokenizer(huggingFace: file.bytes) == tokenizer)
        let root = try #require(
            try JSONSerialization.jsonObject(with: Data(file.bytes)) as? [String: Any])
        let model = try #require(root["model"] as? [String: Any])
        return try #require(model["vocab"] as? [String: Int])
    }

    /// GPT-2's characters for bytes.
    @Test func everyByteHasACharacter() throws {
        let vocabulary = try vocabulary(.byte(ByteTokenizer()))
        #expect(vocabulary.count == 257 && Set(vocabulary.values) == Set(0..<257))
        let known = ["!": 0x21, "Ā": 0, "Ċ": 10, "Ġ": 32, "ġ": 0x7F, "Ń": 0xAD, "ÿ": 0xFF]
        for (character, byte) in known { #expect(vocabulary[character] == byte, "\(character)") }
        #expect(vocabulary["<|endoftext|>"] == 256)
    }

    @Test func everyCharacterHasItsId() throws {
        let folder = try TestFolder()
        let path = try folder.write("text", "a\"\\é日\na\"\\é日\n")
        let dataset = try DatasetBuilder.build(
            text: [path], tokenizer: .character, validationFraction: 0.5,
            output: folder.file("shards"))
        let vocabulary = try vocabulary(dataset.tokenizer)
        #expect(vocabulary == ["\n": 0, "\"": 1, "\\": 2, "a": 3, "é": 4, "日": 5])
    }

    @Test(
        arguments: [
            "", "{}", "[]", "{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}",
            "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a a\"]}}",
            "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1}, \"merges\": []}}",
            "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"ab\": 0}, \"merges\": []}}",
            "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"b\": 0, \"a\": 1}, \"merges\": []}}",
            "{\"model\": {\"type\": \"Unigram\", \"vocab\": {\"a\": 0}, \"merges\": []}}",
            """
            {"pre_tokenizer": {"type": "ByteLevel"},
             "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}
            """,
            """
            {"normalizer": {"type": "NFC"},
             "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}
            """,
        ])
    func anotherTokenizerIsNotTakenForOurs(text: String) {
        #expect(Tokenizer(huggingFace: Array(text.utf8)) == nil)
        let ours = "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}}"
        #expect(Tokenizer(huggingFace: Array(ours.utf8)) != nil, "control")
    }
}
