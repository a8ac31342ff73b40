// What a training run finds in its directory before the first step.

import Checkpointing
import Foundation
import Models

/// Finds the checkpoint to go on from, or refuses a folder that holds a run. Collective; throws the same on every
/// rank.
package func openRunDirectory(
    _ configuration: RunConfiguration, options: TrainOptions, world: World
) throws(RunError) -> FoundCheckpoint? {
    let directory = configuration.run.directory
    try world.communicator.together(world.placement.hostName) { () throws(RunError) in
        guard world.isFirst else { return }
        let traces = [MetricsFile.name, "checkpoints"].filter {
            FileManager.default.fileExists(atPath: "\(directory)/\($0)")
        }
        if let trace = traces.first, !options.resume {
            throw RunError(
                .usage,
                "\(directory): expected no earlier run, found \(trace); go on with --resume, "
                    + "or name another run.directory")
        }
    }
    guard options.resume else { return nil }
    let found = try checkpointingTogether { () throws(CheckpointError) in
        try CheckpointReader.newest(in: directory, communicator: world.communicator)
    }
    guard options.newestOnly else {
        if found == nil { try startAnew(directory, restarts: options.restart, world: world) }
        return found
    }
    guard let found else {
        throw RunError(
            .checkpoint, "\(directory): expected a checkpoint (--newest-only), found none",
            isShared: true)
    }
    if let newest = found.warnings.first {
        throw RunError(
            .checkpoint,
            "\(newest); \(found.reader.path) can be used: leave out --newest-only to go on from it",
            isShared: true)
    }
    return found
}

/// A folder without a checkpoint: the run starts at step 0, but not over the rows of an earlier one. Collective.
private func startAnew(
    _ directory: String, restarts: Bool, world: World
) throws(RunError) {
    try world.communicator.together(world.placement.hostName) { () throws(RunError) in
        guard world.isFirst else { return }
        let console = Console(isActive: true)
        let path = "\(directory)/\(MetricsFile.name)"
        let rows = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
        guard let rows, rows > 0 else {
            return console.note("\(directory): no checkpoint yet; starting at step 0")
        }
        guard restarts else {
            throw RunError(
                .usage,
                "\(directory): expected a checkpoint to go on from, found \(MetricsFile.name) alone; "
                    + "add --restart to put it aside and start at step 0")
        }
        let aside = (1...).lazy.map { "\(path).\($0)" }.first {
            !FileManager.default.fileExists(atPath: $0)
        }!
        guard rename(path, aside) == 0 else {
            throw RunError(
                .inputOutput,
                "\(path): expected to rename it, found \(String(cString: strerror(errno)))")
        }
        console.note("\(directory): starting at step 0; the earlier rows are in \(aside)")
    }
}

/// The room for checkpoints on the disk of a run directory.
package struct DiskRoom {
    let directory: String
    /// Bytes of one checkpoint: weights and moments, Float32.
    let checkpoint: Int
    /// Checkpoints that are still to come, at most, while the oldest are there.
    let count: Int
    /// Bytes that this user may fill; nil where the file system does not tell.
    let free: Int?

    package init(directory: String, checkpoint: Int, count: Int, free: Int?) {
        (self.directory, self.checkpoint) = (directory, checkpoint)
        (self.count, self.free) = (count, free)
    }

    /// - Parameter steps: those that are still to be taken.
    init(_ configuration: RunConfiguration, _ model: any Model, steps: Int) {
        let directory = configuration.run.directory
        let folder = "\(directory)/checkpoints"
        let present = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let saved = present.count { $0.hasPrefix("step-") }
        let every = configuration.checkpoint.every
        // The last step is saved too.
        let saves = every > 0 ? (steps + every - 1) / every : 1
        var status = statvfs()
        let isKnown = statvfs(directory, &status) == 0
        self.init(
            directory: directory,
            checkpoint: (1 + configuration.makeOptimizer().momentNames.count) * 4
                * model.parameterCount,
            count: max(1, min(saves, configuration.checkpoint.keep + 1 - saved)),
            free: isKnown
                ? Int(
                    clamping: UInt64(status.f_bavail).multipliedReportingOverflow(
                        by: UInt64(status.f_frsize)
                    ).partialValue) : nil)
    }

    /// What there is no room for.
    package var warning: String? {
        guard let free else { return nil }
        let (bytes, isTooMany) = checkpoint.multipliedReportingOverflow(by: count)
        guard isTooMany || bytes > free else { return nil }
        let what =
            free < checkpoint || count == 1
            ? "one checkpoint (\(DiskRoom.text(checkpoint)))"
            : "\(count) more checkpoints of \(DiskRoom.text(checkpoint)) (checkpoint.keep and one)"
        return
            "\(directory): expected room for \(what), found \(DiskRoom.text(free)); "
            + "free some, lower checkpoint.keep, or name another run.directory"
    }

    private static func text(_ bytes: Int) -> String {
        bytes < 10_000_000
            ? String(format: "%.2f MB", Double(bytes) / 1e6)
            : String(format: "%.2f GB", Double(bytes) / 1e9)
    }
}
