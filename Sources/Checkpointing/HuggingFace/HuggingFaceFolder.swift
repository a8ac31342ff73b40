import Files
import Tensors

#if canImport(Glibc)
    import Glibc
#endif

/// A Hugging Face model folder opened for reading. Nothing in it is trusted: files are regular ones that
/// lie in the folder itself, and every text has a limit.
package final class HuggingFaceFolder: Sendable {
    package var path: String { folder.path }
    private let folder: InputFolder

    package init(_ path: String) throws(CheckpointError) {
        folder = try InputFolder(path, followingLinks: true)
    }

    package func has(_ name: String) -> Bool { exists("\(path)/\(name)") }

    /// A whole text file.
    package func bytes(of name: String, limit: Int = 1 << 20) throws(CheckpointError) -> [UInt8] {
        let file = try open(name)
        guard file.byteCount <= limit else {
            throw CheckpointError(
                .unusable,
                "\(file.path.printable): expected at most \(limit) bytes, found \(file.byteCount)")
        }
        return try file.bytes(at: 0, count: file.byteCount)
    }

    /// The members of a JSON object, at most 1,000.
    package func members(of name: String) throws(CheckpointError) -> [String: JSONValue] {
        var reader = JSONReader(subject: "\(path)/\(name)", text: try bytes(of: name))
        var members: [String: JSONValue] = [:]
        try reader.object { (reader, key) throws(CheckpointError) in
            reader.context = key.printable
            guard members.count < 1000 else {
                throw reader.failure(expected: "at most 1000 keys", found: "more")
            }
            members[key] = try reader.value()
            reader.context = ""
        }
        try reader.end { [0x20, 0x09, 0x0a, 0x0d].contains($0) }
        return members
    }

    // MARK: Weights

    /// Every tensor of the weights by the name it has there, in one file or in those of an index.
    func tensors() throws(CheckpointError) -> [String: StoredTensor] {
        if has(HuggingFaceFile.weights) {
            let file = try SafetensorsReader(open(HuggingFaceFile.weights))
            return Dictionary(
                uniqueKeysWithValues: file.entries.map {
                    ($0.name, StoredTensor(file: file, entry: $0))
                })
        }
        guard has(HuggingFaceFile.index) else {
            throw CheckpointError(
                .unusable,
                "\(path.printable): expected \(HuggingFaceFile.weights) or \(HuggingFaceFile.index), "
                    + "found neither; weights in other formats are not read")
        }
        return try indexedTensors()
    }

    private func indexedTensors() throws(CheckpointError) -> [String: StoredTensor] {
        let map = try index()
        var files: [String: SafetensorsReader] = [:]
        var tensors: [String: StoredTensor] = [:]
        // In the order of names, so that of several faults it is always the same that is told.
        for (name, fileName) in map.sorted(by: { $0.key < $1.key }) {
            if files[fileName] == nil { files[fileName] = try SafetensorsReader(open(fileName)) }
            guard let file = files[fileName] else { continue }
            guard let entry = file.entry(named: name) else {
                throw CheckpointError(
                    .unusable,
                    "\(file.path.printable): expected tensor \(name.printable), as "
                        + "\(HuggingFaceFile.index) says, found none of that name")
            }
            tensors[name] = StoredTensor(file: file, entry: entry)
        }
        for (fileName, file) in files.sorted(by: { $0.key < $1.key }) {
            for entry in file.entries where map[entry.name] != fileName {
                throw CheckpointError(
                    .unusable,
                    "\(file.path.printable): tensor \(entry.name.printable): expected it in "
                        + "\(HuggingFaceFile.index), found "
                        + (map[entry.name].map { "\($0.printable) there" } ?? "no such name"))
            }
        }
        return tensors
    }

    /// The file of each tensor, as the index says.
    private func index() throws(CheckpointError) -> [String: String] {
        let text = try bytes(of: HuggingFaceFile.index, limit: 1 << 24)
        var reader = JSONReader(subject: "\(path)/\(HuggingFaceFile.index)", text: text)
        var map: [String: String]?
        try reader.object { (reader, key) throws(CheckpointError) in
            reader.context = key.printable
            if key == "weight_map" {
                map = try HuggingFaceFolder.weightMap(&reader)
            } else {
                _ = try reader.value()
            }
            reader.context = ""
        }
        try reader.end { [0x20, 0x09, 0x0a, 0x0d].contains($0) }
        guard let map else {
            throw reader.failure(expected: "the key weight_map", found: "none of that name")
        }
        return map
    }

    private static let mostFiles = 512

    private static func weightMap(
        _ reader: inout JSONReader
    ) throws(CheckpointError) -> [String: String] {
        var map: [String: String] = [:]
        var files: Set<String> = []
        try reader.object { (reader, name) throws(CheckpointError) in
            reader.context = "weight_map: \(name.printable)"
            let file = try reader.string(limit: 4096)
            guard HuggingFaceFile.isPlain(file) else {
                throw reader.failure(
                    expected: "the name of a .safetensors file beside it", found: file.printable)
            }
            files.insert(file)
            guard map.count < SafetensorsHeader.mostTensors, files.count <= mostFiles else {
                throw reader.failure(
                    expected:
                        "at most \(SafetensorsHeader.mostTensors) tensors in \(mostFiles) files",
                    found: "more")
            }
            map[name] = file
        }
        return map
    }

    private func open(_ name: String) throws(CheckpointError) -> InputFile {
        do throws(CheckpointError) {
            return try folder.open(name)
        } catch {
            var status = stat()
            guard lstat("\(path)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFLNK else {
                throw error
            }
            throw CheckpointError(
                .unusable,
                "\(path.printable)/\(name.printable): expected a file, found a symbolic link; copy the "
                    + "folder with cp -rL")
        }
    }
}

/// A tensor of a safetensors file.
struct StoredTensor: Sendable {
    let file: SafetensorsReader
    let entry: SafetensorsEntry

    /// Whether its elements can be had as Float32.
    var isFloat: Bool { [.float32, .float16, .bfloat16].contains(entry.type) }

    /// Fills a Float32 buffer with elements, in row-major order. Every Float16 and BFloat16 is a Float32.
    func read(elements range: Range<Int>, into buffer: Buffer) throws(CheckpointError) {
        switch entry.type {
        case .float16:
            let halves = Buffer(count: range.count, dtype: .float16)
            try file.read(entry, elements: range, into: halves)
            let values = Tensor(buffer: halves, shape: [range.count]).converted(to: .float32)
            buffer.copyBytes(from: values.buffer)
        case .bfloat16:
            // The upper half of a Float32's bits.
            let halves = Buffer(count: range.count, dtype: .float16)
            let start = file.header.byteCount + entry.bytes.lowerBound
            try file.file.read(into: halves, at: start + range.lowerBound * entry.type.size)
            let (source, target) = (halves.halves, buffer.floats)
            for index in 0..<range.count {
                target[index] = Float(bitPattern: UInt32(source[index].bitPattern) << 16)
            }
        default: try file.read(entry, elements: range, into: buffer)
        }
    }
}
