import Files
import Foundation
import Synchronization

/// A file of tokens open for reading from any thread: a shard of ours, or what another program wrote.
///
/// Its header, size and table of checksums are checked when it is opened; a block of tokens, when something
/// of it is read for the first time. From then on each page of it has a checksum in memory, and every read
/// checks the pages that it touches, and that their ids are of the vocabulary: a disk that rots, or a file
/// that somebody writes to, is found in the middle of a run too. No file stays open in between, so that
/// thousands of shards stay within any limit.
final class TokenShard: Sendable {
    private static let pageByteCount = 4096

    let path: String
    let layout: TokenLayout
    /// SHA-256 of header and checksums: a digest of the content, since the checksums cover the tokens.
    let fingerprint: String
    /// Of each block; empty in a file that has none.
    private let checksums: [UInt32]
    /// Of each block, a checksum a page; empty before its first reading.
    private let pageChecksums: Mutex<[[UInt32]]>
    let documents: DocumentTable?

    /// - Parameter vocabulary: of the tokenizer that a file of another program was made with, which it does not
    ///   tell.
    convenience init(
        path: String, vocabulary: ForeignVocabulary? = nil
    ) throws(DatasetError) {
        let file = try FileDescriptor(reading: path)
        if let vocabulary, try !TokenShard.isOurs(file) {
            try self.init(foreign: file, vocabulary: vocabulary)
        } else {
            try self.init(ours: file)
        }
    }

    private static func isOurs(_ file: borrowing FileDescriptor) throws(DatasetError) -> Bool {
        var head: [UInt8] = []
        let count = try file.read(TokenShardHeader.magic.count, at: 0, into: &head)
        return Array(head[..<count]) == TokenShardHeader.magic
    }

    static func tooShort(_ path: String, byteCount: Int) -> DatasetError {
        DatasetError(
            .corrupt,
            "\(path): size: expected at least \(TokenShardHeader.byteCount) bytes, found \(byteCount)"
        )
    }

    private init(ours file: borrowing FileDescriptor) throws(DatasetError) {
        path = file.path
        let found = try file.byteCount()
        guard found >= TokenShardHeader.byteCount else {
            throw TokenShard.tooShort(path, byteCount: found)
        }
        let headerBytes = try file.readExactly(TokenShardHeader.byteCount, at: 0)
        let header = try TokenShardHeader(decoding: headerBytes, path: path)
        guard found == header.fileByteCount else {
            throw DatasetError(
                .corrupt,
                "\(path): size: expected \(header.fileByteCount) bytes by its header, found \(found)"
            )
        }
        let table = try file.readExactly(header.tableByteCount, at: header.tableOffset)
        checksums = try TokenShard.checksums(in: table, "checksum of checksums", of: path)
        fingerprint =
            SHA256.digest(of: header.withoutDocuments.encoded() + table).hexadecimal
        pageChecksums = Mutex([[UInt32]](repeating: [], count: header.blockCount))
        layout = TokenLayout(header)
        if header.documentCount != nil {
            let sums = try file.readExactly(
                header.documentChecksumsByteCount,
                at: header.documentsOffset + header.documentsByteCount)
            documents = DocumentTable(
                header,
                checksums: try TokenShard.checksums(
                    in: sums, "checksum of the documents' checksums", of: path))
        } else {
            documents = nil
        }
    }

    private init(
        foreign file: borrowing FileDescriptor, vocabulary: ForeignVocabulary
    ) throws(DatasetError) {
        path = file.path
        let foreign = try ForeignTokens(file, vocabulary: vocabulary)
        layout = foreign.layout
        documents = foreign.documents
        fingerprint = foreign.fingerprint
        checksums = []
        pageChecksums = Mutex([[UInt32]](repeating: [], count: layout.blockCount))
    }

    /// The checksums of a table that ends with one of theirs.
    private static func checksums(
        in table: [UInt8], _ what: String, of path: String
    ) throws(DatasetError) -> [UInt32] {
        let expected = CRC32C.checksum(of: Array(table.dropLast(4)))
        let stored = table.integer(at: table.count - 4, as: UInt32.self)
        guard expected == stored else {
            throw DatasetError(
                .corrupt, "\(path): \(what): expected \(expected), found \(stored)")
        }
        return (0..<table.count / 4 - 1).map { table.integer(at: 4 * $0, as: UInt32.self) }
    }

