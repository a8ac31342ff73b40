import Communication
import Layers

/// Where the checkpoints of a run are saved, and how many stay.
public struct CheckpointWriter: Sendable {
    let folder: CheckpointFolder
    let keep: Int
    let operations: FileOperations

    /// - Parameters:
    ///   - directory: the run's; it exists, and every rank sees it.
    ///   - keep: how many checkpoints of the run stay, at least 1.
    public init(runDirectory directory: String, keep: Int) {
        self.init(runDirectory: directory, keep: keep, operations: FileOperations())
    }

    package init(runDirectory directory: String, keep: Int, operations: FileOperations) {
        precondition(keep >= 1, "CheckpointWriter: expected to keep at least 1, got \(keep)")
        (folder, self.keep) = (CheckpointFolder(run: directory), keep)
        self.operations = operations
    }

    /// Writes `<run directory>/checkpoints/step-%010d`, durably, then removes the oldest ones.
    ///
    /// Collective over `communicator`; returns or throws the same on every rank. Until it returns no earlier
    /// checkpoint is touched. `CheckpointSaver` does the same beside other work.
    /// - Parameters:
    ///   - state: the same tensors on every rank; over all ranks their pieces cover each of them once.
    ///   - progress: the same on every rank.
    /// - Returns: the path, and, on rank 0, what of old checkpoints could not be removed, and why.
    @discardableResult
    public func save(
        _ state: [StateTensor], progress: TrainingProgress, communicator: any Communicator
    ) throws(CheckpointError) -> (path: String, warnings: [String]) {
        let saver = CheckpointSaver(self, communicator: communicator)
        do throws(CheckpointError) {
            try saver.begin(state, progress: progress)
            while true {
                _ = try saver.wait()
                if let path = try saver.advance() { return (path, try saver.finishPruning()) }
            }
        } catch {
            // What was written of it is gone before that is said.
            _ = try? saver.waitForPruning()
            throw error
        }
    }
}
