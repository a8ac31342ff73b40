import Files
import Foundation

/// What a file of another program does not tell: which tokenizer made it.
package struct ForeignVocabulary: Sendable {
    package var size: Int
    /// SHA-256, 32 bytes.
    package var tokenizerDigest: [UInt8]

    package init(size: Int, tokenizerDigest: [UInt8]) {
        (self.size, self.tokenizerDigest) = (size, tokenizerDigest)
    }
}

/// Files of tokens that other programs write, read where they lie:
///
/// * llm.c: 256 integers of 32 bits, of which the first three are a magic number (20240520 for GPT-2's 16-bit
///   tokens, 20240801 for Llama 3's 32-bit ones), a version and the number of tokens; then the tokens;
/// * Megatron: `NAME.bin` beside `NAME.idx` ("MMIDIDX", version 1), which has type and number of tokens and where
///   documents are;
/// * nanoGPT: 16-bit tokens and nothing else.
///
/// They carry no checksums: what is read is checked against its first reading, and its ids against the vocabulary.
struct ForeignTokens {
    let layout: TokenLayout
    let documents: DocumentTable?
    /// SHA-256 over size, head, end and 64 places between: it tells most files apart and reads none of them whole.
    let fingerprint: String

    init(
        _ file: borrowing FileDescriptor, vocabulary: ForeignVocabulary
    ) throws(DatasetError) {
        let size = try file.byteCount()
        var head: [UInt8] = []
        let headCount = try file.read(min(1024, size), at: 0, into: &head)
        head.removeSubrange(headCount...)
        let index = ForeignTokens.indexPath(of: file.path)
        if let index, Folder.exists(index) {
            let megatron = try MegatronIndex(index, tokenFile: file.path, byteCount: size)
            layout = ForeignTokens.layout(
                vocabulary, count: megatron.tokenCount, width: megatron.tokenWidth, offset: 0,
                size: size)
            documents = megatron.documents
        } else if let llmc = try ForeignTokens.llmc(head, path: file.path, size: size) {
            layout = ForeignTokens.layout(
                vocabulary, count: llmc.count, width: llmc.width, offset: 1024, size: size)
            documents = nil
        } else {
            guard file.path.hasSuffix(".bin") else {
                guard size >= TokenShardHeader.byteCount else {
                    throw TokenShard.tooShort(file.path, byteCount: size)
                }
                throw DatasetError(
                    .corrupt,
                    "\(file.path): first bytes: expected a token shard (\"MURMTOK\\n\"), or a .bin of nanoGPT, "
                        + "llm.c or Megatron, found \(head.prefix(8).hexadecimal)")
            }
            guard size > 0, size % 2 == 0 else {
                throw DatasetError(
                    .corrupt,
                    "\(file.path): size: expected 16-bit tokens, an even number of bytes above 0, found \(size)"
                )
            }
            layout = ForeignTokens.layout(
                vocabulary, count: size / 2, width: 2, offset: 0, size: size)
            documents = nil
        }
        fingerprint = try ForeignTokens.fingerprint(of: file, size: size)
    }

    private static func layout(
        _ vocabulary: ForeignVocabulary, count: Int, width: Int, offset: Int, size: Int
    ) -> TokenLayout {
        TokenLayout(
            tokenCount: count, vocabularySize: vocabulary.size, idLimit: vocabulary.size,
            tokenizerDigest: vocabulary.tokenizerDigest, kind: .text, tokenWidth: width,
            dataOffset: offset, fileByteCount: size, blockByteCount: 1 << 20)
    }

    private static func llmc(
        _ head: [UInt8], path: String, size: Int
    ) throws(DatasetError) -> (count: Int, width: Int)? {
        guard head.count == 1024 else { return nil }
        let magic = head.integer(at: 0, as: UInt32.self)
        let width: Int
        switch magic {
        case 20_240_520: width = 2
        case 20_240_801: width = 4
        default: return nil
        }
        let version = head.integer(at: 4, as: UInt32.self)
        let expected: UInt32 = width == 2 ? 1 : 7
        guard version == expected else {
            throw DatasetError(
                .corrupt, "\(path): version: expected \(expected) of llm.c, found \(version)")
        }
        let count = Int(head.integer(at: 8, as: UInt32.self))
        guard count > 0, size == 1024 + count * width else {
            throw DatasetError(
                .corrupt,
                "\(path): size: expected \(1024 + count * width) bytes by the header of llm.c with "
                    + "\(count) tokens, found \(size)")
        }
        return (count, width)
    }