    /// Copies the tokens of `range` to `destination`, from element `offset` on.
    func copy(
        _ range: Range<Int>, into destination: inout [Int32], at offset: Int
    ) throws(DatasetError) {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= layout.tokenCount,
            "TokenShard: range \(range) of \(layout.tokenCount) tokens")
        if range.isEmpty { return }
        let file = try open()
        let tokensPerBlock = layout.blockByteCount / layout.tokenWidth
        var (next, output) = (range.lowerBound, offset)
        var bytes: [UInt8] = []
        while next < range.upperBound {
            let first = next / tokensPerBlock * tokensPerBlock
            let block = first..<min(first + tokensPerBlock, layout.tokenCount)
            let end = min(range.upperBound, block.upperBound)
            let start = try readChecked(next..<end, in: block, of: file, into: &bytes)
            decode(bytes, from: next - start, count: end - next, into: &destination, at: output)
            output += end - next
            next = end
        }
    }

    /// Where the documents of `range` start, of those that start in the shard.
    func documentStarts(of range: Range<Int>) throws(DatasetError) -> [Int] {
        guard let documents else {
            preconditionFailure("TokenShard: documents of a shard that does not tell of any")
        }
        if range.isEmpty { return [] }
        return try documents.starts(
            of: range, in: documents.isBeside ? nil : try open(), tokenCount: layout.tokenCount)
    }

    private func open() throws(DatasetError) -> FileDescriptor {
        let file = try FileDescriptor(reading: path)
        let found = try file.byteCount()
        guard found == layout.fileByteCount else {
            throw DatasetError(
                .corrupt,
                "\(path): size: expected \(layout.fileByteCount) bytes as when it was opened, found "
                    + "\(found)")
        }
        return file
    }

    /// Reads, of a block, what it takes to check `tokens`: all of it the first time, later the pages that
    /// hold them. Returns the token that `bytes` start with.
    private func readChecked(
        _ tokens: Range<Int>, in block: Range<Int>, of file: borrowing FileDescriptor,
        into bytes: inout [UInt8]
    ) throws(DatasetError) -> Int {
        let (width, number) = (
            layout.tokenWidth, block.lowerBound * layout.tokenWidth / layout.blockByteCount
        )
        let perPage = TokenShard.pageByteCount / width
        let known = pageChecksums.withLock { $0[number] }
        let firstPage = known.isEmpty ? 0 : (tokens.lowerBound - block.lowerBound) / perPage
        let start = block.lowerBound + firstPage * perPage
        let pageCount = (tokens.upperBound - start + perPage - 1) / perPage
        let end =
            known.isEmpty ? block.upperBound : min(block.upperBound, start + pageCount * perPage)
        let offset = layout.dataOffset + start * width
        let byteCount = (end - start) * width
        let count = try file.read(byteCount, at: offset, into: &bytes)
        guard count == byteCount else {
            throw DatasetError(
                .corrupt, "\(path): expected \(byteCount) bytes at offset \(offset), found \(count)"
            )
        }
        if known.isEmpty, !checksums.isEmpty {
            var checksum = CRC32C()
            checksum.update(bytes[..<byteCount])
            guard checksum.value == checksums[number] else {
                throw DatasetError(
                    .corrupt,
                    "\(path): checksum of block \(number) (\(byteCount) bytes at offset \(offset)): "
                        + "expected \(checksums[number]), found \(checksum.value)")
            }
        }
        let found = TokenShard.pageChecksums(of: bytes[..<byteCount])
        for (index, pair) in zip(known.dropFirst(firstPage), found).enumerated()
        where pair.0 != pair.1 {
            throw DatasetError(
                .corrupt,
                "\(path): checksum of the page at offset \(offset + index * TokenShard.pageByteCount): "
                    + "expected \(pair.0) as at its first reading, found \(pair.1)")
        }
        try checkRange(bytes, tokens: start..<end)
        if known.isEmpty { pageChecksums.withLock { $0[number] = found } }
        return start
    }

    private static func pageChecksums(of bytes: ArraySlice<UInt8>) -> [UInt32] {
        stride(from: 0, to: bytes.count, by: pageByteCount).map {
            var checksum = CRC32C()
            checksum.update(bytes[$0..<min($0 + pageByteCount, bytes.count)])
            return checksum.value
        }
    }

    /// Throws where `bytes`, which hold `tokens`, hold an id that the vocabulary lacks.
    private func checkRange(_ bytes: [UInt8], tokens: Range<Int>) throws(DatasetError) {
        let limit = UInt32(layout.idLimit)
        let largest =
            switch layout.tokenWidth {
            case 1: UInt32(TokenShard.largest(UInt8.self, of: bytes, count: tokens.count))
            case 2: UInt32(TokenShard.largest(UInt16.self, of: bytes, count: tokens.count))
            default: TokenShard.largest(UInt32.self, of: bytes, count: tokens.count)
            }
        guard largest >= limit else { return }
        var values = [Int32](repeating: 0, count: tokens.count)
        decode(bytes, from: 0, count: tokens.count, into: &values, at: 0)
        let index = values.firstIndex { UInt32(bitPattern: $0) >= limit } ?? 0
        let offset = layout.dataOffset + (tokens.lowerBound + index) * layout.tokenWidth
        throw DatasetError(
            .tokenOutOfRange,
            "\(path): token \(tokens.lowerBound + index) at offset \(offset): expected an id below the "
                + "vocabulary of \(limit), found \(UInt32(bitPattern: values[index]))")
    }

    private static func largest<Value: FixedWidthInteger>(
        _ type: Value.Type, of bytes: [UInt8], count: Int
    ) -> Value {
        bytes.withUnsafeBytes { bytes in
            var largest: Value = 0
            for index in 0..<count {
                let value = bytes.loadUnaligned(
                    fromByteOffset: index &* MemoryLayout<Value>.size, as: type)
                largest = max(largest, Value(littleEndian: value))
            }
            return largest
        }
    }

    private func decode(
        _ bytes: [UInt8], from first: Int, count: Int, into tokens: inout [Int32], at offset: Int
    ) {
        bytes.withUnsafeBytes { bytes in
            switch layout.tokenWidth {
            case 1:
                for index in 0..<count { tokens[offset + index] = Int32(bytes[first + index]) }
            case 2:
                for index in 0..<count {
                    let value = bytes.loadUnaligned(
                        fromByteOffset: 2 * (first + index), as: UInt16.self)
                    tokens[offset + index] = Int32(UInt16(littleEndian: value))
                }
            default:
                for index in 0..<count {
                    let value = bytes.loadUnaligned(
                        fromByteOffset: 4 * (first + index), as: UInt32.self)
                    tokens[offset + index] = Int32(bitPattern: UInt32(littleEndian: value))
                }
            }
        }
    }
}

/// Where the tokens of a file lie, and what they may be.
struct TokenLayout: Sendable, Equatable {
    var tokenCount: Int
    /// Of the tokenizer.
    var vocabularySize: Int
    /// Every id is below it.
    var idLimit: Int
    var tokenizerDigest: [UInt8]
    var kind: SampleKind
    /// Bytes of a token: 1, 2 or 4, unsigned, little-endian.
    var tokenWidth: Int
    var dataOffset: Int
    var fileByteCount: Int
    /// Bytes that are checked together at their first reading.
    var blockByteCount: Int

    var blockCount: Int { (tokenCount * tokenWidth + blockByteCount - 1) / blockByteCount }
}

extension TokenLayout {
    init(_ header: TokenShardHeader) {
        self.init(
            tokenCount: header.tokenCount, vocabularySize: header.vocabularySize,
            idLimit: header.idLimit, tokenizerDigest: header.tokenizerDigest, kind: header.kind,
            tokenWidth: header.tokenWidth, dataOffset: TokenShardHeader.byteCount,
            fileByteCount: header.fileByteCount, blockByteCount: header.blockByteCount)
    }
}
