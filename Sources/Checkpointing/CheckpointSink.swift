import Layers
import Tensors

/// What is to be written: the tensors of each file, in the order of their bytes.
struct CheckpointLayout {
    struct File {
        let name: String
        let tensors: [StateTensor]
    }

    let files: [File]

    /// Weights by themselves, so that other programs read them as they are; all else beside them.
    init(_ state: [StateTensor]) {
        let sorted = state.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        for (tensor, next) in zip(sorted, sorted.dropFirst()) {
            precondition(tensor.name != next.name, "CheckpointWriter: two tensors \(tensor.name)")
        }
        files = [
            File(name: "model.safetensors", tensors: sorted.filter { !isOptimizers($0.name) }),
            File(name: "optimizer.safetensors", tensors: sorted.filter { isOptimizers($0.name) }),
        ].filter { !$0.tensors.isEmpty }
    }
}

/// Whether a tensor of this name is state of the optimizer, not a weight.
func isOptimizers(_ name: String) -> Bool { name.hasPrefix("optimizer.") }

/// The end of a save that touches the disk: takes the elements of all tensors in the layout's order.
///
/// After its first failure it takes and drops the rest, so that the ranks that send need not know.
final class CheckpointSink {
    private let progress: TrainingProgress
    private let folder: CheckpointFolder
    private let operations: FileOperations
    private var transaction: CheckpointTransaction?
    private var writer: SafetensorsWriter?
    private var files: [CheckpointManifest.File] = []
    private var tensors: [CheckpointManifest.Entry] = []
    private var failure: CheckpointError?

    init(
        progress: TrainingProgress, folder: CheckpointFolder, operations: FileOperations
    ) {
        (self.progress, self.folder, self.operations) = (progress, folder, operations)
        attempt { () throws(CheckpointError) in
            try refuseForeignStep()
            folder.removeLeftovers(operations)
            transaction = try CheckpointTransaction(
                in: folder, step: progress.step, operations: operations)
        }
    }

    func begin(_ file: CheckpointLayout.File) {
        attempt { () throws(CheckpointError) in
            guard let path = transaction?.temporaryPath else { return }
            writer = try SafetensorsWriter(
                creating: "\(path)/\(file.name)",
                file.tensors.map { SafetensorsWriter.Item(name: $0.name, shape: $0.spec.shape) },
                operations: operations)
        }
    }

    func append(_ buffer: Buffer) {
        attempt { () throws(CheckpointError) in try writer?.append(buffer) }
    }

    func end(_ file: CheckpointLayout.File) {
        attempt { () throws(CheckpointError) in
            guard let writer else { return }
            try writer.finish()
            files.append(
                CheckpointManifest.File(
                    name: file.name, byteCount: writer.byteCount,
                    digestedByteCount: writer.headerByteCount, digest: writer.headerDigest))
            for (tensor, digest) in zip(file.tensors, writer.digests) {
                let part = CheckpointManifest.Part(
                    file: file.name, elements: 0..<tensor.spec.shape.count, digest: digest)
                tensors.append(
                    CheckpointManifest.Entry(name: tensor.name, spec: tensor.spec, parts: [part]))
            }
            self.writer = nil
        }
    }

    /// Writes texts and manifest and commits. A usable checkpoint of the same state stays as it is.
    func commit() -> Result<Void, CheckpointError> {
        attempt { () throws(CheckpointError) in
            try write(progress.identity.configuration, as: CheckpointManifest.configurationName)
            try write(progress.identity.tokenizer, as: CheckpointManifest.tokenizerName)
            tensors.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            let manifest = CheckpointManifest(progress: progress, files: files, tensors: tensors)
            try transaction?.write(manifest.encoded(), as: CheckpointManifest.fileName)
            // Only what can be opened is committed.
            if let path = transaction?.temporaryPath { _ = try CheckpointReader(path: path) }
            if try !isCommitted(manifest) { try transaction.take()?.commit() }
        }
        return failure.map { .failure($0) } ?? .success(())
    }

    private func attempt(_ body: () throws(CheckpointError) -> Void) {
        guard failure == nil else { return }
        do throws(CheckpointError) {
            try body()
        } catch {
            failure = error
        }
        if failure != nil {
            writer = nil
            transaction = nil
        }
    }

    private func write(_ text: String, as name: String) throws(CheckpointError) {
        let bytes = Array(text.utf8)
        try transaction?.write(bytes, as: name)
        files.append(
            CheckpointManifest.File(
                name: name, byteCount: bytes.count, digestedByteCount: bytes.count,
                digest: ContentDigest.labelled(bytes)))
    }

    private func refuseForeignStep() throws(CheckpointError) {
        let path = folder.path(ofStep: progress.step)
        let manifest = try unlessUnusable { () throws(CheckpointError) in
            try CheckpointManifest(
                reading: InputFolder(path, followingLinks: false).open(CheckpointManifest.fileName))
        }
        guard let run = manifest?.progress.identity.run, run != progress.identity.run else {
            return
        }
        throw CheckpointError(
            .mismatch,
            "\(path): expected no checkpoint, or one of run \(progress.identity.run), "
                + "found one of run \(run.printable); choose another run directory")
    }

    /// Whether this step already has a usable checkpoint of this state.
    private func isCommitted(_ manifest: CheckpointManifest) throws(CheckpointError) -> Bool {
        let path = folder.path(ofStep: progress.step)
        let found = try unlessUnusable { () throws(CheckpointError) in
            try CheckpointReader(path: path, followingLinks: false).digest()
        }
        guard let found else { return false }
        guard found == manifest.claimedStateDigest else {
            throw CheckpointError(
                .mismatch,
                "\(path): expected no checkpoint, or one of the same state, found one of another; "
                    + "move it away to save this one")
        }
        return true
    }

    /// nil where `body` finds damage, or nothing at all.
    private func unlessUnusable<Value>(
        _ body: () throws(CheckpointError) -> Value
    ) throws(CheckpointError) -> Value? {
        do throws(CheckpointError) {
            return try body()
        } catch {
            guard case .unusable = error.kind else { throw error }
            return nil
        }
    }
}
