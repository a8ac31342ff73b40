// What a file is, told by the bytes that it begins with: a name may say anything.

/// A compression that is unpacked while a file is read.
package enum Packing: String, CaseIterable, Sendable {
    case gzip, zstd, xz

    /// Bytes that are enough to tell.
    static let magicByteCount = 6

    /// What bytes that begin with `head` are packed by; nil where by none of these.
    init?(head: ArraySlice<UInt8>) {
        guard let packing = Packing.allCases.first(where: { $0.begins(head) }) else { return nil }
        self = packing
    }

    /// Whether a member of this compression may begin with `head` (RFC 1952, section 2.3.1; RFC 8878, sections 3.1.1 and
    /// 3.1.2: a frame or a skippable one; the .xz file format, section 2.1.1.1).
    func begins(_ head: ArraySlice<UInt8>) -> Bool {
        switch self {
        case .gzip: head.starts(with: [0x1F, 0x8B, 8])
        case .zstd:
            head.starts(with: [0x28, 0xB5, 0x2F, 0xFD])
                || head.first.map { $0 & 0xF0 == 0x50 } == true
                    && head.dropFirst().starts(with: [0x2A, 0x4D, 0x18])
        case .xz: head.starts(with: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0])
        }
    }
}

/// Files that hold text in a way that is not read here.
enum ForeignFile {
    /// Bytes that are enough to tell.
    static let headByteCount = 512

    /// What bytes that begin with `head` are and what to do about it: completes "found …"; nil where they are none of
    /// these.
    static func found(_ head: ArraySlice<UInt8>) -> String? {
        for (name, magic, hint) in table where head.starts(with: magic) {
            return "\(name); \(hint)"
        }
        if head.dropFirst(257).starts(with: Array("ustar".utf8)) {
            return "a tar archive; \(unpack)"
        }
        // Thrift's first byte of a page header keeps a text that begins so apart.
        if head.starts(with: Array("PAR1".utf8)), head.dropFirst(4).first.map({ $0 < 0x20 }) == true
        {
            return "a Parquet file; \(convert)"
        }
        let isBzip = head.starts(with: Array("BZh".utf8))
        let blocks: [[UInt8]] = [
            [0x31, 0x41, 0x59, 0x26, 0x53, 0x59], [0x17, 0x72, 0x45, 0x38, 0x50, 0x90],
        ]
        if isBzip, blocks.contains(where: { head.dropFirst(4).starts(with: $0) }) {
            return "bzip2; unpack it with bunzip2, or pack it with gzip, xz or zstd instead"
        }
        return nil
    }

    private static let unpack = "unpack it and name its files"
    private static let convert = "convert it to JSON Lines or CSV"
    private static let repack = "unpack it, or pack it with gzip, xz or zstd instead"

    private static let table: [(name: String, magic: [UInt8], hint: String)] = [
        ("a zip archive", [0x50, 0x4B, 3, 4], unpack),
        ("an empty zip archive", [0x50, 0x4B, 5, 6], unpack),
        ("a 7z archive", [0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], unpack),
        ("a RAR archive", [0x52, 0x61, 0x72, 0x21, 0x1A, 7], unpack),
        ("an LZ4 file", [4, 0x22, 0x4D, 0x18], repack),
        ("an lzip file", [0x4C, 0x5A, 0x49, 0x50, 1], repack),
        ("a file of compress", [0x1F, 0x9D], repack),
        ("an Arrow file", Array("ARROW1\0\0".utf8), convert),
        ("an Arrow stream", [0xFF, 0xFF, 0xFF, 0xFF], convert),
        ("an Avro file", Array("Obj\u{1}".utf8), convert),
        ("a database of SQLite", Array("SQLite format 3\0".utf8), convert),
        ("an HDF5 file", [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A], convert),
    ]
}
