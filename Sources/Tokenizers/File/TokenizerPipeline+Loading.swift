// Which file of a folder is its tokenizer, and how each kind of file is read.

import Files
import Foundation

extension TokenizerPipeline {
    /// The tokenizer of a file or a folder.
    ///
    /// A file is told by its name: `*.json` is a tokenizer.json, `*.model` SentencePiece's, `vocab.txt` BERT's;
    /// `vocab.json` and `merges.txt` (`encoder.json` and `vocab.bpe`) belong together, and each leads to the other. What
    /// stands before these names, as in `small-vocab.json`, is the same for both. A folder's tokenizer is the first of
    /// these kinds that it has. All but a tokenizer.json are read together with what lies beside them
    /// (`TokenizerSettings`).
    package static func load(_ path: String) throws(TokenizerError) -> TokenizerPipeline {
        guard let kind = FileKind.unfit(path, for: S_IFDIR) else {
            guard SourceFile.exists(path) else {
                throw TokenizerError(
                    .missing, "\(path.printablePath): expected a tokenizer, found no such file")
            }
            return try TokenizerSource(folder: path).load()
        }
        guard FileKind.unfit(path) == nil else {
            throw TokenizerError(
                .missing,
                "\(path.printablePath): expected a tokenizer's file or folder, found \(kind)"
                    + FileKind.hint(reading: kind))
        }
        return try TokenizerSource(file: path).load()
    }
}

/// The file, or the files, that a tokenizer is read from.
enum TokenizerSource: Equatable {
    case json(String)
    case sentencePiece(String)
    case bytePairs(vocabulary: String, merges: String)
    case wordPieces(String)

