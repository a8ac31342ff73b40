import Files
import Tensors

/// A safetensors file opened for reading; nothing in it is trusted, and no tensor read until asked for.
package final class SafetensorsReader: Sendable {
    package var path: String { file.path }
    /// In the order of their bytes.
    package var entries: [SafetensorsEntry] { header.entries }
    package var metadata: [String: String] { header.metadata }

    let file: InputFile
    let header: SafetensorsHeader
    private let indices: [String: Int]

    package convenience init(path: String) throws(CheckpointError) {
        try self.init(InputFile(path))
    }

    convenience init(_ file: InputFile) throws(CheckpointError) {
        self.init(file, try SafetensorsHeader(reading: file))
    }

    /// - Parameter header: that of the file, read before.
    init(_ file: InputFile, _ header: SafetensorsHeader) {
        (self.file, self.header) = (file, header)
        indices = Dictionary(
            uniqueKeysWithValues: header.entries.enumerated().map { ($1.name, $0) })
    }

    package func entry(named name: String) -> SafetensorsEntry? {
        indices[name].map { header.entries[$0] }
    }

    /// Fills `buffer` with elements `range` of a tensor, in row-major order; the types must agree.
    package func read(
        _ entry: SafetensorsEntry, elements range: Range<Int>, into buffer: Buffer
    ) throws(CheckpointError) {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= entry.shape.count
                && range.count == buffer.count,
            "SafetensorsReader: elements \(range) of \(entry.shape) into \(buffer.count)")
        guard entry.type.dtype == buffer.dtype else {
            throw CheckpointError(
                .mismatch,
                "\(path.printablePath): tensor \(entry.name.printable): expected \(buffer.dtype), "
                    + "found \(entry.type.rawValue)")
        }
        try file.read(into: buffer, at: offset(of: entry) + range.lowerBound * entry.type.size)
    }

    /// Where a tensor's bytes begin in the file.
    func offset(of entry: SafetensorsEntry) -> Int {
        header.byteCount + entry.bytes.lowerBound
    }
}

/// Writes a safetensors file of tensors whose types and shapes are known beforehand, one after the other.
package final class SafetensorsWriter {
    /// A tensor to be written.
    package struct Item: Sendable {
        package let name: String
        package let type: SafetensorsType
        package let shape: Shape

        package init(name: String, type: SafetensorsType = .float32, shape: Shape) {
            (self.name, self.type, self.shape) = (name, type, shape)
        }

        var byteCount: Int { shape.count * type.size }
    }

    /// Bytes before the first tensor.
    package let headerByteCount: Int
    /// Their digest, once the file is finished.
    package private(set) var headerDigest = ""
    /// Of each tensor that is complete, in order, the digest of its bytes.
    package var digests: [String] { digesting.digests }
    package var byteCount: Int { file.byteCount }

    private let items: [Item]
    private let keepsDigests: Bool
    private let file: OutputFile
    private var digesting: RunningDigests

    /// Elements that are written at once.
    static let blockElementCount = 1 << 20

    /// Creates the file; the tensors lie in it in the order of `items`.
    ///
    /// - Parameter keepsDigests: whether `__metadata__` has the digests of the tensors.
    package init(
        creating path: String, _ items: [Item], keepsDigests: Bool = false,
        operations: FileOperations = FileOperations()
    ) throws(CheckpointError) {
        (self.items, self.keepsDigests) = (items, keepsDigests)
        digesting = RunningDigests(of: items.map(\.byteCount))
        headerByteCount =
            SafetensorsWriter.header(
                items,
                digests: keepsDigests
                    ? items.map { _ in String(repeating: "0", count: 16) } : nil
            ).count
        file = try operations.createFile(
            path, byteCount: items.reduce(headerByteCount) { $0 + $1.byteCount })
        file.leaveHead(headerByteCount)
    }

    /// Writes the next elements: of the tensor that is not complete, and of those behind it.
    package func append(_ buffer: Buffer) throws(CheckpointError) {
        // While the disk takes many bytes, another thread takes their digests.
        let start = digesting
        let digested = BackgroundWork(
            { start.taking(buffer) }, little: buffer.count <= SafetensorsWriter.blockElementCount)
        defer { digesting = digested.wait() }
        for first in stride(from: 0, to: buffer.count, by: SafetensorsWriter.blockElementCount) {
            let end = min(buffer.count, first + SafetensorsWriter.blockElementCount)
            try buffer[first..<end].withRawSpan { (bytes) throws(CheckpointError) in
                try file.write(bytes)
            }
        }
    }

    /// Writes the header, which a file has only once it is whole, and makes the file durable. All tensors must be
    /// complete.
    package func finish() throws(CheckpointError) {
        precondition(
            digests.count == items.count,
            "SafetensorsWriter: \(digests.count) of \(items.count) tensors are complete")
        let label = PartDigest.Algorithm.xxh64.rawValue
        let header = SafetensorsWriter.header(
            items, digests: keepsDigests ? digests.map { $0.dropFirst(label.count) } : nil)
        try file.writeHead(header.span.bytes)
        headerDigest = PartDigest.labelled(header)
        try file.finish()
    }

    /// The first tensor begins at a page, so that blocks of tensors may go to the disk as they are.
    ///
    /// - Parameter digests: of each item 16 digits.
    static func header(_ items: [Item], digests: [some StringProtocol]?) -> [UInt8] {
        var json = Array("{\"__metadata__\":{\"format\":\"pt\"".utf8)
        if let digests {
            json += Array(",\"\(CheckpointManifest.digestsKey)\":\"".utf8)
            for digest in digests { json += Array(digest.utf8) }
            json.append(UInt8(ascii: "\""))
        }
        json.append(UInt8(ascii: "}"))
        var position = 0
        for item in items {
            let end = position + item.byteCount
            let shape = item.shape.extents.map(String.init).joined(separator: ",")
            json += Array(
                ",\(item.name.json):{\"dtype\":\"\(item.type.rawValue)\",\"shape\":[\(shape)],"
                    .utf8)
            json += Array("\"data_offsets\":[\(position),\(end)]}".utf8)
            position = end
        }
        json.append(UInt8(ascii: "}"))
        let page = OutputFile.pageByteCount
        let end = (8 + json.count + page - 1) / page * page
        json += [UInt8](repeating: 0x20, count: end - 8 - json.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: json.count >> ($0 * 8)) } + json
    }
}
