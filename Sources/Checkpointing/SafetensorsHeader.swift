// The header of a safetensors file: 8 bytes of length (little-endian), that many bytes of JSON, then the
// tensors (huggingface/safetensors, README, "Format").

import Files
import Tensors

/// The element types of safetensors that are known here, by the names they have in headers.
package enum SafetensorsType: String, Sendable, CaseIterable {
    case bool = "BOOL"
    case uint8 = "U8"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int32 = "I32"
    case float32 = "F32"
    case float64 = "F64"
    case int64 = "I64"

    /// Bytes an element takes.
    package var size: Int {
        switch self {
        case .bool, .uint8: 1
        case .float16, .bfloat16: 2
        case .int32, .float32: 4
        case .float64, .int64: 8
        }
    }

    /// The type a buffer of these elements has; nil where tensors have none.
    package var dtype: DType? {
        switch self {
        case .float16: .float16
        case .bfloat16: .bfloat16
        case .float32: .float32
        case .float64: .float64
        case .int32: .int32
        case .bool, .uint8, .int64: nil
        }
    }
}

/// One tensor of a safetensors file.
package struct SafetensorsEntry: Sendable, Equatable {
    package let name: String
    package let type: SafetensorsType
    package let shape: Shape
    /// Where its bytes lie, counted from the end of the header.
    package let bytes: Range<Int>
}

/// What a safetensors header says, checked against the size of its file.
struct SafetensorsHeader: Sendable {
    /// In the order of their bytes.
    let entries: [SafetensorsEntry]
    let metadata: [String: String]
    /// Bytes before the first tensor: 8 and the length of the JSON.
    let byteCount: Int

    static let longestJSON = 100_000_000
    static let mostTensors = 100_000
    static let mostAxes = 32

    init(reading file: InputFile) throws(CheckpointError) {
        let path = file.path.printablePath
        if let found = try file.placeholder() {
            throw CheckpointError(.unusable, "\(path): expected a safetensors file, found \(found)")
        }
        guard file.byteCount >= 10 else {
            throw CheckpointError(
                .unusable, "\(path): expected a safetensors file, found \(file.byteCount) bytes")
        }
        let length = try file.bytes(at: 0, count: 8).reversed().reduce(UInt64(0)) {
            $0 << 8 | UInt64($1)
        }
        let most = min(SafetensorsHeader.longestJSON, file.byteCount - 8)
        guard length >= 2, length <= UInt64(most) else {
            throw CheckpointError(
                .unusable,
                "\(path): expected a header of 2 to \(most) bytes, found one of \(length)")
        }
        byteCount = 8 + Int(length)
        guard try file.bytes(at: 8, count: 1) == [UInt8(ascii: "{")] else {
            throw CheckpointError(
                .unusable, "\(path): expected a header that starts with \"{\", found another byte")
        }
        var reader = SafetensorsHeader.reader(of: file, range: 8..<byteCount)
        (entries, metadata) = try SafetensorsHeader.parse(&reader)
        try SafetensorsHeader.check(
            entries, cover: file.byteCount - byteCount, path: path)
    }

    private static func reader(of file: InputFile, range: Range<Int>) -> JSONReader {
        var position = range.lowerBound
        return JSONReader(subject: file.path) { () throws(CheckpointError) -> [UInt8] in
            let count = min(1 << 16, range.upperBound - position)
            defer { position += count }
            return count > 0 ? try file.bytes(at: position, count: count) : []
        }
    }

    private static func parse(
        _ reader: inout JSONReader
    ) throws(CheckpointError) -> ([SafetensorsEntry], [String: String]) {
        var entries: [SafetensorsEntry] = []
        var metadata: [String: String] = [:]
        try reader.object { (reader, name) throws(CheckpointError) in
            if name == "__metadata__" {
                metadata = try readMetadata(&reader)
                return
            }
            reader.context = "tensor \(name.printable)"
            guard entries.count < mostTensors else {
                throw reader.failure(expected: "at most \(mostTensors) tensors", found: "more")
            }
            guard !name.isEmpty, !name.unicodeScalars.contains(where: { $0.value < 0x20 }) else {
                throw reader.failure(
                    expected: "a name", found: "an empty one, or control characters")
            }
            entries.append(try readEntry(&reader, name: name))
            reader.context = ""
        }
        try reader.end { $0 == 0x20 }
        entries.sort {
            ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound)
        }
        return (entries, metadata)
    }

    private static func readMetadata(
        _ reader: inout JSONReader
    ) throws(CheckpointError) -> [String: String] {
        var metadata: [String: String] = [:]
        var room = 1 << 24
        reader.context = "__metadata__"
        try reader.object { (reader, key) throws(CheckpointError) in
            let value = try reader.string(limit: room)
            room -= value.utf8.count + key.utf8.count + 64
            guard room > 0 else {
                throw reader.failure(expected: "at most 16 MiB", found: "more")
            }
            metadata[key] = value
        }
        reader.context = ""
        return metadata
    }

    private static func readEntry(
        _ reader: inout JSONReader, name: String
    ) throws(CheckpointError) -> SafetensorsEntry {
        var type: SafetensorsType?
        var extents: [Int]?
        var offsets: [Int]?
        try reader.object { (reader, key) throws(CheckpointError) in
            switch key {
            case "dtype":
                let text = try reader.string(limit: 64)
                type = SafetensorsType(rawValue: text)
                guard type != nil else {
                    let known = SafetensorsType.allCases.map(\.rawValue).joined(separator: " ")
                    throw reader.failure(expected: "a dtype of \(known)", found: text.printable)
                }
            case "shape": extents = try reader.integers(limit: mostAxes)
            case "data_offsets": offsets = try reader.integers(limit: 2)
            default:
                throw reader.failure(
                    expected: "the keys dtype, shape, data_offsets", found: key.printable)
            }
        }
        guard let type, let extents, let offsets, offsets.count == 2 else {
            throw reader.failure(
                expected: "dtype, shape and two data_offsets", found: "some of them missing")
        }
        guard checkedSize(extents, of: type.size) != nil else {
            throw reader.failure(expected: "a size below 2^63", found: "shape \(extents)")
        }
        let count = Shape(extents).count * type.size
        guard offsets[0] <= offsets[1], offsets[1] - offsets[0] == count else {
            throw reader.failure(
                expected: "\(count) bytes for \(type.rawValue) \(extents)",
                found: "data_offsets \(offsets)")
        }
        return SafetensorsEntry(
            name: name, type: type, shape: Shape(extents), bytes: offsets[0]..<offsets[1])
    }

    private static func check(
        _ entries: [SafetensorsEntry], cover byteCount: Int, path: String
    ) throws(CheckpointError) {
        var position = 0
        for entry in entries {
            guard entry.bytes.lowerBound == position else {
                throw CheckpointError(
                    .unusable,
                    "\(path): tensor \(entry.name.printable): expected its bytes from \(position) on, "
                        + "found them from \(entry.bytes.lowerBound)")
            }
            position = entry.bytes.upperBound
        }
        guard position == byteCount else {
            throw CheckpointError(
                .unusable,
                "\(path): expected \(position) bytes after the header, found \(byteCount)")
        }
    }
}

/// The product of the extents of a shape and the size of an element; nil where it is too large for an `Int`, or
/// would be without the extents of 0: whoever multiplies some of them in another order must not overflow either.
func checkedSize(_ extents: some Sequence<Int>, of elementSize: Int = 1) -> Int? {
    var product = elementSize
    for extent in extents where extent > 0 {
        let (next, overflow) = product.multipliedReportingOverflow(by: extent)
        if overflow { return nil }
        product = next
    }
    return product
}
