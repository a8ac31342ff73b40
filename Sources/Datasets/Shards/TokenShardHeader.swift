/// The first 128 bytes of a token shard; docs/data.md gives the layout byte by byte.
struct TokenShardHeader: Sendable, Equatable {
    static let byteCount = 128
    static let magic = Array("MURMTOK\n".utf8)
    static let version: UInt32 = 1
    /// Offset of the checksum over all header bytes before it.
    private static let checksumOffset = 124
    /// Offset of the bytes that are reserved and zero.
    private static let reservedOffset = 64

    let tokenCount: Int
    let vocabularySize: Int
    /// Bytes of tokens that a checksum covers; the last block may be shorter.
    let blockByteCount: Int
    /// SHA-256 of the tokenizer, 32 bytes.
    let tokenizerDigest: [UInt8]

    /// Bytes a token takes: the fewest of 1, 2, 4 that hold every id.
    var tokenWidth: Int { TokenShardHeader.tokenWidth(vocabularySize: vocabularySize) }
    var dataByteCount: Int { tokenCount * tokenWidth }
    var blockCount: Int { (dataByteCount + blockByteCount - 1) / blockByteCount }
    /// Where the checksums stand: after the tokens.
    var tableOffset: Int { TokenShardHeader.byteCount + dataByteCount }
    /// A checksum for each block, and one over those.
    var tableByteCount: Int { 4 * blockCount + 4 }
    var fileByteCount: Int { tableOffset + tableByteCount }

    static func tokenWidth(vocabularySize: Int) -> Int {
        vocabularySize <= 1 << 8 ? 1 : vocabularySize <= 1 << 16 ? 2 : 4
    }

    static func isValid(blockByteCount: Int) -> Bool {
        blockByteCount >= 4 && blockByteCount <= 1 << 30 && blockByteCount % 4 == 0
    }

    func encoded() -> [UInt8] {
        var bytes = TokenShardHeader.magic
        bytes.append(littleEndian: TokenShardHeader.version)
        bytes.append(littleEndian: UInt32(tokenWidth))
        bytes.append(littleEndian: UInt64(tokenCount))
        bytes.append(littleEndian: UInt32(vocabularySize))
        bytes.append(littleEndian: UInt32(blockByteCount))
        bytes += tokenizerDigest
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
        try check(version == Header.version, "version", "\(Header.version)", version)
        let checksum = CRC32C.checksum(of: Array(bytes[..<Header.checksumOffset]))
        let stored = bytes.integer(at: Header.checksumOffset, as: UInt32.self)
        try check(checksum == stored, "header checksum", "\(checksum)", stored)

        let width = bytes.integer(at: 12, as: UInt32.self)
        let count = bytes.integer(at: 16, as: UInt64.self)
        let vocabulary = bytes.integer(at: 24, as: UInt32.self)
        let block = bytes.integer(at: 28, as: UInt32.self)
        try check(
            vocabulary >= 1 && vocabulary < 1 << 31, "vocabulary", "1 to 2147483647", vocabulary)
        let expectedWidth = Header.tokenWidth(vocabularySize: Int(vocabulary))
        try check(width == expectedWidth, "token width", "\(expectedWidth)", width)
        try check(count >= 1, "tokens", "at least 1", count)
        try check(count < 1 << 48, "tokens", "fewer than 2^48", count)
        try check(
            Header.isValid(blockByteCount: Int(block)), "block size", "a multiple of 4 up to 2^30",
            block)
        let reserved = bytes[Header.reservedOffset..<Header.checksumOffset]
        try check(reserved.allSatisfy { $0 == 0 }, "reserved bytes", "zeros", reserved.hexadecimal)
        self.init(
            tokenCount: Int(count), vocabularySize: Int(vocabulary), blockByteCount: Int(block),
            tokenizerDigest: Array(bytes[32..<64]))
    }

    init(tokenCount: Int, vocabularySize: Int, blockByteCount: Int, tokenizerDigest: [UInt8]) {
        precondition(
            tokenizerDigest.count == 32,
            "TokenShardHeader: expected a digest of 32 bytes, got \(tokenizerDigest.count)")
        self.tokenCount = tokenCount
        self.vocabularySize = vocabularySize
        self.blockByteCount = blockByteCount
        self.tokenizerDigest = tokenizerDigest
    }
}
