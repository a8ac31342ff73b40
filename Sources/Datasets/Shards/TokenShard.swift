import Files
import Foundation
import Synchronization

/// A token shard open for reading from any thread.
///
/// Its header, size and table of checksums are checked when it is opened; a block of tokens is checked,
/// checksum and range, when something of it is read for the first time. No file stays open in between,
/// so that thousands of shards stay within any limit.
final class TokenShard: Sendable {
    let path: String
    let header: TokenShardHeader
    /// SHA-256 of header and checksums: a digest of the content, since the checksums cover the tokens.
    let fingerprint: String
    private let checksums: [UInt32]
    private let isVerified: Mutex<[Bool]>

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
        isVerified = Mutex([Bool](repeating: false, count: header.blockCount))
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
            let block = next / tokensPerBlock
            let first = block * tokensPerBlock
            let end = min(range.upperBound, first + tokensPerBlock)
            if isVerified.withLock({ $0[block] }) {
                try read(next..<end, of: file, into: &bytes)
                decode(bytes, from: 0, count: end - next, into: &destination, at: output)
            } else {
                let blockEnd = min(first + tokensPerBlock, header.tokenCount)
                try read(first..<blockEnd, of: file, into: &bytes)
                try verify(bytes, block: block, tokens: first..<blockEnd)
                decode(bytes, from: next - first, count: end - next, into: &destination, at: output)
            }
            output += end - next
            next = end
        }
    }

    private func read(
        _ tokens: Range<Int>, of file: borrowing FileDescriptor, into bytes: inout [UInt8]
    ) throws(DatasetError) {
        let width = header.tokenWidth
        let offset = TokenShardHeader.byteCount + tokens.lowerBound * width
        let count = try file.read(tokens.count * width, at: offset, into: &bytes)
        guard count == tokens.count * width else {
            throw DatasetError(
                .corrupt,
                "\(path): expected \(tokens.count * width) bytes at offset \(offset), found \(count)"
            )
        }
    }

    private func verify(
        _ bytes: [UInt8], block: Int, tokens: Range<Int>
    ) throws(DatasetError) {
        var checksum = CRC32C()
        checksum.update(bytes[..<(tokens.count * header.tokenWidth)])
        guard checksum.value == checksums[block] else {
            let offset = TokenShardHeader.byteCount + tokens.lowerBound * header.tokenWidth
            throw DatasetError(
                .corrupt,
                "\(path): checksum of block \(block) (\(tokens.count * header.tokenWidth) bytes at "
                    + "offset \(offset)): expected \(checksums[block]), found \(checksum.value)")
        }
        var values = [Int32](repeating: 0, count: tokens.count)
        decode(bytes, from: 0, count: tokens.count, into: &values, at: 0)
        let limit = UInt32(header.vocabularySize)
        if let index = values.firstIndex(where: { UInt32(bitPattern: $0) >= limit }) {
            throw DatasetError(
                .tokenOutOfRange,
                "\(path): token \(tokens.lowerBound + index): expected an id below the vocabulary of "
                    + "\(limit), found \(UInt32(bitPattern: values[index]))")
        }
        isVerified.withLock { $0[block] = true }
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
