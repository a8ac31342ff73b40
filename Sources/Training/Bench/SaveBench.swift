// `murmur bench --saves`: what a checkpoint of this run costs, and how much of the disk it makes use of.

import Checkpointing
import Communication
import Foundation
import Layers

/// What saving found; the JSON keys are a contract.
public struct SaveRates: Sendable, Encodable {
    /// Of the whole state.
    public var saveBytes: Int
    /// In which the training stands still, of a save that is not the first.
    public var savePauseSeconds: Double
    public var saveBytesPerSecond: Double
    /// The same bytes by the same threads in the same blocks, without anything else.
    public var diskBytesPerSecond: Double
    /// The digests by themselves.
    public var digestBytesPerSecond: Double
}

private let saveRounds = 3

/// Saves the replica's state several times into a folder in the run directory, in turn with plain writes of
/// as many bytes, and removes all of it. Medians. Collective.
func benchSaves(
    _ state: [StateTensor], _ configuration: RunConfiguration, world: World
) throws(RunError) -> SaveRates {
    let nonce = try world.communicator.gather(UUID().uuidString)[0]
    let directory = configuration.run.directory
    let folder = "\(directory)/.bench-\(nonce)"
    try world.communicator.together(world.placement.hostName) { () throws(RunError) in
        guard world.isFirst else { return }
        do {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
            where name.hasPrefix(".bench-") {
                try? FileManager.default.removeItem(atPath: "\(directory)/\(name)")
            }
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw RunError(
                .inputOutput,
                "\(folder): expected a folder to write to, found \(systemReason(error))")
        }
    }
    defer { if world.isFirst { try? FileManager.default.removeItem(atPath: folder) } }
    let saver = CheckpointSaver(
        CheckpointWriter(
            runDirectory: folder, keep: 1, copiesState: configuration.checkpoint.copy != .never),
        communicator: world.communicator)
    var timings: [SaveTiming] = []
    for round in 1...saveRounds + 1 {
        let timing = try checkpointing { () throws(CheckpointError) in
            try SaveTiming.measure(
                state, with: saver, directory: folder, progress: .benchmark(step: round),
                communicator: world.communicator)
        }
        // The first one takes its memory from the system.
        if round > 1 { timings.append(timing) }
    }
    let bytes = timings[0].byteCount
    func rate(_ seconds: KeyPath<SaveTiming, Double>) -> Double {
        Double(bytes) / median(timings.map { $0[keyPath: seconds] })
    }
    return SaveRates(
        saveBytes: bytes, savePauseSeconds: median(timings.map(\.pause)),
        saveBytesPerSecond: rate(\.writing), diskBytesPerSecond: rate(\.diskAlone),
        digestBytesPerSecond: rate(\.digestAlone))
}

extension TrainingProgress {
    fileprivate static func benchmark(step: Int) -> TrainingProgress {
        TrainingProgress(
            step: step, optimizerUpdates: step, samples: 0,
            identity: Identity(
                run: "bench", configuration: "", configurationDigest: "", tokenizer: "",
                tokenizerDigest: "", datasetDigest: "", build: "", blas: ""))
    }
}
