// A run that begins with weights from elsewhere: an import, or a mean of checkpoints.

import Checkpointing
import Models

extension RunConfiguration {
    /// Makes a run directory whose one checkpoint has these weights and an optimizer that has not begun; returns the
    /// checkpoint's path. Refuses a directory that holds a run.
    ///
    /// - Parameter writeMore: what else a run directory gets, before the checkpoint.
    func makeRun(
        in directory: String, of model: any Models.Model, weights: [StreamedTensor],
        progress: TrainingProgress, writeMore: () throws(RunError) -> Void = {}
    ) throws(RunError) -> String {
        let lock = try RunLock(directory: directory)
        defer { withExtendedLifetime(lock) {} }
        guard !entryExists("\(directory)/\(MetricsFile.name)"),
            CheckpointWriter.isUnused(runDirectory: directory)
        else {
            throw RunError(
                .usage,
                "\(directory): expected no earlier run, found one; name another run directory")
        }
        // The checkpoint is last, and makes the run: what ends this before leaves none.
        try write(yaml, to: "\(directory)/configuration.yaml")
        try writeMore()
        return try checkpointing { () throws(CheckpointError) in
            try CheckpointWriter(runDirectory: directory, keep: checkpoint.keep).save(
                streaming: weights + makeMoments(like: weights, of: model), progress: progress)
        }
    }
}