    static func indexPath(of path: String) -> String? {
        path.hasSuffix(".bin") ? String(path.dropLast(4)) + ".idx" : nil
    }

    fileprivate static func fingerprint(
        of file: borrowing FileDescriptor, size: Int
    ) throws(DatasetError) -> String {
        let pageByteCount = 4096
        var hash = SHA256()
        hash.update(Array("murmuration foreign tokens \(size)\n".utf8))
        let last = max(0, size - pageByteCount)
        let places = Set((0...65).map { min(last, last / 65 * $0) } + [last]).sorted()
        for place in places {
            hash.update(
                try file.readExactly(min(pageByteCount, size - place), at: place))
        }
        return hash.digest().hexadecimal
    }
}

/// `NAME.idx` of Megatron: "MMIDIDX" and two zeros, version, type, number of sequences and of documents; then of each
/// sequence its length (32 bits) and its first byte (64 bits), then of each document its first sequence.
private struct MegatronIndex {
    private static let magic = Array("MMIDIDX\0\0".utf8)
    private static let headerByteCount = 34

    let tokenCount: Int
    let tokenWidth: Int
    let documents: DocumentTable

    init(_ path: String, tokenFile: String, byteCount: Int) throws(DatasetError) {
        let file = try FileDescriptor(reading: path)
        let size = try file.byteCount()
        func check(
            _ isSound: Bool, _ field: String, _ expected: String,
            _ found: some CustomStringConvertible
        ) throws(DatasetError) {
            if isSound { return }
            throw DatasetError(.corrupt, "\(path): \(field): expected \(expected), found \(found)")
        }
        try check(size >= Self.headerByteCount, "size", "at least 34 bytes", size)
        let head = try file.readExactly(Self.headerByteCount, at: 0)
        try check(
            Array(head[..<9]) == Self.magic, "first bytes", "an index of Megatron (\"MMIDIDX\")",
            head[..<9].hexadecimal)
        let version = head.integer(at: 9, as: UInt64.self)
        try check(version == 1, "version", "1", version)
        let type = head[17]
        switch type {
        case 1: tokenWidth = 1
        case 4: tokenWidth = 4
        case 3, 8: tokenWidth = 2
        default:
            throw DatasetError(
                .corrupt,
                "\(path): type: expected tokens of 8, 16 or 32 bits (1, 3, 4 or 8), found \(type)")
        }
        let sequences = head.integer(at: 18, as: UInt64.self)
        let documentCount = head.integer(at: 26, as: UInt64.self)
        // Of each sequence 12 bytes, of each document 8: neither number is believed before it fits the size.
        let most = UInt64(size - Self.headerByteCount)
        try check(
            sequences >= 1 && sequences <= most / 12, "sequences", "1 to \(most / 12)", sequences)
        let expected = UInt64(Self.headerByteCount) + sequences * 12
        try check(
            documentCount <= most / 8 && expected + documentCount * 8 == UInt64(size), "size",
            "\(expected) bytes and 8 for each document", size)
        try check(
            byteCount > 0 && byteCount % tokenWidth == 0, tokenFile,
            "whole tokens of \(tokenWidth) bytes", "\(byteCount) bytes")
        tokenCount = byteCount / tokenWidth
        documents = DocumentTable(
            path: path, count: Int(sequences), offset: Self.headerByteCount + 4 * Int(sequences),
            unit: tokenWidth, lengthsOffset: Self.headerByteCount,
            fingerprint: try ForeignTokens.fingerprint(of: file, size: size))
        // The last sequence ends with the tokens.
        _ = try documents.starts(
            of: Int(sequences) - 1..<Int(sequences), in: nil, tokenCount: tokenCount)
    }
}
