// The signatures of a unit's documents, column by column, so that the search reads one band after another. Integers are
// little-endian. n: documents, b: bands, w: words of 4 bytes of all sets of shingles.
//
//   0   8   `MURMSIG` and a line feed
//   8   4   version: 1
//   12  4   1: exact hashes are there; 2: sets of shingles and bands are
//   16  8   n
//   24  4   words of a shingle
//   28  4   b
//   32  4   rows of a band
//   36  4   shingles kept of a document at most
//   40  8   seed
//   48  8   w
//   56  4   0
//   60  4   CRC-32C of bytes 0–59
//   64      sets of shingles: 2·count + (1 for a sample), count hashes, CRC-32C of those; nothing for no words
//           exact hashes, 16 bytes each
//           where each document's set begins, in words of 4 bytes from 64 on
//           bands, one after another: 4 bytes a document
//           CRC-32C of each column, and of these checksums

import Datasets

/// Where things stand in a file of signatures.
struct SignatureLayout: Sendable, Equatable {
    static let magic = Array("MURMSIG\n".utf8)
    static let version: UInt32 = 1
    static let headerByteCount = 64
    /// Documents of all units together, and words of a unit's sets, stay below this.
    static let limit = Int(UInt32.max)

    var hasExact: Bool
    var hasNear: Bool
    var shingle: Int
    var bandCount: Int
    var rows: Int
    var sketch: Int
    var seed: UInt64
    var documentCount = 0
    var wordCount = 0

    init(_ options: DuplicateOptions) {
        (hasExact, hasNear) = (options.exact, options.near)
        (bandCount, rows) = options.shape
        (shingle, sketch, seed) = (options.shingle, options.sketch, options.seed)
    }

    enum Column: Equatable {
        case exact
        case places
        case band(Int)
    }

    var columns: [Column] {
        (hasExact ? [.exact] : [])
            + (hasNear ? [.places] + (0..<bandCount).map(Column.band) : [])
    }

    func width(of column: Column) -> Int { column == .exact ? 16 : 4 }

    func index(of column: Column) -> Int {
        switch column {
        case .exact: 0
        case .places: hasExact ? 1 : 0
        case .band(let band): band + (hasExact ? 2 : 1)
        }
    }

    func offset(of column: Column) -> Int {
        let before = index(of: column)
        let bytes = before * 4 + (hasExact && before > 0 ? 12 : 0)
        return SignatureLayout.headerByteCount + 4 * wordCount + documentCount * bytes
    }

    /// Where the checksums of the columns begin.
    var checksumOffset: Int {
        SignatureLayout.headerByteCount + 4 * wordCount
            + documentCount * ((hasExact ? 16 : 0) + (hasNear ? 4 * (1 + bandCount) : 0))
    }

    var byteCount: Int { checksumOffset + 4 * (columns.count + 1) }

    /// The header's bytes.
    var header: [UInt8] {
        var bytes = SignatureLayout.magic
        bytes.append(littleEndian: SignatureLayout.version)
        bytes.append(littleEndian: UInt32((hasExact ? 1 : 0) | (hasNear ? 2 : 0)))
        bytes.append(littleEndian: UInt64(documentCount))
        for value in [shingle, bandCount, rows, sketch] {
            bytes.append(littleEndian: UInt32(value))
        }
        bytes.append(littleEndian: seed)
        bytes.append(littleEndian: UInt64(wordCount))
        bytes.append(littleEndian: UInt32(0))
        bytes.append(littleEndian: CRC32C.checksum(of: bytes))
        return bytes
    }

    /// Reads a header; `path` is for the errors.
    init(_ header: [UInt8], path: String) throws(DatasetError) {
        func damaged(_ problem: String) -> DatasetError {
            DatasetError(.corrupt, "\(path): expected \(problem); remove it, and it is made anew")
        }
        guard header.count == SignatureLayout.headerByteCount,
            Array(header[..<8]) == SignatureLayout.magic
        else { throw damaged("a file of signatures, found another beginning") }
        let version = header.integer(at: 8, as: UInt32.self)
        guard version == SignatureLayout.version else {
            throw damaged("version \(SignatureLayout.version), found \(version)")
        }
        let stored = header.integer(at: 60, as: UInt32.self)
        guard stored == CRC32C.checksum(of: Array(header[..<60])) else {
            throw damaged("a header of the checksum \(stored), found another")
        }
        func number(_ offset: Int) -> Int { Int(header.integer(at: offset, as: UInt32.self)) }
        let flags = number(12)
        (hasExact, hasNear) = (flags & 1 != 0, flags & 2 != 0)
        (shingle, bandCount, rows) = (number(24), number(28), number(32))
        sketch = number(36)
        seed = header.integer(at: 40, as: UInt64.self)
        let documents = header.integer(at: 16, as: UInt64.self)
        let words = header.integer(at: 48, as: UInt64.self)
        guard documents <= SignatureLayout.limit, words <= SignatureLayout.limit,
            bandCount <= 4096
        else { throw damaged("counts below 2³², found \(documents) and \(words)") }
        (documentCount, wordCount) = (Int(documents), Int(words))
    }

    /// Whether files of both can be searched together.
    func fits(_ other: SignatureLayout) -> Bool {
        var same = other
        (same.documentCount, same.wordCount) = (documentCount, wordCount)
        return self == same
    }
}
