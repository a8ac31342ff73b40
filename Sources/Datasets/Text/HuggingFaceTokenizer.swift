// Our tokenizers in the form that the Python packages tokenizers and transformers read: byte pair encoding
// without merges, whose tokens are single characters, or single bytes.

import Files
import Foundation
import Tokenizers

extension Tokenizer {
    /// The name of our own file in an exported folder, where `tokenizer.json` has another form.
    package static let exportedName = "murmuration-tokenizer.json"

    /// The text of end-of-text in other programs.
    private static let endOfTextContent = "<|endoftext|>"

    /// Files with which `AutoTokenizer` gives the same ids as `encode`.
    ///
    /// Two texts are met otherwise there: a character that the vocabulary lacks is left out instead of
    /// refused, and `<|endoftext|>` spelled out is the token instead of thirteen bytes.
    package func huggingFaceFiles(contextLength: Int) -> [(name: String, bytes: [UInt8])] {
        if case .pipeline(let tokenizer) = self {
            return [
                (Tokenizer.fileName, json()),
                ("tokenizer_config.json", Array(tokenizer.settings(contextLength).utf8)),
            ]
        }
        return [
            (Tokenizer.fileName, Array(huggingFaceTokenizer.utf8)),
            ("tokenizer_config.json", Array(huggingFaceSettings(contextLength).utf8)),
            (Tokenizer.exportedName, json()),
        ]
    }

    private var huggingFaceTokenizer: String {
        let isByte = kind == .byte
        let byteLevel =
            "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
            + "\"use_regex\": false}"
        let added = """
            [{"id": \(ByteTokenizer.endOfText), "content": \(quoted(Tokenizer.endOfTextContent)), \
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, \
            "special": true}]
            """
        let vocabulary = symbols.enumerated().map { "\(quoted($0.element)): \($0.offset)" }
        return """
            {
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": \(isByte ? added : "[]"),
            "normalizer": null,
            "pre_tokenizer": \(isByte ? byteLevel : "null"),
            "post_processor": null,
            "decoder": \(isByte ? byteLevel : "{\"type\": \"Fuse\"}"),
            "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": {\(vocabulary.joined(separator: ",\n"))},
            "merges": []
            }
            }

            """
    }

    private func huggingFaceSettings(_ contextLength: Int) -> String {
        let special = endOfText.map { _ in
            ["bos_token", "eos_token"].map { "\"\($0)\": \(quoted(Tokenizer.endOfTextContent)),\n" }
                .joined()
        }
        return """
            {
            \(special ?? "")"clean_up_tokenization_spaces": false,
            "model_max_length": \(contextLength),
            "tokenizer_class": "PreTrainedTokenizerFast"
            }

            """
    }

    /// What stands for each token in a vocabulary of text.
    var symbols: [String] {
        switch self {
        case .character(let tokenizer): tokenizer.characters.map { String($0) }
        case .byte: ByteTokenizer.symbols.map { String($0) } + [Tokenizer.endOfTextContent]
        case .pipeline: preconditionFailure("Tokenizer: a pipeline is written as it was read")
        }
    }
}

extension PipelineTokenizer {
    /// tokenizer_config.json: which special tokens are for what.
    fileprivate func settings(_ contextLength: Int) -> String {
        var members: [String: JSONValue] = [
            "clean_up_tokenization_spaces": .bool(false),
            "model_max_length": .integer(contextLength),
            "tokenizer_class": .string("PreTrainedTokenizerFast"),
        ]
        let roles: [(String, Int32?)] = [
            ("eos_token", end == separator ? nil : end),
            ("bos_token", begin == classifier ? (end == separator ? nil : end) : begin),
            ("cls_token", classifier), ("sep_token", separator), ("mask_token", mask),
            ("pad_token", padding), ("unk_token", unknown),
        ]
        for (name, identifier) in roles {
            guard let identifier, let text = pipeline.text(of: identifier) else { continue }
            members[name] = .string(String(decoding: text, as: UTF8.self))
        }
        return JSONValue.object(members).json + "\n"
    }
}

extension ByteTokenizer {
    /// A printable character for each byte, as GPT-2's vocabulary writes them.
    fileprivate static var symbols: [Unicode.Scalar] {
        ByteAlphabet.scalars.compactMap { Unicode.Scalar($0) }
    }
}

/// A string of JSON.
private func quoted(_ text: String) -> String {
    String(decoding: JSONFile.encode(text).dropLast(), as: UTF8.self)
}
