import Files
import Synchronization

/// Where the documents of a file of tokens start: a table of ascending 64-bit numbers, read as it is needed.
/// A block of it is checked against its checksum, where it has one, when something of it is read.
final class DocumentTable: Sendable {
    let count: Int
    /// Where the table is in a file of its own.
    private let path: String?
    private let offset: Int
    /// Bytes that a checksum covers.
    private let blockByteCount: Int
    private let checksums: [UInt32]
    /// What an entry is divided by: Megatron's are bytes.
    private let unit: Int
    /// Where the 32-bit lengths of the documents are, which must agree with the starts; nil: there are none.
    private let lengthsOffset: Int?

    /// Whether the table is in a file of its own.
    var isBeside: Bool { path != nil }

    /// SHA-256 that names the documents: of the checksums of the table, or of a file that has none, of what it says.
    let fingerprint: String

    init(_ header: TokenShardHeader, checksums: [UInt32]) {
        count = header.documentCount ?? 0
        fingerprint = DocumentTable.fingerprint(count, checksums)
        (path, offset, unit, lengthsOffset) = (nil, header.documentsOffset, 1, nil)
        (blockByteCount, self.checksums) = (header.blockByteCount, checksums)
    }

    /// - Parameter fingerprint: of the file.
    init(
        path: String, count: Int, offset: Int, unit: Int, lengthsOffset: Int, fingerprint: String
    ) {
        self.fingerprint = fingerprint
        (self.path, self.count, self.offset, self.unit) = (path, count, offset, unit)
        self.lengthsOffset = lengthsOffset
        (blockByteCount, checksums) = (1 << 16, [])
    }

    private static func fingerprint(_ count: Int, _ checksums: [UInt32]) -> String {
        var bytes = Array("\(count) documents\n".utf8)
        for checksum in checksums { bytes.append(littleEndian: checksum) }
        return SHA256.digest(of: bytes).hexadecimal
    }

    /// The starts of the documents `range`, from the table in `file`, which is that of the tokens; nil where the
    /// table is beside it.
    func starts(
        of range: Range<Int>, in file: consuming FileDescriptor?, tokenCount: Int
    ) throws(DatasetError) -> [Int] {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= count,
            "DocumentTable: documents \(range) of \(count)")
        if let path {
            return try starts(
                of: range, from: FileDescriptor(reading: path), tokenCount: tokenCount)
        }
        guard let file else { preconditionFailure("DocumentTable: expected a file, got none") }
        return try starts(of: range, from: file, tokenCount: tokenCount)
    }

    private func starts(
        of range: Range<Int>, from file: borrowing FileDescriptor, tokenCount: Int
    ) throws(DatasetError) -> [Int] {
        let width = TokenShardHeader.documentByteCount
        let first = range.lowerBound * width / blockByteCount * blockByteCount
        let end = min(
            (range.upperBound * width + blockByteCount - 1) / blockByteCount * blockByteCount,
            count * width)
        let bytes = try file.readExactly(end - first, at: offset + first)
        if !checksums.isEmpty {
            for start in stride(from: 0, to: bytes.count, by: blockByteCount) {
                var checksum = CRC32C()
                checksum.update(bytes[start..<min(start + blockByteCount, bytes.count)])
                let number = (first + start) / blockByteCount
                guard checksum.value == checksums[number] else {
                    throw DatasetError(
                        .corrupt,
                        "\(file.path): checksum of block \(number) of the table of documents (at offset "
                            + "\(offset + first + start)): expected \(checksums[number]), found "
                            + "\(checksum.value)")
                }
            }
        }
        var starts: [Int] = []
        starts.reserveCapacity(range.count)
        for document in range {
            let entry = bytes.integer(at: document * width - first, as: UInt64.self)
            guard entry % UInt64(unit) == 0 else {
                throw DatasetError(
                    .corrupt,
                    "\(file.path): start of document \(document): expected a multiple of the \(unit) bytes of "
                        + "a token, found \(entry)")
            }
            let start = entry / UInt64(unit)
            let isAscending = starts.last.map { start > $0 } ?? true
            guard start < UInt64(tokenCount), isAscending else {
                throw DatasetError(
                    .corrupt,
                    "\(file.path): start of document \(document): expected one behind \(starts.last ?? -1) "
                        + "and below the \(tokenCount) tokens, found \(start)")
            }
            starts.append(Int(start))
        }
        if let lengthsOffset {
            try check(starts, of: range, with: lengthsOffset, in: file, tokenCount: tokenCount)
        }
        return starts
    }

    /// Throws where the lengths in a table beside the starts say something else.
    private func check(
        _ starts: [Int], of range: Range<Int>, with lengthsOffset: Int,
        in file: borrowing FileDescriptor, tokenCount: Int
    ) throws(DatasetError) {
        let width = MemoryLayout<UInt32>.size
        let lengths = try file.readExactly(
            range.count * width, at: lengthsOffset + range.lowerBound * width)
        for (place, document) in range.enumerated() {
            // What follows the last of them is not known, unless the tokens end there.
            let isLast = place == starts.count - 1
            if isLast, document != count - 1 { continue }
            let length = (isLast ? tokenCount : starts[place + 1]) - starts[place]
            let stored = lengths.integer(at: place * width, as: UInt32.self)
            guard Int(stored) == length else {
                throw DatasetError(
                    .corrupt,
                    "\(file.path): length of document \(document): expected \(length) tokens by where it and "
                        + "the next one start, found \(stored)")
            }
        }
    }
}
