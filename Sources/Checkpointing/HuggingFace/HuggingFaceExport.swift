import Files
import Layers
import Tensors

/// Writes the weights of a checkpoint as a Hugging Face folder, which other programs see whole or not at
/// all.
package struct HuggingFaceExport: Sendable {
    /// Files in which the weights go, and their tensors.
    private struct Shard {
        let name: String
        let pieces: [WeightMap.Piece]
    }

    package static let standardShardLimit = 5_000_000_000

    private let tensors: HuggingFaceTensors
    private let texts: [(name: String, bytes: [UInt8])]
    private let shardLimit: Int
    private let operations: FileOperations

    /// - Parameters:
    ///   - tensors: those of the model, in the order of the files.
    ///   - texts: the other files.
    ///   - shardLimit: bytes of tensors a file has at most; a larger tensor has a file of its own.
    package init(
        _ tensors: HuggingFaceTensors, texts: [(name: String, bytes: [UInt8])],
        shardLimit: Int = HuggingFaceExport.standardShardLimit,
        operations: FileOperations = FileOperations()
    ) {
        (self.tensors, self.texts) = (tensors, texts)
        (self.shardLimit, self.operations) = (shardLimit, operations)
    }

    /// Makes the folder `path`, which must not exist; its parent must. Returns the names of its files.
    package func write(
        _ checkpoint: CheckpointReader, to path: String
    ) throws(CheckpointError) -> [String] {
        try check(checkpoint)
        let (parent, name) = HuggingFaceExport.split(path)
        guard !name.isEmpty, name != ".", name != "..", !exists("\(parent)/\(name)") else {
            throw CheckpointError(
                .io, "\(path): expected no file or folder of this name, found one; name another")
        }
        let nonce = String(UInt64.random(in: 0...UInt64.max), radix: 16)
        let temporary = "\(parent)/.tmp-\(name)-\(nonce)"
        try operations.createFolder(temporary)
        do throws(CheckpointError) {
            let names = try fill(temporary, from: checkpoint)
            try operations.synchronizeFolder(temporary)
            try operations.rename(temporary, to: "\(parent)/\(name)")
            try operations.synchronizeFolder(parent)
            return names
        } catch {
            // What cannot be removed now stays under a name that says what it is.
            for name in (try? folderNames(temporary)) ?? [] {
                try? operations.removeFile("\(temporary)/\(name)")
            }
            try? operations.removeFolder(temporary)
            throw error
        }
    }

    private func fill(
        _ folder: String, from checkpoint: CheckpointReader
    ) throws(CheckpointError) -> [String] {
        let shards = makeShards()
        for shard in shards { try write(shard, in: folder, from: checkpoint) }
        var texts = texts
        if shards.count > 1 { texts.append((HuggingFaceFile.index, index(of: shards))) }
        for text in texts {
            try operations.writeFile(text.bytes, to: "\(folder)/\(text.name)")
        }
        return (shards.map(\.name) + texts.map(\.name)).sorted()
    }

    /// Greedily in order, as the library huggingface_hub does.
    private func makeShards() -> [Shard] {
        var groups: [[WeightMap.Piece]] = []
        var room = 0
        for piece in tensors.pieces {
            if groups.isEmpty || piece.byteCount > room {
                groups.append([])
                room = shardLimit
            }
            groups[groups.count - 1].append(piece)
            room -= piece.byteCount
        }
        guard groups.count > 1 else {
            return [Shard(name: HuggingFaceFile.weights, pieces: tensors.pieces)]
        }
        return groups.enumerated().map {
            Shard(
                name: HuggingFaceFile.shard($0.offset, of: groups.count), pieces: $0.element)
        }
    }

    private func write(
        _ shard: Shard, in folder: String, from checkpoint: CheckpointReader
    ) throws(CheckpointError) {
        let items = shard.pieces.map { SafetensorsWriter.Item(name: $0.name, shape: $0.shape) }
        let writer = try SafetensorsWriter(
            creating: "\(folder)/\(shard.name)", items, operations: operations)
        let names = Set(shard.pieces.map(\.name))
        for tensor in tensors.all {
            var first = 0
            for piece in tensor.pieces {
                if names.contains(piece.name) {
                    try write(piece, of: tensor, from: first, checkpoint, to: writer)
                }
                first += piece.count
            }
        }
        try writer.finish()
    }

    /// Appends elements `first` ..< `first` + `piece.count` of a tensor.
    private func write(
        _ piece: WeightMap.Piece, of tensor: HuggingFaceTensors.Tensor, from first: Int,
        _ checkpoint: CheckpointReader, to writer: SafetensorsWriter
    ) throws(CheckpointError) {
        guard let entry = checkpoint.entry(named: tensor.name) else {
            preconditionFailure("HuggingFaceExport: \(tensor.name) was looked for before")
        }
        func elements(_ range: Range<Int>, into buffer: Buffer) throws(CheckpointError) {
            let theirs = piece.skipped + range.lowerBound..<piece.skipped + range.upperBound
            try piece.read(theirs, isOurs: false, into: buffer) {
                (own, part) throws(CheckpointError) in
                let place = first + own.lowerBound..<first + own.upperBound
                try checkpoint.read(entry, elements: place, into: part)
            }
        }
        if piece.isTransposed {
            try transposeBlocks(
                rows: piece.shape[1], columns: piece.shape[0], read: elements, take: writer.append)
        } else {
            try forEachBlock(
                of: piece.skipped, read: { (_, block) throws(CheckpointError) in block.clear() },
                take: writer.append)
            try forEachBlock(of: piece.count, read: elements, take: writer.append)
        }
    }

    private func index(of shards: [Shard]) -> [UInt8] {
        let total = tensors.pieces.reduce(0) { $0 + $1.byteCount }
        let lines = shards.flatMap { shard in
            shard.pieces.map { "    \($0.name.json): \(shard.name.json)" }
        }
        let text = """
            {
              "metadata": {"total_size": \(total)},
              "weight_map": {
            \(lines.joined(separator: ",\n"))
              }
            }

            """
        return Array(text.utf8)
    }

    /// Names and shapes of the model against those of the checkpoint.
    private func check(_ checkpoint: CheckpointReader) throws(CheckpointError) {
        let wanted = Set(tensors.all.map(\.name))
        let more = checkpoint.manifest.tensors.map(\.name).first {
            !isOptimizers($0) && !wanted.contains($0)
        }
        let other = tensors.all.first {
            checkpoint.entry(named: $0.name)?.spec.shape != $0.shape
        }
        guard let name = other?.name ?? more else { return }
        let expected = other.map { "\($0.shape)" } ?? "none of that name"
        let found = checkpoint.entry(named: name).map { "\($0.spec.shape)" } ?? "none of that name"
        throw CheckpointError(
            .mismatch,
            "\(checkpoint.path.printable): tensor \(name.printable): expected \(expected), "
                + "found \(found)")
    }

    /// Parent folder and last component.
    private static func split(_ path: String) -> (parent: String, name: String) {
        var parts = path.split(separator: "/", omittingEmptySubsequences: false)
        while parts.count > 1, parts.last?.isEmpty == true { parts.removeLast() }
        let name = String(parts.removeLast())
        let parent = parts.joined(separator: "/")
        return (parts.isEmpty ? "." : parent.isEmpty ? "/" : parent, name)
    }
}
