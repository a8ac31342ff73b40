import Foundation
import Tokenizers

/// What `tokenizer.json` of our own kinds holds. `type` tells it from a Hugging Face tokenizer.
private struct TokenizerFile: Codable {
    var type: String
    var version: Int
    var characters: [String]?
    var digest: String

    static let typePrefix = "murmuration-"
    static let version = 1
    /// Every scalar there is, escaped, fits; so does a vocabulary of some hundred thousand tokens.
    static let byteLimit = 64 << 20
}

extension Tokenizer {
    /// The name of a tokenizer's file beside shards and in checkpoints.
    public static let fileName = "tokenizer.json"

    /// The file's content; the same tokenizer gives the same bytes.
    public func json() -> [UInt8] {
        if case .pipeline(let tokenizer) = self { return tokenizer.pipeline.canonicalJSON }
        var characters: [String]?
        if case .character(let tokenizer) = self {
            characters = tokenizer.characters.map { String($0) }
        }
        let file = TokenizerFile(
            type: TokenizerFile.typePrefix + kind.rawValue, version: TokenizerFile.version,
            characters: characters, digest: digest)
        return JSONFile.encode(file)
    }

    /// Reads the file at `path`.
    public static func load(_ path: String) throws(DatasetError) -> Tokenizer {
        let bytes = try Folder.read(path, limit: TokenizerFile.byteLimit)
        return try Tokenizer(json: bytes, name: path)
    }

    /// Reads the tokenizer of a folder, or a file that holds one: those of `TokenizerPipeline.load`.
    package static func load(files path: String) throws(DatasetError) -> Tokenizer {
        do throws(TokenizerError) {
            return .pipeline(PipelineTokenizer(try TokenizerPipeline.load(path)))
        } catch {
            throw DatasetError(error)
        }
    }

    /// Reads what `json()` wrote, or another program's tokenizer.json; `name` names it in errors. The digest of our
    /// own kinds must be that of the content.
    public init(json bytes: [UInt8], name: String) throws(DatasetError) {
        guard Tokenizer.isOwn(bytes) else {
            do throws(TokenizerError) {
                let pipeline = try TokenizerPipeline(json: bytes, name: name)
                self = .pipeline(PipelineTokenizer(pipeline))
                return
            } catch {
                throw DatasetError(error)
            }
        }
        let file = try JSONFile.decode(
            TokenizerFile.self, from: bytes, name: name,
            keys: ["type", "version", "characters", "digest"])
        guard file.version == TokenizerFile.version else {
            throw DatasetError(
                .corrupt,
                "\(name): version: expected \(TokenizerFile.version), found \(file.version)")
        }
        switch file.type {
        case TokenizerFile.typePrefix + Kind.byte.rawValue:
            guard file.characters == nil else {
                throw DatasetError(.corrupt, "\(name): characters: expected none, found some")
            }
            self = .byte(ByteTokenizer())
        case TokenizerFile.typePrefix + Kind.character.rawValue:
            let characters = try Tokenizer.scalars(file.characters ?? [], name: name)
            self = .character(try CharacterTokenizer(characters: characters, name: name))
        default:
            let known = [Kind.byte, .character].map { TokenizerFile.typePrefix + $0.rawValue }
            throw DatasetError(
                .corrupt,
                "\(name): type: expected \(known.joined(separator: " or ")), found "
                    + file.type.debugDescription)
        }
        guard digest == file.digest else {
            throw DatasetError(
                .corrupt,
                "\(name): digest: expected \(digest) from the content, found "
                    + file.digest.debugDescription)
        }
    }

    /// Whether a file can be of one of our own kinds: those have no `model`.
    private static func isOwn(_ bytes: [UInt8]) -> Bool {
        !String(decoding: bytes, as: UTF8.self).contains("\"model\"")
    }

    private static func scalars(
        _ texts: [String], name: String
    ) throws(DatasetError) -> [Unicode.Scalar] {
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(texts.count)
        for (index, text) in texts.enumerated() {
            guard let scalar = text.unicodeScalars.first, text.unicodeScalars.count == 1 else {
                throw DatasetError(
                    .corrupt,
                    "\(name): characters[\(index)]: expected one Unicode scalar, found "
                        + "\(text.unicodeScalars.count)")
            }
            scalars.append(scalar)
        }
        return scalars
    }
}
