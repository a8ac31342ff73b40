import Foundation

/// As much of another program's `tokenizer.json` as tells whether it is one of our tokenizers.
private struct ForeignTokenizer: Decodable {
    struct Part: Decodable { let type: String }

    struct Added: Decodable {
        let id: Int
        let content: String
    }

    struct Model: Decodable {
        let type: String
        let vocab: [String: Int]
        let merges: [Ignored]
    }

    struct Ignored: Decodable {
        init(from decoder: any Decoder) {}
    }

    let normalizer: Part?
    let preTokenizer: Part?
    let postProcessor: Part?
    let addedTokens: [Added]?
    let model: Model

    enum CodingKeys: String, CodingKey {
        case normalizer, model
        case preTokenizer = "pre_tokenizer"
        case postProcessor = "post_processor"
        case addedTokens = "added_tokens"
    }
}

extension Tokenizer {
    /// Reads `tokenizer.json` in the form of `huggingFaceFiles`, however it was spelled since; nil where it
    /// is a tokenizer of another kind, or none.
    package init?(huggingFace bytes: [UInt8]) {
        guard let file = try? JSONDecoder().decode(ForeignTokenizer.self, from: Data(bytes)),
            file.normalizer == nil, file.postProcessor == nil, file.model.type == "BPE",
            file.model.merges.isEmpty
        else { return nil }
        let added = file.addedTokens ?? []
        let vocabulary = file.model.vocab
        switch file.preTokenizer?.type {
        case nil:
            guard added.isEmpty else { return nil }
            var characters: [Unicode.Scalar] = []
            for (text, id) in vocabulary.sorted(by: { $0.value < $1.value }) {
                guard id == characters.count, let scalar = text.unicodeScalars.first,
                    text.unicodeScalars.count == 1
                else { return nil }
                characters.append(scalar)
            }
            guard let own = try? CharacterTokenizer(characters: characters, name: "") else {
                return nil
            }
            self = .character(own)
        case "ByteLevel":
            let own = Tokenizer.byte(ByteTokenizer())
            guard added.allSatisfy({ $0.id == ByteTokenizer.endOfText }),
                vocabulary.count == own.symbols.count,
                own.symbols.enumerated().allSatisfy({ vocabulary[$0.element] == $0.offset })
            else { return nil }
            self = own
        default: return nil
        }
    }
}
