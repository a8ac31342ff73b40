import Files

/// What the numbers mean that a model reads or gives: symbols of texts, or classes of images. A checkpoint keeps it.
public enum Vocabulary: Sendable, Equatable {
    case tokens(Tokenizer)
    /// Names, in the order of their numbers.
    case classes([String])

    public var count: Int {
        switch self {
        case .tokens(let tokenizer): tokenizer.vocabularySize
        case .classes(let names): names.count
        }
    }

    /// The symbol of its own that stands for what is masked.
    public var maskSymbol: Int? {
        switch self {
        case .tokens(let tokenizer): tokenizer.maskToken
        case .classes: nil
        }
    }

    /// The symbol that ends a text.
    public var endSymbol: Int? {
        switch self {
        case .tokens(let tokenizer): tokenizer.endOfText
        case .classes: nil
        }
    }

    /// What a checkpoint keeps, as JSON.
    public var json: String {
        switch self {
        case .tokens(let tokenizer): String(decoding: tokenizer.json(), as: UTF8.self)
        case .classes(let names):
            JSONValue.object([
                "type": .string(Vocabulary.classesType), "version": .integer(1),
                "classes": .array(names.map { .string($0) }),
            ]).json + "\n"
        }
    }

    /// SHA-256 of what it is: of a tokenizer its own, of classes their JSON.
    public var digest: String {
        switch self {
        case .tokens(let tokenizer): tokenizer.digest
        case .classes: SHA256.digest(of: Array(json.utf8)).hexadecimal
        }
    }

    /// Reads what `json` gave; `name` is that of its file in errors.
    public init(json text: String, name: String) throws(DatasetError) {
        guard text.contains("\"\(Vocabulary.classesType)\"") else {
            self = .tokens(try Tokenizer(json: Array(text.utf8), name: name))
            return
        }
        let file = try JSONFile.decode(
            ClassesFile.self, from: Array(text.utf8), name: name,
            keys: ["type", "version", "classes"])
        guard file.type == Vocabulary.classesType, file.version == 1, !file.classes.isEmpty else {
            throw DatasetError(
                .corrupt,
                "\(name): expected version 1 of \(Vocabulary.classesType) with at least 1 class, found "
                    + "version \(file.version) of \(file.type.debugDescription) with \(file.classes.count)"
            )
        }
        self = .classes(file.classes)
    }

    private struct ClassesFile: Decodable {
        let type: String
        let version: Int
        let classes: [String]
    }

    private static let classesType = "murmuration-classes"
}
