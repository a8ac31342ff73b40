import Foundation

/// Writes a token shard as the tokens come, with memory for one block. The file appears under its name,
/// complete and durable, at `finish`; without it nothing appears.
package struct TokenShardWriter: ~Copyable {
    package static let defaultBlockByteCount = 1 << 20

    private let path: String
    private let temporaryPath: String
    private var file: FileDescriptor
    private let vocabularySize: Int
    private let tokenizerDigest: [UInt8]
    private let blockByteCount: Int
    private let width: Int
    private var block: [UInt8] = []
    private var checksums: [UInt8] = []
    private var documentStarts: [UInt8] = []
    /// Whether the file says where documents start, if none does in it.
    private let tellsOfDocuments: Bool
    private let kind: SampleKind
    private let markCount: Int
    /// Tokens appended so far.
    package private(set) var tokenCount = 0

    package init(
        path: String, vocabularySize: Int, tokenizerDigest: [UInt8],
        tellsOfDocuments: Bool = false, kind: SampleKind = .text, markCount: Int = 0,
        blockByteCount: Int = defaultBlockByteCount
    ) throws(DatasetError) {
        precondition(
            TokenShardHeader.isValid(blockByteCount: blockByteCount),
            "TokenShardWriter: expected a block of a multiple of 4 bytes, got \(blockByteCount)")
        let temporaryPath = Folder.temporary(beside: path)
        let file = try FileDescriptor(creating: temporaryPath)
        try file.append([UInt8](repeating: 0, count: TokenShardHeader.byteCount))
        (self.path, self.temporaryPath) = (path, temporaryPath)
        self.file = file
        self.vocabularySize = vocabularySize
        self.tokenizerDigest = tokenizerDigest
        self.blockByteCount = blockByteCount
        (self.kind, self.markCount) = (kind, markCount)
        self.tellsOfDocuments = tellsOfDocuments
        width = TokenShardHeader.tokenWidth(vocabularySize: vocabularySize + markCount)
        block.reserveCapacity(blockByteCount)
    }

    /// The next token starts a document.
    package mutating func beginDocument() {
        precondition(tellsOfDocuments, "TokenShardWriter: a document of a shard that tells of none")
        documentStarts.append(littleEndian: UInt64(tokenCount))
    }

    /// Appends `tokens`, each of which must be an id of the vocabulary, or a mark.
    package mutating func append(_ tokens: ArraySlice<Int32>) throws(DatasetError) {
        var rest = tokens
        while !rest.isEmpty {
            let part = rest.prefix((blockByteCount - block.count) / width)
            encode(part)
            if block.count == blockByteCount { try endBlock() }
            rest = rest.dropFirst(part.count)
        }
        tokenCount += tokens.count
    }

    private mutating func encode(_ tokens: ArraySlice<Int32>) {
        let limit = UInt32(vocabularySize + markCount)
        precondition(
            tokens.allSatisfy { UInt32(bitPattern: $0) < limit },
            "TokenShardWriter: expected tokens below \(limit), got \(tokens.max() ?? 0)")
        switch width {
        case 1:
            for token in tokens { block.append(UInt8(truncatingIfNeeded: token)) }
        case 2:
            for token in tokens {
                block.append(UInt8(truncatingIfNeeded: token))
                block.append(UInt8(truncatingIfNeeded: token >> 8))
            }
        default:
            for token in tokens { block.append(littleEndian: token) }
        }
    }

    /// Writes checksums and header, makes the file durable and gives it its name.
    package consuming func finish() throws(DatasetError) {
        precondition(tokenCount > 0, "TokenShardWriter: expected at least 1 token, got none")
        if !block.isEmpty { try endBlock() }
        checksums.append(littleEndian: CRC32C.checksum(of: checksums))
        try file.append(checksums)
        let count = documentStarts.count / TokenShardHeader.documentByteCount
        if tellsOfDocuments { try appendDocuments() }
        let header = TokenShardHeader(
            tokenCount: tokenCount, vocabularySize: vocabularySize, blockByteCount: blockByteCount,
            tokenizerDigest: tokenizerDigest,
            documentCount: tellsOfDocuments ? count : nil, kind: kind,
            markCount: markCount)
        try file.overwriteStart(header.encoded())
        try file.synchronize()
        try file.close()
        if rename(temporaryPath, path) != 0 {
            throw FileDescriptor.error(path, "rename \(temporaryPath) to")
        }
    }

    private mutating func appendDocuments() throws(DatasetError) {
        var sums: [UInt8] = []
        for start in stride(from: 0, to: documentStarts.count, by: blockByteCount) {
            let end = min(start + blockByteCount, documentStarts.count)
            sums.append(littleEndian: CRC32C.checksum(of: Array(documentStarts[start..<end])))
        }
        sums.append(littleEndian: CRC32C.checksum(of: sums))
        try file.append(documentStarts)
        try file.append(sums)
    }

    /// Removes what is not finished; after `finish` the temporary name is gone and this does nothing.
    deinit { unlink(temporaryPath) }

    private mutating func endBlock() throws(DatasetError) {
        checksums.append(littleEndian: CRC32C.checksum(of: block))
        try file.append(block)
        block.removeAll(keepingCapacity: true)
    }
}
