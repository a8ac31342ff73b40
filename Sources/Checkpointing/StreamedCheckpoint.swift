// A checkpoint that one process writes while it makes the state, block by block: what is larger than memory
// is saved without ever being held.

import Layers
import Tensors

/// A tensor of a state that is made while it is written.
package struct StreamedTensor: Sendable {
    /// Takes the next elements; they may be overwritten once it returns.
    package typealias Take = (Buffer) throws(CheckpointError) -> Void

    /// As in `StateTensor`.
    package let name: String
    package let spec: ShardSpec
    /// Hands over all elements as Float32, in memory order.
    package let forEachBlock: @Sendable (Take) throws(CheckpointError) -> Void

    package init(
        name: String, spec: ShardSpec,
        forEachBlock: @escaping @Sendable (Take) throws(CheckpointError) -> Void
    ) {
        (self.name, self.spec, self.forEachBlock) = (name, spec, forEachBlock)
    }

    /// For each tensor one of zeros, of another name; all of them share the memory of one block.
    package static func zeros(
        like tensors: [StreamedTensor], named name: (String) -> String
    ) -> [StreamedTensor] {
        let block = Buffer(count: blockElementCount)
        block.clear()
        return tensors.map { tensor in
            let count = tensor.spec.shape.count
            return StreamedTensor(name: name(tensor.name), spec: tensor.spec) {
                (take) throws(CheckpointError) in
                for start in stride(from: 0, to: count, by: block.count) {
                    try take(block[0..<min(block.count, count - start)])
                }
            }
        }
    }

    /// Elements that are handed over at once: 4 MiB.
    static let blockElementCount = 1 << 20
}

extension CheckpointWriter {
    /// Writes `<run directory>/checkpoints/step-%010d`, durably, and returns its path: `save` for a process that
    /// is alone, and for a step that has no checkpoint yet. What throws leaves no checkpoint.
    package func save(
        streaming state: [StreamedTensor], progress: TrainingProgress
    ) throws(CheckpointError) -> String {
        let target = folder.path(ofStep: progress.step)
        guard !exists(target) else {
            throw CheckpointError(
                .mismatch, "\(target): expected no checkpoint yet, found one; name another run")
        }
        let sorted = state.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        let fileName = StateCut.fileName(rank: 0, of: 1)
        _ = folder.removeLeftovers(operations)
        let transaction = try CheckpointTransaction(
            in: folder, step: progress.step, operations: operations)
        let job = ShardJob(
            path: transaction.temporaryPath, fileName: fileName, items: sorted.flatMap(\.items),
            fill: { (take) throws(CheckpointError) in
                for tensor in sorted { try tensor.forEachBlock(take) }
            },
            texts: progress.identity.texts, operations: operations)
        let manifest = CheckpointManifest(
            formatVersion: CheckpointManifest.version, progress: progress,
            files: try job.run().get().files,
            tensors: sorted.map { CheckpointManifest.Entry(name: $0.name, spec: $0.spec) })
        try transaction.commit(manifest)
        return target
    }

    /// Whether the run has no checkpoint, nor anything else where they lie: only what dead saves have left, which
    /// the next one removes.
    package static func isUnused(runDirectory directory: String) -> Bool {
        let folder = CheckpointFolder(run: directory)
        guard exists(folder.path) else { return true }
        guard isFolder(folder.path), let names = try? folder.names() else { return false }
        return names.allSatisfy(CheckpointFolder.isLeftover)
    }
}

extension StreamedTensor {
    /// What the file has of it: the whole, or nothing where it has no elements.
    fileprivate var items: [SafetensorsWriter.Item] {
        let count = spec.shape.count
        guard count > 0 else { return [] }
        return [SafetensorsWriter.Item(name: StateCut.key(name, 0..<count), shape: [count])]
    }
}

extension TrainingProgress.Identity {
    /// The small files of a checkpoint.
    var texts: [(name: String, text: String)] {
        [
            (CheckpointManifest.configurationName, configuration),
            (CheckpointManifest.tokenizerName, tokenizer),
        ]
    }
}