    /// Names of the two files of byte pairs.
    private static let pairs = [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")]

    /// Names that models of SentencePiece have in published folders.
    private static let models = [
        "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model",
    ]

    init(file path: String) throws(TokenizerError) {
        let name = (path as NSString).lastPathComponent
        for (vocabulary, merges) in TokenizerSource.pairs {
            for (own, other) in [(vocabulary, merges), (merges, vocabulary)] {
                guard name == own || name.hasSuffix("-\(own)") else { continue }
                let partner = path.dropLast(own.count) + other
                guard SourceFile.exists(String(partner)) else {
                    throw TokenizerError(
                        .missing,
                        "\(path.printablePath): expected \(name.dropLast(own.count))\(other) beside it, "
                            + "found none")
                }
                self =
                    own == vocabulary
                    ? .bytePairs(vocabulary: path, merges: String(partner))
                    : .bytePairs(vocabulary: String(partner), merges: path)
                return
            }
        }
        if name == "source.spm" || name == "target.spm" {
            throw TokenizerSource.twoModels(path)
        } else if name.hasSuffix(".json") {
            self = .json(path)
        } else if name.hasSuffix(".model") || name.contains(".model.") {
            self = .sentencePiece(path)
        } else if name == "vocab.txt" || name.hasSuffix("-vocab.txt") {
            self = .wordPieces(path)
        } else {
            throw TokenizerError(
                .unsupported,
                "\(path.printablePath): expected a name *.json, *.model, vocab.txt, or vocab.json or merges.txt "
                    + "with the other beside it, found \(name.printable.debugDescription)")
        }
    }

    init(folder: String) throws(TokenizerError) {
        func path(_ name: String) -> String { (folder as NSString).appendingPathComponent(name) }
        func has(_ name: String) -> Bool { SourceFile.exists(path(name)) }
        if has("tokenizer.json") {
            self = .json(path("tokenizer.json"))
            return
        }
        if has("source.spm") { throw TokenizerSource.twoModels(path("source.spm")) }
        if let name = TokenizerSource.models.first(where: has) {
            self = .sentencePiece(path(name))
            return
        }
        let others = try SourceFile.names(in: folder).filter { $0.hasSuffix(".model") }.sorted()
        if others.count > 1 {
            throw TokenizerError(
                .corrupt,
                "\(folder.printablePath): expected one *.model, found "
                    + others.joined(separator: ", ").printable + "; name the file")
        }
        if let name = others.first {
            self = .sentencePiece(path(name))
        } else if let (vocabulary, merges) = TokenizerSource.pairs.first(where: {
            has($0.0) && has($0.1)
        }) {
            self = .bytePairs(vocabulary: path(vocabulary), merges: path(merges))
        } else if has("vocab.txt") {
            self = .wordPieces(path("vocab.txt"))
        } else {
            let halves = TokenizerSource.pairs.flatMap { [$0.0, $0.1] }.filter(has)
            throw TokenizerError(
                .missing,
                "\(folder.printablePath): expected tokenizer.json, a *.model, vocab.json with merges.txt, or "
                    + "vocab.txt, found \(halves.first.map { "\($0) alone" } ?? "none of them")")
        }
    }

    private static func twoModels(_ path: String) -> TokenizerError {
        TokenizerError(
            .unsupported,
            "\(path.printablePath): expected one model for all texts, found one of Marian's two "
                + "(source.spm, target.spm)")
    }

    func load() throws(TokenizerError) -> TokenizerPipeline {
        func read(
            _ path: String, _ limit: Int = TokenizerPipeline.byteLimit
        ) throws(TokenizerError) -> (bytes: [UInt8], name: String) {
            (try SourceFile.read(path, limit: limit), path.printablePath)
        }
        switch self {
        case .json(let path):
            let file = try read(path)
            return try TokenizerPipeline(json: file.bytes, name: file.name)
        case .sentencePiece(let path):
            let file = try read(path, SentencePieceModel.byteLimit)
            return try TokenizerPipeline(
                sentencePiece: file.bytes, settings: TokenizerSettings(beside: path),
                name: file.name)
        case .bytePairs(let vocabulary, let merges):
            let file = try read(vocabulary, VocabularyFiles.byteLimit)
            let node = try VocabularyFiles.bytePairs(
                vocabulary: file, merges: read(merges, VocabularyFiles.byteLimit),
                settings: TokenizerSettings(beside: vocabulary))
            return try TokenizerPipeline(json: node.bytes, name: file.name)
        case .wordPieces(let path):
            let file = try read(path, VocabularyFiles.byteLimit)
            let node = try VocabularyFiles.wordPieces(
                vocabulary: file, settings: TokenizerSettings(beside: path))
            return try TokenizerPipeline(json: node.bytes, name: file.name)
        }
    }
}

extension TokenizerSettings {
    /// What lies beside the file at `path`.
    init(beside path: String) throws(TokenizerError) {
        let folder = (path as NSString).deletingLastPathComponent
        func part(_ name: String) throws(TokenizerError) -> TokenizerPart? {
            let path = (folder as NSString).appendingPathComponent(name)
            guard SourceFile.exists(path) else { return nil }
            let file = path.printablePath
            let bytes = try SourceFile.read(path, limit: TokenizerSettings.byteLimit)
            let node = try JSONNode(parsing: bytes, name: file)
            guard case .object = node else {
                throw TokenizerError(
                    .corrupt, "\(file): expected an object, found \(node.summary)")
            }
            return TokenizerPart(node: node, place: "", file: file)
        }
        self.init(
            configuration: try part(TokenizerSettings.configurationName),
            specials: try part(TokenizerSettings.specialsName),
            added: try part(TokenizerSettings.addedName))
    }
}

/// Files that are read whole.
private enum SourceFile {
    /// Whether something is there, be it a link that leads nowhere: reading tells what is wrong with it.
    static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    static func names(in folder: String) throws(TokenizerError) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw TokenizerError(
                .missing,
                "\(folder.printablePath): expected a folder that can be read, found another one")
        }
    }

    /// The bytes of a regular file, at least one and at most `limit`.
    static func read(_ path: String, limit: Int) throws(TokenizerError) -> [UInt8] {
        let name = path.printablePath
        if let found = FileKind.unfit(path) {
            throw TokenizerError(
                .missing,
                "\(name): expected a regular file, found \(found)\(FileKind.hint(reading: found))")
        }
        // A pipe that comes between does not make it wait.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw failure(name) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw failure(name) }
        let size = Int(status.st_size)
        guard 1...limit ~= size else {
            throw TokenizerError(
                .corrupt, "\(name): expected 1 to \(limit) bytes, found \(size)")
        }
        var bytes = [UInt8](repeating: 0, count: size)
        var count = 0
        while count < size {
            let read = bytes.withUnsafeMutableBytes {
                Foundation.read(file, $0.baseAddress! + count, size - count)
            }
            if read < 0, errno == EINTR { continue }
            guard read >= 0 else { throw failure(name) }
            guard read > 0 else {
                throw TokenizerError(
                    .corrupt,
                    "\(name): expected \(size) bytes, found \(count): it was cut meanwhile")
            }
            count += read
        }
        return bytes
    }

    private static func failure(_ name: String) -> TokenizerError {
        TokenizerError(
            .missing,
            "\(name): expected a file that can be read, found: \(String(cString: strerror(errno)))")
    }
}
