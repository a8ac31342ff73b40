import Testing
import Tokenizers

/// Tokenizers of a few tokens, whose encodings can be told by hand.
@Suite struct PipelineTests {
    static let bytePairs = #"""
        {"version": "1.0", "truncation": null, "padding": null,
         "added_tokens": [{"id": 6, "content": "<end>", "single_word": false, "lstrip": false,
           "rstrip": false, "normalized": false, "special": true}],
         "normalizer": null,
         "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
         "post_processor": null, "decoder": {"type": "ByteLevel"},
         "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "Ã": 5},
           "merges": ["a b", ["Ġ", "ab"]]}}
        """#

    private func tokenizer(_ text: String) throws -> TokenizerPipeline {
        try TokenizerPipeline(json: Array(text.utf8), name: "tokenizer.json")
    }

    @Test func bestRankedPairsMergeFirst() throws {
        let encoder = TextEncoder(try tokenizer(Self.bytePairs))
        #expect(try encoder.encode("abab ab<end>ba") == [3, 3, 4, 6, 1, 0])
    }

    @Test func aPartThatIsNotKnownIsRefusedByName() {
        let text = Self.bytePairs.replacing(
            "\"normalizer\": null", with: "\"normalizer\": {\"type\": \"Magic\"}")
        #expect(throws: TokenizerError.self) { try tokenizer(text) }
        do {
            _ = try tokenizer(text)
        } catch {
            #expect(
                "\(error)"
                    == "tokenizer.json: normalizer: expected a type of normalizer, found \"Magic\"")
        }
    }
}
