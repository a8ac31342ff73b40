import Communication
import Layers

/// Where the checkpoints of a run are saved, how, and how many stay.
public struct CheckpointWriter: Sendable {
    let folder: CheckpointFolder
    let keep: Int
    /// Whether a save is written from a copy of the state, while that goes on to change.
    public let copiesState: Bool
    let operations: FileOperations

    /// Elements of the block that a state goes through where it is not copied: 16 MiB.
    package static let streamedElementCount = 4 << 20

    /// - Parameters:
    ///   - directory: the run's; it exists, and every rank sees it.
    ///   - keep: how many checkpoints of the run stay, at least 1.
    ///   - copiesState: whether a copy of the state, which takes as much memory, lets training go on while it is
    ///     written.
    public init(runDirectory directory: String, keep: Int, copiesState: Bool = true) {
        self.init(
            runDirectory: directory, keep: keep, copiesState: copiesState,
            operations: FileOperations())
    }

    package init(
        runDirectory directory: String, keep: Int, copiesState: Bool = true,
        operations: FileOperations
    ) {
        precondition(keep >= 1, "CheckpointWriter: expected to keep at least 1, got \(keep)")
        (folder, self.keep) = (CheckpointFolder(run: directory), keep)
        (self.copiesState, self.operations) = (copiesState, operations)
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
            while saver.step != nil {
                _ = try saver.wait()
                _ = try saver.advance()
            }
            return (folder.path(ofStep: progress.step), try saver.finishPruning())
        } catch {
            // What was written of it is gone before that is said.
            _ = try? saver.waitForPruning()
            throw error
        }
    }
}
