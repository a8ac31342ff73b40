import Datasets

/// A unit's file of signatures, open for reading.
final class SignatureFile {
    let path: String
    let layout: SignatureLayout
    private let file: FileDescriptor
    private let checksums: [UInt8]
    private var buffer: [UInt8] = []

    /// Documents whose bytes are read at once.
    private static let blockCount = 1 << 16

    /// Checks size, header and the table of checksums.
    init(_ path: String) throws(DatasetError) {
        self.path = path
        file = try FileDescriptor(reading: path)
        let byteCount = try file.byteCount()
        layout = try SignatureLayout(
            file.readExactly(min(byteCount, SignatureLayout.headerByteCount), at: 0), path: path)
        guard byteCount == layout.byteCount else {
            throw SignatureFile.damaged(path, "\(layout.byteCount) bytes, found \(byteCount)")
        }
        let table = try file.readExactly(
            4 * (layout.columns.count + 1), at: layout.checksumOffset)
        checksums = Array(table.dropLast(4))
        guard
            CRC32C.checksum(of: checksums) == table.integer(at: checksums.count, as: UInt32.self)
        else { throw SignatureFile.damaged(path, "sound checksums, found damaged ones") }
    }

    static func damaged(_ path: String, _ problem: String) -> DatasetError {
        DatasetError(.corrupt, "\(path): expected \(problem); remove it, and it is made anew")
    }

    /// Calls `body` with the words of a column in turn: two of 64 bits a document in the column of exact hashes, one of 32
    /// bits else. The checksum is known to be right when this returns.
    func read<Value: FixedWidthInteger>(
        _ column: SignatureLayout.Column, as type: Value.Type, _ body: (Value) -> Void
    ) throws(DatasetError) {
        let (width, start) = (layout.width(of: column), layout.offset(of: column))
        var checksum = CRC32C()
        var document = 0
        while document < layout.documentCount {
            let count = min(SignatureFile.blockCount, layout.documentCount - document)
            let found = try file.read(
                count * width, at: start + document * width, into: &buffer)
            guard found == count * width else {
                throw SignatureFile.damaged(path, "\(layout.byteCount) bytes, found fewer")
            }
            checksum.update(buffer[..<found])
            buffer.withUnsafeBytes { bytes in
                for offset in stride(from: 0, to: found, by: MemoryLayout<Value>.size) {
                    body(Value(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: type)))
                }
            }
            document += count
        }
        let stored = checksums.integer(at: 4 * layout.index(of: column), as: UInt32.self)
        guard checksum.value == stored else {
            throw SignatureFile.damaged(
                path, "a sound column \(layout.index(of: column)), found a damaged one")
        }
    }

    /// The set of shingles in the words of 4 bytes `range`.
    func shingles(_ range: Range<Int>) throws(DatasetError) -> ShingleSet {
        let count = 4 * range.count
        let offset = SignatureLayout.headerByteCount + 4 * range.lowerBound
        let found = try file.read(count, at: offset, into: &buffer)
        guard found == count, range.count > 2 else {
            throw SignatureFile.damaged(path, "\(count) bytes at \(offset), found others")
        }
        var checksum = CRC32C()
        checksum.update(buffer[..<(count - 4)])
        let head = buffer.integer(at: 0, as: UInt32.self)
        guard checksum.value == buffer.integer(at: count - 4, as: UInt32.self),
            Int(head >> 1) == range.count - 2
        else {
            throw SignatureFile.damaged(path, "sound shingles at \(offset), found damaged ones")
        }
        let hashes = buffer.withUnsafeBytes { bytes in
            [UInt32](unsafeUninitializedCapacity: range.count - 2) { hashes, initialized in
                for index in 0..<range.count - 2 {
                    hashes[index] = UInt32(
                        littleEndian: bytes.loadUnaligned(
                            fromByteOffset: 4 * index + 4, as: UInt32.self))
                }
                initialized = range.count - 2
            }
        }
        return ShingleSet(hashes, isSample: head & 1 == 1)
    }
}

/// The files of all units, of which a few are open at a time.
final class SignatureSet {
    let paths: [String]
    let layout: SignatureLayout
    /// The first document of each unit among all, and the number of all.
    let starts: [Int]
    private var open: [SignatureFile?]
    private var order: [Int] = []

    private static let openCount = 128

    /// Opens each file once and checks that all were made alike.
    init(_ paths: [String], options: DuplicateOptions) throws(DatasetError) {
        self.paths = paths
        layout = SignatureLayout(options)
        open = [SignatureFile?](repeating: nil, count: paths.count)
        var starts = [0]
        for path in paths {
            let found = try SignatureFile(path).layout
            guard found.fits(layout) else {
                throw DatasetError(
                    .mismatch,
                    "\(path): expected signatures made with the options in use, found others; "
                        + "remove it, and it is made anew")
            }
            starts.append(starts[starts.count - 1] + found.documentCount)
        }
        self.starts = starts
        guard starts[paths.count] < SignatureLayout.limit else {
            throw DatasetError(
                .tooLarge,
                "duplicates: expected fewer than 2³² documents, found \(starts[paths.count])")
        }
    }

    var documentCount: Int { starts[paths.count] }

    func file(_ unit: Int) throws(DatasetError) -> SignatureFile {
        if let file = open[unit] { return file }
        if order.count == SignatureSet.openCount { open[order.removeFirst()] = nil }
        let file = try SignatureFile(paths[unit])
        guard file.layout.documentCount == starts[unit + 1] - starts[unit] else {
            throw SignatureFile.damaged(file.path, "a file that stays, found a changed one")
        }
        (open[unit], order) = (file, order + [unit])
        return file
    }

    /// The unit of a document among all.
    func unit(of document: Int) -> Int { starts.unit(of: document) }

    /// Calls `body` with the words of a column of all units.
    func read<Value: FixedWidthInteger>(
        _ column: SignatureLayout.Column, as type: Value.Type, _ body: (Value) -> Void
    ) throws(DatasetError) {
        for unit in paths.indices { try file(unit).read(column, as: type, body) }
    }
}

extension [Int] {
    /// Which of the ranges that begin at these numbers holds `document`.
    func unit(of document: Int) -> Int {
        var (low, high) = (0, count - 1)
        while high - low > 1 {
            let middle = (low + high) / 2
            if self[middle] <= document { low = middle } else { high = middle }
        }
        // Ranges before it may be empty; the last that begins there is meant.
        return low
    }
}
