import Layers

/// What a save of many ranks comes to beside the bytes of the state: from what each rank holds, without its data.
package struct SaveFigures {
    /// Parts in all, and those of the rank that has most.
    package private(set) var partCount = 0
    package private(set) var mostParts = 0
    /// Bytes of that rank's header.
    package private(set) var headerByteCount = 0
    /// Of the rank that has most.
    package private(set) var fileByteCount = 0
    /// Bytes that each rank gives to the others before it writes.
    package private(set) var exchangedByteCount = 0
    /// The manifest, with digests of zeros.
    package private(set) var manifest: [UInt8] = []
    /// Whether all ranks together hold each tensor once.
    package private(set) var coversOnce = false

    package init(
        ranks: Int, progress: TrainingProgress, state: (_ rank: Int) -> [StateTensor]
    ) {
        let digest = PartDigest.labelled([])
        var files = progress.identity.texts.map {
            CheckpointManifest.File(
                name: $0.name, byteCount: $0.text.utf8.count,
                digestedByteCount: $0.text.utf8.count, digest: digest)
        }
        var sum = CoverageSum()
        var tensors: [(name: String, spec: ShardSpec)] = []
        for rank in 0..<ranks {
            let cut = StateCut(state(rank))
            sum = sum + CoverageSum(cut.parts.map { ($0.tensor, $0.range) })
            partCount += cut.parts.count
            if cut.parts.count > mostParts {
                mostParts = cut.parts.count
                let digits = [String](
                    repeating: String(repeating: "0", count: 16), count: mostParts)
                headerByteCount = SafetensorsWriter.header(cut.items, digests: digits).count
            }
            let byteCount = headerByteCount + 4 * cut.elementCount
            fileByteCount = max(fileByteCount, byteCount)
            files.append(
                CheckpointManifest.File(
                    name: StateCut.fileName(rank: rank, of: ranks), byteCount: byteCount,
                    digestedByteCount: headerByteCount, digest: digest))
            guard rank == 0 else { continue }
            tensors = cut.tensors
            exchangedByteCount = cut.agreement(step: progress.step).count
        }
        coversOnce = sum == CoverageSum(whole: tensors.map(\.spec.shape.count))
        manifest = CheckpointManifest(
            formatVersion: CheckpointManifest.version, progress: progress, files: files,
            tensors: tensors.map { CheckpointManifest.Entry(name: $0.name, spec: $0.spec) }
        ).encoded()
    }
}
