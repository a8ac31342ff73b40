// Tensors in the files of a Hugging Face folder, which are opened when they are read.

import Tensors

/// A safetensors file of a folder: its header, read once. It holds no descriptor.
final class StoredShard: Sendable {
    let name: String
    let folder: HuggingFaceFolder
    let header: SafetensorsHeader
    let byteCount: Int
    /// By names.
    let entries: [String: SafetensorsEntry]

    var path: String { "\(folder.path)/\(name)" }

    init(_ name: String, in folder: HuggingFaceFolder) throws(CheckpointError) {
        let file = try folder.open(name)
        (self.name, self.folder, byteCount) = (name, folder, file.byteCount)
        header = try SafetensorsHeader(reading: file)
        entries = Dictionary(uniqueKeysWithValues: header.entries.map { ($0.name, $0) })
    }
}

/// A tensor of a safetensors file.
struct StoredTensor: Sendable {
    let shard: StoredShard
    let entry: SafetensorsEntry

    var path: String { shard.path }

    /// Whether its elements can be had as Float32.
    var isFloat: Bool { [.float32, .float16, .bfloat16, .float64].contains(entry.type) }

    /// Fills a Float32 buffer with elements, in row-major order. Every Float16 and BFloat16 is a Float32;
    /// a Float64 is rounded to the nearest one.
    func read(elements range: Range<Int>, into buffer: Buffer) throws(CheckpointError) {
        let file = try shard.folder.reader(of: shard)
        switch entry.type {
        case .float16, .bfloat16:
            let halves = Buffer(
                count: range.count, dtype: entry.type == .float16 ? .float16 : .bfloat16)
            try file.read(entry, elements: range, into: halves)
            let values = Tensor(buffer: halves, shape: [range.count]).converted(to: .float32)
            buffer.copyBytes(from: values.buffer)
        case .float64:
            let doubles = Buffer(count: range.count, dtype: .float64)
            try file.read(entry, elements: range, into: doubles)
            let (source, target) = (doubles.doubles, buffer.floats)
            for index in 0..<range.count { target[index] = Float(source[index]) }
        default: try file.read(entry, elements: range, into: buffer)
        }
    }
}
