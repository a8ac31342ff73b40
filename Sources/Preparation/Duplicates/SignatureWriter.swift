import Datasets
import Foundation

/// Writes the signatures of a unit's documents, in their order. The file is there once `finish` is done, whole and durable.
///
/// The sets of shingles go to the disk at once; hashes and bands, about 4·(bands + 5) bytes a document, stay in memory
/// until the end.
package struct SignatureWriter: ~Copyable {
    private let path: String
    private let partial: String
    private var file: FileDescriptor
    private var layout: SignatureLayout
    private var signature: DocumentSignature
    private var exact: [UInt64] = []
    private var places: [UInt32] = []
    private var bands: [[UInt32]]
    private var buffer: [UInt8] = []

    private static let bufferByteCount = 1 << 20

    /// - Parameter path: of a file that is replaced where there is one.
    package init(path: String, options: DuplicateOptions) throws(DatasetError) {
        self.path = path
        partial = path + ".partial"
        layout = SignatureLayout(options)
        signature = DocumentSignature(options)
        bands = [[UInt32]](repeating: [], count: options.near ? layout.bandCount : 0)
        file = try SignatureWriter.begun(partial)
    }

    private static func begun(_ path: String) throws(DatasetError) -> FileDescriptor {
        // What a killed run left.
        unlink(path)
        let file = try FileDescriptor(creating: path)
        try file.append([UInt8](repeating: 0, count: SignatureLayout.headerByteCount))
        return file
    }

    /// Documents so far.
    package var documentCount: Int { layout.documentCount }

    package mutating func append(_ parts: [Document.Part]) throws(DatasetError) {
        guard layout.documentCount < SignatureLayout.limit,
            layout.wordCount <= SignatureLayout.limit - layout.sketch - 2
        else {
            throw DatasetError(
                .tooLarge,
                "\(path): expected signatures of at most 16 GiB, found more; cut the texts into "
                    + "smaller files")
        }
        signature.take(parts)
        layout.documentCount += 1
        if layout.hasExact { exact += [signature.hash.low, signature.hash.high] }
        guard layout.hasNear else { return }
        places.append(UInt32(layout.wordCount))
        guard !signature.shingles.isEmpty else {
            for band in bands.indices { bands[band].append(0) }
            return
        }
        for band in bands.indices { bands[band].append(signature.bands[band]) }
        appendShingles()
        if buffer.count >= SignatureWriter.bufferByteCount { try flush() }
    }

    private mutating func appendShingles() {
        let start = buffer.count
        let hashes = signature.shingles
        buffer.append(littleEndian: UInt32(hashes.count << 1 | (signature.isSample ? 1 : 0)))
        buffer.append(integers: hashes)
        var checksum = CRC32C()
        checksum.update(buffer[start...])
        buffer.append(littleEndian: checksum.value)
        layout.wordCount += hashes.count + 2
    }

    private mutating func flush() throws(DatasetError) {
        try file.append(buffer)
        buffer.removeAll(keepingCapacity: true)
    }

    /// Writes the columns and gives the file its name.
    package consuming func finish() throws(DatasetError) {
        try flush()
        var checksums: [UInt8] = []
        for column in layout.columns {
            var bytes: [UInt8] = []
            switch column {
            case .exact: bytes.append(integers: exact)
            case .places: bytes.append(integers: places)
            case .band(let band): bytes.append(integers: bands[band])
            }
            checksums.append(littleEndian: CRC32C.checksum(of: bytes))
            try file.append(bytes)
        }
        checksums.append(littleEndian: CRC32C.checksum(of: checksums))
        try file.append(checksums)
        try file.overwriteStart(layout.header)
        try file.synchronize()
        try file.close()
        guard rename(partial, path) == 0 else {
            throw FileDescriptor.error(path, "rename \(partial) to")
        }
    }
}

extension [UInt8] {
    /// Appends integers, the lowest byte of each first.
    mutating func append<Value: FixedWidthInteger>(integers values: [Value]) {
        let ordered = Value(1).littleEndian == 1 ? values : values.map(\.littleEndian)
        ordered.withUnsafeBytes { append(contentsOf: $0) }
    }
}
