// What stands in the place of a checkpoint that is to be saved: nobody's work is overwritten.

import Files

extension CheckpointFolder {
    /// Throws where the step has a checkpoint of another run.
    func refuseForeignStep(_ progress: TrainingProgress) throws(CheckpointError) {
        let path = path(ofStep: progress.step)
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

    /// Whether the step that was written has a usable checkpoint of the same state already. Throws where it
    /// has one of another. Each of the two is read once, and twice where its tensors are too large to be held.
    func holdsState(of written: CheckpointReader) throws(CheckpointError) -> Bool {
        let path = path(ofStep: written.progress.step)
        let found = try unlessUnusable { () throws(CheckpointError) in
            try CheckpointReader(path: path, followingLinks: false).digest()
        }
        guard let found else { return false }
        guard try found == written.digest() else {
            throw CheckpointError(
                .mismatch,
                "\(path): expected no checkpoint, or one of the same state, found one of another; "
                    + "move it away to save this one")
        }
        return true
    }

    /// nil where `body` finds damage, or nothing at all; what the disk does not give back may be sound.
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
