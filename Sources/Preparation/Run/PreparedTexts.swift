// The texts of a unit as the first stage leaves them for those that follow: a file of documents, one behind the
// other, with a checksum over all.

import Datasets
import Files
import Foundation

/// Writes the documents of a unit. The file appears under its name, complete and durable, at `finish`.
struct PreparedTextsWriter: ~Copyable {
    static let magic = Array("MURMDOC1".utf8)

    private let path: String
    private let temporaryPath: String
    private var file: FileDescriptor
    private var checksum = CRC32C()
    private var pending: [UInt8]
    private var count = 0

    init(path: String) throws(DatasetError) {
        temporaryPath = Folder.temporary(beside: path)
        file = try FileDescriptor(creating: temporaryPath)
        self.path = path
        pending = Self.magic
    }

    /// - Parameter document: whose numbers and lengths are below 2^32, as cleaning leaves them.
    mutating func append(_ document: Document) throws(DatasetError) {
        let start = pending.count
        pending.append(littleEndian: UInt32(document.parts.count))
        pending.append(littleEndian: Int32(document.label ?? -1))
        pending.append(littleEndian: UInt64(document.number))
        for part in document.parts {
            pending.append(littleEndian: UInt32(part.role.rawValue))
            pending.append(littleEndian: UInt32(part.text.count))
            pending += part.text
        }
        precondition(pending.count > start, "PreparedTextsWriter: nothing written")
        count += 1
        if pending.count >= 1 << 20 { try flush() }
    }

    private mutating func flush() throws(DatasetError) {
        checksum.update(pending[...])
        try file.append(pending)
        pending.removeAll(keepingCapacity: true)
    }

    consuming func finish() throws(DatasetError) {
        // A document of no parts ends the file.
        pending.append(littleEndian: UInt32(0))
        pending.append(littleEndian: UInt64(count))
        try flush()
        pending.append(littleEndian: checksum.value)
        try file.append(pending)
        try file.synchronize()
        try file.close()
        if rename(temporaryPath, path) != 0 {
            throw FileDescriptor.error(path, "rename \(temporaryPath) to")
        }
    }

    deinit { unlink(temporaryPath) }
}

/// Reads what `PreparedTextsWriter` wrote.
final class PreparedTextsReader {
    private let file: FileDescriptor
    private let byteCount: Int
    private var checksum = CRC32C()
    private var buffer: [UInt8] = []
    /// Of the next byte in `buffer`, and of the first byte behind it in the file.
    private var (next, offset) = (0, 0)
    private var count = 0
    private var isAtEnd = false

    init(path: String) throws(DatasetError) {
        let file = try FileDescriptor(reading: path)
        let byteCount = try file.byteCount()
        self.file = file
        self.byteCount = byteCount
        try fill(PreparedTextsWriter.magic.count)
        guard Array(buffer[..<PreparedTextsWriter.magic.count]) == PreparedTextsWriter.magic else {
            throw damaged("first bytes")
        }
        next = PreparedTextsWriter.magic.count
    }

    /// The next document; nil at the end, whose checksum is then found to be right.
    func read() throws(DatasetError) -> Document? {
        if isAtEnd { return nil }
        let partCount = Int(try integer(UInt32.self))
        guard partCount > 0 else {
            let total = try integer(UInt64.self)
            checksum.update(buffer[..<next])
            let found = checksum.value
            buffer.removeSubrange(..<next)
            next = 0
            guard total == UInt64(count), try integer(UInt32.self) == found, offset == byteCount
            else { throw damaged("checksum") }
            isAtEnd = true
            return nil
        }
        // Read before the checksum is, so any value may stand here.
        let label = try integer(Int32.self)
        guard let number = Int(exactly: try integer(UInt64.self)) else { throw damaged("number") }
        var parts: [Document.Part] = []
        for _ in 0..<partCount {
            guard let role = RecordRole(rawValue: Int32(bitPattern: try integer(UInt32.self)))
            else { throw damaged("role") }
            let length = Int(try integer(UInt32.self))
            try fill(length)
            parts.append(Document.Part(role, Array(buffer[next..<next + length])))
            next += length
        }
        count += 1
        return Document(
            parts: parts, label: label < 0 ? nil : Int(label), number: number)
    }

    private func integer<Value: FixedWidthInteger>(
        _ type: Value.Type
    ) throws(DatasetError) -> Value {
        try fill(MemoryLayout<Value>.size)
        defer { next += MemoryLayout<Value>.size }
        return buffer.integer(at: next, as: type)
    }

    /// Has `count` bytes from `next` on in `buffer`.
    private func fill(_ wanted: Int) throws(DatasetError) {
        guard buffer.count - next < wanted else { return }
        checksum.update(buffer[..<next])
        buffer.removeSubrange(..<next)
        next = 0
        let missing = wanted - buffer.count
        guard missing <= byteCount - offset else { throw damaged("size") }
        let count = min(max(missing, 1 << 20), byteCount - offset)
        buffer += try file.readExactly(count, at: offset)
        offset += count
    }

    private func damaged(_ what: String) -> DatasetError {
        DatasetError(
            .corrupt,
            "\(file.path): \(what): expected what a preparation wrote, found it damaged; remove the file and "
                + "prepare again")
    }
}
