/// The first 128 bytes of a token shard; docs/data.md gives the layout byte by byte.
struct TokenShardHeader: Sendable, Equatable {
    static let byteCount = 128
    static let magic = Array("MURMTOK\n".utf8)
    /// The versions that are read: 1 knew no documents.
    static let versions: ClosedRange<UInt32> = 1...2
    /// Offset of the checksum over all header bytes before it.
    private static let checksumOffset = 124
    /// Offset of the bytes that are reserved and zero, in versions 1 and 2.
    private static let reservedOffsets = [64, 80]
    /// Bytes that say where a document starts.
    static let documentByteCount = 8

    let tokenCount: Int
    /// Of the tokenizer.
    let vocabularySize: Int
    /// Bytes of tokens that a checksum covers; the last block may be shorter.
    let blockByteCount: Int
    /// SHA-256 of the tokenizer, 32 bytes.
    let tokenizerDigest: [UInt8]
    /// Documents that start in the shard; nil where it does not say, in version 1.
    let documentCount: Int?
    /// What a document is.
    let kind: SampleKind
    /// Ids behind the vocabulary that are no tokens but tell what a part of a record is: `RecordMark`.
    let markCount: Int

    /// Every id is below it.
    var idLimit: Int { vocabularySize + markCount }
    /// Bytes a token takes: the fewest of 1, 2, 4 that hold every id.
    var tokenWidth: Int { TokenShardHeader.tokenWidth(vocabularySize: idLimit) }
    var dataByteCount: Int { tokenCount * tokenWidth }
    var blockCount: Int { (dataByteCount + blockByteCount - 1) / blockByteCount }
    /// Where the checksums stand: after the tokens.
    var tableOffset: Int { TokenShardHeader.byteCount + dataByteCount }
    /// A checksum for each block, and one over those.
    var tableByteCount: Int { 4 * blockCount + 4 }
    /// Where the table of documents stands, with checksums of its blocks as the tokens have them behind it.
    var documentsOffset: Int { tableOffset + tableByteCount }
    var documentsByteCount: Int { TokenShardHeader.documentByteCount * (documentCount ?? 0) }
    var documentBlockCount: Int { (documentsByteCount + blockByteCount - 1) / blockByteCount }
    var documentChecksumsByteCount: Int { documentCount == nil ? 0 : 4 * documentBlockCount + 4 }
    var fileByteCount: Int {
        documentsOffset + documentsByteCount + documentChecksumsByteCount
    }

    static func tokenWidth(vocabularySize: Int) -> Int {
        vocabularySize <= 1 << 8 ? 1 : vocabularySize <= 1 << 16 ? 2 : 4
    }

    static func isValid(blockByteCount: Int) -> Bool {
        blockByteCount >= 4 && blockByteCount <= 1 << 30 && blockByteCount % 4 == 0
    }

    /// As version 2 has it; as version 1, which says nothing of documents, where there are none.
    func encoded() -> [UInt8] {
        var bytes = TokenShardHeader.magic
        bytes.append(littleEndian: UInt32(documentCount == nil ? 1 : 2))
        bytes.append(littleEndian: UInt32(tokenWidth))
        bytes.append(littleEndian: UInt64(tokenCount))
        bytes.append(littleEndian: UInt32(vocabularySize))
        bytes.append(littleEndian: UInt32(blockByteCount))
        bytes += tokenizerDigest
        if let documentCount {
            bytes.append(littleEndian: UInt64(documentCount))
            bytes.append(littleEndian: UInt32(markCount))
            bytes.append(littleEndian: kind.rawValue)
        }
        bytes += [UInt8](repeating: 0, count: TokenShardHeader.checksumOffset - bytes.count)
        bytes.append(littleEndian: CRC32C.checksum(of: bytes))
        return bytes
    }

