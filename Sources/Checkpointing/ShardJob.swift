import Tensors

/// What a rank has written of a checkpoint.
struct ShardReport: Sendable, Equatable {
    var files: [CheckpointManifest.File] = []

    init() {}

    /// As text, which ranks exchange: a line for each file.
    var encoded: [UInt8] {
        let lines = files.map {
            "\($0.name)\t\($0.byteCount)\t\($0.digestedByteCount)\t\($0.digest)"
        }
        return Array(lines.joined(separator: "\n").utf8)
    }

    /// - Parameter encoded: what a rank of this program has encoded.
    init(encoded: [UInt8]) {
        files = String(decoding: encoded, as: UTF8.self).split(separator: "\n").map { line in
            let fields = line.split(separator: "\t").map(String.init)
            return CheckpointManifest.File(
                name: fields[0], byteCount: Int(fields[1]) ?? 0,
                digestedByteCount: Int(fields[2]) ?? 0, digest: fields[3])
        }
    }
}

/// Writing a rank's part of a checkpoint, from memory that nobody changes meanwhile or from what is made at that
/// moment: what a thread does beside the training. It touches nothing that others do.
struct ShardJob: Sendable {
    /// Where to write.
    let path: String
    let fileName: String
    /// What the file has.
    let items: [SafetensorsWriter.Item]
    /// Hands over the elements of `items`, one after the other.
    let fill: @Sendable (StreamedTensor.Take) throws(CheckpointError) -> Void
    /// Small files beside it.
    let texts: [(name: String, text: String)]
    let operations: FileOperations

    /// Where it fails, the room that the file took is free again at once.
    func run() -> Result<ShardReport, CheckpointError> {
        let outcome = Result { () throws(CheckpointError) in try write() }
        if case .failure = outcome { try? operations.removeFile("\(path)/\(fileName)") }
        return outcome
    }

    private func write() throws(CheckpointError) -> ShardReport {
        var report = ShardReport()
        for (name, text) in texts {
            let bytes = Array(text.utf8)
            try operations.writeFile(bytes, to: "\(path)/\(name)")
            report.files.append(
                CheckpointManifest.File(
                    name: name, byteCount: bytes.count, digestedByteCount: bytes.count,
                    digest: PartDigest.labelled(bytes)))
        }
        let writer = try SafetensorsWriter(
            creating: "\(path)/\(fileName)", items, keepsDigests: true, operations: operations)
        try fill(writer.append)
        try writer.finish()
        // Rank 0's host may not know of the file's name yet where each host has a cache of its own.
        try operations.synchronizeFolder(path)
        report.files.append(
            CheckpointManifest.File(
                name: fileName, byteCount: writer.byteCount,
                digestedByteCount: writer.headerByteCount, digest: writer.headerDigest))
        return report
    }
}
