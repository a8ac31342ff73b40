// Which elements of which tensors a file of a checkpoint has: since version 3 its own header says that, before
// the manifest did.

import Files
import Tensors

/// Consecutive elements of a tensor and where a checkpoint has them.
struct StoredPart: Sendable {
    /// The numbers of the file and of the tensor in the manifest.
    let file: Int
    let tensor: Int
    /// In memory order (`ShardSpec`) since version 2, in logical order before.
    let elements: Range<Int>
    /// Where its bytes begin in the file.
    let offset: Int
    let digest: String

    var bytes: Range<Int> { offset..<offset + elements.count * DType.float32.size }
}

extension CheckpointReader {
    /// The parts that an opened file has, in the order of its header; none of a text.
    func parts(of input: InputFile, number: Int) throws(CheckpointError) -> [StoredPart] {
        let file = manifest.files[number]
        guard file.holdsTensors else {
            try require(
                file.digestedByteCount == file.byteCount, of: input,
                expected: "a digest of \(file.byteCount) bytes", found: "\(file.digestedByteCount)")
            return []
        }
        let shard = try SafetensorsReader(input)
        try require(
            file.digestedByteCount == shard.header.byteCount, of: input,
            expected: "a digest of its header, \(shard.header.byteCount) bytes",
            found: "\(file.digestedByteCount)")
        return manifest.formatVersion < 3
            ? try listedParts(of: shard, number: number) : try namedParts(of: shard, number: number)
    }

    /// Parts by the keys `name[first:last]`, and the digests in `__metadata__`.
    private func namedParts(
        of shard: SafetensorsReader, number: Int
    ) throws(CheckpointError) -> [StoredPart] {
        let name = CheckpointManifest.digestsKey
        let digits = Array((shard.metadata[name] ?? "").utf8)
        let algorithm = PartDigest.Algorithm.xxh64
        let width = algorithm.digitCount
        try require(
            digits.count == width * shard.entries.count, of: shard.file,
            expected: "\(name) of \(width) digits for each of \(shard.entries.count) tensors",
            found: "\(digits.count)")
        var parts: [StoredPart] = []
        for (index, entry) in shard.entries.enumerated() {
            let text = String(decoding: digits[index * width..<(index + 1) * width], as: UTF8.self)
            let digest = algorithm.rawValue + text
            guard let key = StateCut.split(entry.name),
                let tensor = self.number(ofTensor: key.name),
                !key.elements.isEmpty,
                key.elements.upperBound <= manifest.tensors[tensor].spec.shape.count,
                entry.type == .float32, entry.shape == [key.elements.count],
                algorithm.isDigest(digest)
            else {
                throw CheckpointError(
                    .unusable,
                    "\(shard.path.printablePath): tensor \(entry.name.printable): expected a digest, "
                        + "and elements of F32 of a tensor of the manifest, found \(digest.printable), "
                        + "\(entry.type.rawValue) \(entry.shape)")
            }
            parts.append(
                StoredPart(
                    file: number, tensor: tensor, elements: key.elements,
                    offset: shard.offset(of: entry), digest: digest))
        }
        return parts
    }

    /// Parts as manifests before version 3 list them.
    private func listedParts(
        of shard: SafetensorsReader, number: Int
    ) throws(CheckpointError) -> [StoredPart] {
        var parts: [StoredPart] = []
        var keys = Set<String>()
        for (tensor, part) in listed[number, default: []] {
            let stored = shard.entry(named: part.key)
            guard let stored, stored.type == .float32, stored.shape.count == part.elements.count
            else {
                let found = stored.map { "\($0.type.rawValue) \($0.shape)" } ?? "none"
                throw CheckpointError(
                    .unusable,
                    "\(shard.path.printablePath): tensor \(manifest.tensors[tensor].name.printable): "
                        + "expected \(part.elements.count) elements of F32, found \(found)")
            }
            keys.insert(part.key)
            parts.append(
                StoredPart(
                    file: number, tensor: tensor, elements: part.elements,
                    offset: shard.offset(of: stored), digest: part.digest))
        }
        try require(
            parts.count == shard.entries.count && keys.count == parts.count, of: shard.file,
            expected: "\(parts.count) tensors", found: "\(shard.entries.count)")
        return parts
    }

    private func require(
        _ holds: Bool, of file: InputFile, expected: String, found: String
    ) throws(CheckpointError) {
        guard holds else {
            throw CheckpointError(
                .unusable, "\(file.path.printablePath): expected \(expected), found \(found)")
        }
    }
}

extension CheckpointManifest {
    /// Of each file the parts that a manifest before version 3 lists for it, by the files' numbers.
    func listedParts(
        _ path: String
    ) throws(CheckpointError) -> [Int: [(tensor: Int, part: Part)]] {
        let numbers = Dictionary(
            uniqueKeysWithValues: files.indices.filter { files[$0].holdsTensors }.map {
                (files[$0].name, $0)
            })
        var listed: [Int: [(tensor: Int, part: Part)]] = [:]
        for (tensor, entry) in tensors.enumerated() {
            for part in entry.parts {
                guard let number = numbers[part.file] else {
                    throw CheckpointError(
                        .unusable,
                        "\(path.printablePath)/\(part.file.printable): tensor "
                            + "\(entry.name.printable): expected \(part.elements.count) elements of "
                            + "F32, found none")
                }
                listed[number, default: []].append((tensor, part))
            }
        }
        return listed
    }
}
