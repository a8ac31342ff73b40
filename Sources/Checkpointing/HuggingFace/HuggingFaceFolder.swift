import Files
import Synchronization
import Tensors

#if canImport(Glibc)
    import Glibc
#endif

/// A Hugging Face model folder opened for reading. Nothing in it is trusted: files are regular ones that
/// lie in the folder itself, and every text has a limit.
package final class HuggingFaceFolder: Sendable {
    package var path: String { folder.path }
    private let folder: InputFolder
    /// The shard that was read last; no other is open.
    private let latest = Mutex<(name: String, reader: SafetensorsReader)?>(nil)

    package init(_ path: String) throws(CheckpointError) {
        folder = try InputFolder(path, followingLinks: true)
    }

    package func has(_ name: String) -> Bool { exists("\(path)/\(name)") }

    /// A whole text file.
    package func bytes(of name: String, limit: Int = 1 << 20) throws(CheckpointError) -> [UInt8] {
        let file = try open(name)
        if let found = try file.placeholder() {
            throw CheckpointError(
                .unusable, "\(file.path.printable): expected JSON, found \(found)")
        }
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
            let shard = try StoredShard(HuggingFaceFile.weights, in: self)
            return Dictionary(
                uniqueKeysWithValues: shard.header.entries.map {
                    ($0.name, StoredTensor(shard: shard, entry: $0))
                })
        }
        guard has(HuggingFaceFile.index) else {
            throw CheckpointError(
                .unusable,
                "\(path.printable): expected \(HuggingFaceFile.weights) or \(HuggingFaceFile.index), "
                    + "found neither; \(try otherWeights())")
        }
        return try indexedTensors()
    }

    /// What there is of weights under other names, and what to do.
    private func otherWeights() throws(CheckpointError) -> String {
        let names = try folderNames(path)
        if let name = names.first(where: {
            $0.contains(".safetensors.index.") && $0.hasSuffix(".json")
        }) {
            return "\(name.printable) is a variant: save the model again without one"
        }
        if let name = names.first(where: { $0.hasSuffix(".safetensors") }) {
            return
                "\(name.printable) is a variant or a part of one: rename a file that is whole, or save the "
                + "model again"
        }
        if let name = names.first(where: { $0.hasSuffix(".bin") || $0.hasSuffix(".bin.index.json") }
        ) {
            return
                "\(name.printable) is in another format: save the model with safe_serialization=True"
        }
        return "weights in other formats are not read"
    }

    private func indexedTensors() throws(CheckpointError) -> [String: StoredTensor] {
        let map = try index()
        var shards: [String: StoredShard] = [:]
        var tensors: [String: StoredTensor] = [:]
        // In the order of names, so that of several faults it is always the same that is told.
        for (name, fileName) in map.sorted(by: { $0.key < $1.key }) {
            if shards[fileName] == nil { shards[fileName] = try StoredShard(fileName, in: self) }
            guard let shard = shards[fileName] else { continue }
            guard let entry = shard.entries[name] else {
                throw CheckpointError(
                    .unusable,
                    "\(shard.path.printable): expected tensor \(name.printable), as "
                        + "\(HuggingFaceFile.index) says, found none of that name")
            }
            tensors[name] = StoredTensor(shard: shard, entry: entry)
        }
        for (fileName, shard) in shards.sorted(by: { $0.key < $1.key }) {
            for entry in shard.header.entries where map[entry.name] != fileName {
                throw CheckpointError(
                    .unusable,
                    "\(shard.path.printable): tensor \(entry.name.printable): expected it in "
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
                try reader.skipValue()
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

    /// The file of a shard, opened where it is not the one that was read last.
    func reader(of shard: StoredShard) throws(CheckpointError) -> SafetensorsReader {
        if let latest = latest.withLock({ $0 }), latest.name == shard.name { return latest.reader }
        latest.withLock { $0 = nil }
        let file = try open(shard.name)
        guard file.byteCount == shard.byteCount else {
            throw CheckpointError(
                .unusable,
                "\(file.path.printable): expected \(shard.byteCount) bytes as before, found "
                    + "\(file.byteCount); it changed while it was read")
        }
        let reader = SafetensorsReader(file, shard.header)
        latest.withLock { $0 = (shard.name, reader) }
        return reader
    }

    func open(_ name: String) throws(CheckpointError) -> InputFile {
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
