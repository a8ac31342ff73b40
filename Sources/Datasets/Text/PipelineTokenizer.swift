import Files
import Tokenizers

/// A tokenizer of the Hugging Face library's kind, and what its special tokens are for.
public struct PipelineTokenizer: Sendable, Equatable {
    package let pipeline: TokenizerPipeline
    /// Ends a text.
    let end: Int32?
    /// Begins a text.
    let begin: Int32?
    /// Stands for what a masked language model is to predict.
    let mask: Int32?
    let padding: Int32?
    let unknown: Int32?
    /// BERT's, around and between texts.
    let classifier: Int32?
    let separator: Int32?
    /// What the template puts before a text.
    let head: [Int32]

    /// Special tokens by what they are for: names that published tokenizers give them, the commonest first.
    private enum Name {
        static let end = [
            "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eot_id|>", "<|im_end|>",
            "[SEP]",
        ]
        static let begin = ["<|begin_of_text|>", "<s>", "<bos>", "[CLS]"]
        static let mask = ["[MASK]", "<mask>"]
        static let padding = ["<pad>", "[PAD]", "<|pad|>", "<|padding|>"]
        static let unknown = ["<unk>", "[UNK]"]
        static let classifier = ["[CLS]"]
        static let separator = ["[SEP]"]
    }

    init(_ pipeline: TokenizerPipeline) {
        self.pipeline = pipeline
        func token(_ names: [String]) -> Int32? {
            names.lazy.compactMap { name in
                pipeline.addedTokens.last { $0.content == Array(name.utf8) }?.identifier
            }.first
        }
        (end, begin, mask) = (token(Name.end), token(Name.begin), token(Name.mask))
        (padding, unknown) = (token(Name.padding), token(Name.unknown))
        (classifier, separator) = (token(Name.classifier), token(Name.separator))
        head = pipeline.templateHead
    }

    public static func == (left: PipelineTokenizer, right: PipelineTokenizer) -> Bool {
        left.pipeline.digest == right.pipeline.digest
    }

    /// What stands before each document: the end of the one before it, and what the template begins texts with.
    var documentStart: [Int32] { (end.map { [$0] } ?? []) + head.filter { $0 != end } }

    /// Tokens of a text with its template.
    func encode(_ text: String) throws(DatasetError) -> [Int32] {
        do throws(TokenizerError) {
            return try TextEncoder(pipeline).encoding(
                of: Array(text.utf8), addsSpecials: true, isAligned: false
            ).identifiers
        } catch {
            throw DatasetError(.invalidText, error.message)
        }
    }

    /// The text of tokens, without special ones; empty where a decoder fails.
    func bytes(of tokens: some Sequence<Int32>) -> [UInt8] {
        (try? pipeline.decode(tokens, skipsSpecials: true)) ?? []
    }

    /// Tokens that go on with the word before them.
    var continuations: Set<Int32> {
        Set((0..<Int32(pipeline.vocabularySize)).filter { pipeline.continuesWord($0) })
    }
}

extension Tokenizer {
    /// How a configuration names this one, which was read from `path`.
    package func choice(from path: String) -> TokenizerChoice {
        switch self {
        case .byte: .byte
        case .character: .character
        case .pipeline: .file(path)
        }
    }
}

extension DatasetError {
    init(_ error: TokenizerError) {
        let kind: Kind =
            switch error.kind {
            case .missing: .missing
            case .corrupt, .unsupported: .corrupt
            case .unencodable: .invalidText
            case .untrainable: .tooSmall
            }
        self.init(kind, error.message)
    }
}

/// Which tokenizer a corpus gets.
public enum TokenizerChoice: Sendable, Equatable {
    case byte
    /// The characters that the corpus has.
    case character
    /// One that is there: a tokenizer.json, another file that holds one, or a folder with one.
    case file(String)

    /// As configurations name it.
    public init(_ text: String) {
        switch text {
        case Tokenizer.Kind.byte.rawValue: self = .byte
        case Tokenizer.Kind.character.rawValue: self = .character
        default: self = .file(text)
        }
    }

    public var text: String {
        switch self {
        case .byte: Tokenizer.Kind.byte.rawValue
        case .character: Tokenizer.Kind.character.rawValue
        case .file(let path): path
        }
    }
}
