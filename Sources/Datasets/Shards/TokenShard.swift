import Files
import Foundation
import Synchronization

/// A token shard open for reading from any thread.
///
/// Its header, size and table of checksums are checked when it is opened; a block of tokens, when something
/// of it is read for the first time. From then on each page of it has a checksum in memory, and every read
/// checks the pages that it touches, and that their ids are of the vocabulary: a disk that rots, or a file
/// that somebody writes to, is found in the middle of a run too. No file stays open in between, so that
/// thousands of shards stay within any limit.
final class TokenShard: Sendable {
    private static let pageByteCount = 4096

    let path: String
    let header: TokenShardHeader
    /// SHA-256 of header and checksums: a digest of the content, since the checksums cover the tokens.
    let fingerprint: String
    private let checksums: [UInt32]
    /// Of each block, a checksum a page; empty before its first reading.
    private let pageChecksums: Mutex<[[UInt32]]>

    init(path: String) throws(DatasetError) {
        self.path = path
        let file = try FileDescriptor(reading: path)
        let found = try file.byteCount()
        guard found >= TokenShardHeader.byteCount else {
            throw DatasetError(
                .corrupt,
                "\(path): size: expected at least \(TokenShardHeader.byteCount) bytes, found \(found)"
            )
        }
        let headerBytes = try file.readExactly(TokenShardHeader.byteCount, at: 0)
        header = try TokenShardHeader(decoding: headerBytes, path: path)
        guard found == header.fileByteCount else {
            throw DatasetError(
                .corrupt,
                "\(path): size: expected \(header.fileByteCount) bytes by its header, found \(found)"
            )
        }
        let table = try file.readExactly(header.tableByteCount, at: header.tableOffset)
        let tableChecksum = CRC32C.checksum(of: Array(table.dropLast(4)))
        let stored = table.integer(at: table.count - 4, as: UInt32.self)
        guard tableChecksum == stored else {
            throw DatasetError(
                .corrupt,
                "\(path): checksum of checksums: expected \(tableChecksum), found \(stored)")
        }
        checksums = (0..<header.blockCount).map { table.integer(at: 4 * $0, as: UInt32.self) }
        fingerprint = SHA256.digest(of: headerBytes + table).hexadecimal
        pageChecksums = Mutex([[UInt32]](repeating: [], count: header.blockCount))
    }

    /// Copies the tokens of `range` to `destination`, from element `offset` on.
    func copy(
        _ range: Range<Int>, into destination: inout [Int32], at offset: Int
    ) throws(DatasetError) {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= header.tokenCount,
            "TokenShard: range \(range) of \(header.tokenCount) tokens")
        if range.isEmpty { return }
        let file = try FileDescriptor(reading: path)
        guard try file.byteCount() == header.fileByteCount else {
            throw DatasetError(
                .corrupt,
                "\(path): size: expected \(header.fileByteCount) bytes as when it was opened, found "
                    + "\(try file.byteCount())")
        }
        let tokensPerBlock = header.blockByteCount / header.tokenWidth
        var (next, output) = (range.lowerBound, offset)
        var bytes: [UInt8] = []
        while next < range.upperBound {
            let first = next / tokensPerBlock * tokensPerBlock
            let block = first..<min(first + tokensPerBlock, header.tokenCount)
            let end = min(range.upperBound, block.upperBound)
            let start = try readChecked(next..<end, in: block, of: file, into: &bytes)
            decode(bytes, from: next - start, count: end - next, into: &destination, at: output)
            output += end - next
            next = end
        }
    }

    /// Reads, of a block, what it takes to check `tokens`: all of it the first time, later the pages that
    /// hold them. Returns the token that `bytes` start with.
    private func readChecked(
        _ tokens: Range<Int>, in block: Range<Int>, of file: borrowing FileDescriptor,
        into bytes: inout [UInt8]
    ) throws(DatasetError) -> Int {
        let (width, number) = (
            header.tokenWidth, block.lowerBound * header.tokenWidth / header.blockByteCount
        )
        let perPage = TokenShard.pageByteCount / width
        let known = pageChecksums.withLock { $0[number] }
        let firstPage = known.isEmpty ? 0 : (tokens.lowerBound - block.lowerBound) / perPage
        let start = block.lowerBound + firstPage * perPage
        let pageCount = (tokens.upperBound - start + perPage - 1) / perPage
        let end =
            known.isEmpty ? block.upperBound : min(block.upperBound, start + pageCount * perPage)
        let offset = TokenShardHeader.byteCount + start * width
        let byteCount = (end - start) * width
        let count = try file.read(byteCount, at: offset, into: &bytes)
        guard count == byteCount else {
            throw DatasetError(
                .corrupt, "\(path): expected \(byteCount) bytes at offset \(offset), found \(count)"
            )
        }
        if known.isEmpty {
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
        let limit = UInt32(header.vocabularySize)
        let largest =
            switch header.tokenWidth {
            case 1: UInt32(TokenShard.largest(UInt8.self, of: bytes, count: tokens.count))
            case 2: UInt32(TokenShard.largest(UInt16.self, of: bytes, count: tokens.count))
            default: TokenShard.largest(UInt32.self, of: bytes, count: tokens.count)
            }
        guard largest >= limit else { return }
        var values = [Int32](repeating: 0, count: tokens.count)
        decode(bytes, from: 0, count: tokens.count, into: &values, at: 0)
        let index = values.firstIndex { UInt32(bitPattern: $0) >= limit } ?? 0
        let offset = TokenShardHeader.byteCount + (tokens.lowerBound + index) * header.tokenWidth
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
            switch header.tokenWidth {
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