    /// Reads and checks a header; nothing in it is believed before it is found possible. `path` names
    /// the file in errors.
    init(decoding bytes: [UInt8], path: String) throws(DatasetError) {
        typealias Header = TokenShardHeader
        precondition(
            bytes.count == Header.byteCount,
            "TokenShardHeader: expected \(Header.byteCount) bytes, got \(bytes.count)")
        func check(
            _ isSound: Bool, _ field: String, _ expected: String,
            _ found: some CustomStringConvertible
        ) throws(DatasetError) {
            if isSound { return }
            throw DatasetError(.corrupt, "\(path): \(field): expected \(expected), found \(found)")
        }
        try check(
            Array(bytes[..<8]) == Header.magic, "first bytes", "a token shard (\"MURMTOK\\n\")",
            bytes[..<8].hexadecimal)
        let version = bytes.integer(at: 8, as: UInt32.self)
        try check(
            Header.versions.contains(version), "version",
            "\(Header.versions.lowerBound) to \(Header.versions.upperBound)", version)
        let checksum = CRC32C.checksum(of: Array(bytes[..<Header.checksumOffset]))
        let stored = bytes.integer(at: Header.checksumOffset, as: UInt32.self)
        try check(checksum == stored, "header checksum", "\(checksum)", stored)

        let width = bytes.integer(at: 12, as: UInt32.self)
        let count = bytes.integer(at: 16, as: UInt64.self)
        let vocabulary = bytes.integer(at: 24, as: UInt32.self)
        let block = bytes.integer(at: 28, as: UInt32.self)
        try check(
            vocabulary >= 1 && vocabulary < 1 << 31, "vocabulary", "1 to 2147483647", vocabulary)
        let knowsDocuments = version >= 2
        let documents = knowsDocuments ? bytes.integer(at: 64, as: UInt64.self) : 0
        let marks = knowsDocuments ? bytes.integer(at: 72, as: UInt32.self) : 0
        let kindNumber = knowsDocuments ? bytes.integer(at: 76, as: UInt32.self) : 0
        guard let kind = SampleKind(rawValue: kindNumber) else {
            throw DatasetError(
                .corrupt,
                "\(path): kind: expected 0 to \(SampleKind.allCases.count - 1), found "
                    + "\(kindNumber)")
        }
        try check(documents <= count, "documents", "at most the tokens, \(count)", documents)
        try check(
            UInt64(vocabulary) + UInt64(marks) < 1 << 31, "marks",
            "fewer than \((1 << 31) - UInt64(vocabulary))", marks)
        let expectedWidth = Header.tokenWidth(vocabularySize: Int(vocabulary) + Int(marks))
        try check(width == expectedWidth, "token width", "\(expectedWidth)", width)
        try check(count >= 1, "tokens", "at least 1", count)
        try check(count < 1 << 48, "tokens", "fewer than 2^48", count)
        try check(
            Header.isValid(blockByteCount: Int(block)), "block size", "a multiple of 4 up to 2^30",
            block)
        let reserved = bytes[
            Header.reservedOffsets[Int(version) - 1]..<Header.checksumOffset]
        try check(reserved.allSatisfy { $0 == 0 }, "reserved bytes", "zeros", reserved.hexadecimal)
        self.init(
            tokenCount: Int(count), vocabularySize: Int(vocabulary), blockByteCount: Int(block),
            tokenizerDigest: Array(bytes[32..<64]),
            documentCount: knowsDocuments ? Int(documents) : nil, kind: kind,
            markCount: Int(marks))
    }

    init(
        tokenCount: Int, vocabularySize: Int, blockByteCount: Int, tokenizerDigest: [UInt8],
        documentCount: Int? = nil, kind: SampleKind = .text, markCount: Int = 0
    ) {
        precondition(
            tokenizerDigest.count == 32,
            "TokenShardHeader: expected a digest of 32 bytes, got \(tokenizerDigest.count)")
        self.tokenCount = tokenCount
        self.vocabularySize = vocabularySize
        self.blockByteCount = blockByteCount
        self.tokenizerDigest = tokenizerDigest
        (self.documentCount, self.kind, self.markCount) = (documentCount, kind, markCount)
    }

    /// As version 1 has it, which a fingerprint is taken of: where documents start changes no token, and a run
    /// goes on with a shard that learned it.
    var withoutDocuments: TokenShardHeader {
        TokenShardHeader(
            tokenCount: tokenCount, vocabularySize: vocabularySize, blockByteCount: blockByteCount,
            tokenizerDigest: tokenizerDigest)
    }
}
