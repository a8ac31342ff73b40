import Checkpointing
import Communication
import Foundation
import Layers
import Tensors
import TestSupport
import Testing

/// Loss scaling in whole runs: bits, records, checkpoints, and the end of a run that diverged.
@Suite(.serialized) struct LossScaleRunTests {
    private func finish(
        _ run: RunFolder, ranks: Int? = nil, settings: [String] = [], _ arguments: [String] = []
    ) throws -> Launch {
        let launch = try run.train(ranks: ranks, settings: settings, arguments)
        #expect(launch.exitCode == 0, "\(launch.summary)")
        return launch
    }

    /// What the newest checkpoint keeps of the scale.
    private func saved(_ run: RunFolder) throws -> TrainingProgress.LossScale? {
        try CheckpointReader(path: run.checkpoint(try #require(run.checkpoints.last)))
            .progress.lossScale
    }

    // MARK: Bits and records

    @Test(arguments: [(nil, 1 << 10), (2, 1 << 20)] as [(Int?, Int)])
    func aStaticScaleChangesNoBit(ranks: Int?, scale: Int) throws {
        let run = try RunFolder()
        _ = try finish(
            run, ranks: ranks,
            settings: ["precision.loss_scale=static", "precision.static_scale=\(scale)"])
        #expect(try RunOutcome(run) == LayoutTests.reference.get())
        #expect(run.metrics.allSatisfy { $0.contains("\"loss_scale\": \(scale)") })
        #expect(try saved(run) == nil)
    }

    @Test func aDynamicScaleGoesOnWhereItWas() throws {
        let dynamic = ["precision.loss_scale=dynamic"]
        let whole = try RunFolder()
        _ = try finish(whole, settings: dynamic)
        #expect(whole.metrics.allSatisfy { $0.contains("\"loss_scale\": 65536") })
        #expect(try saved(whole) == .init(scale: 65536, goodSteps: 50, hysteresis: 2))

        let parts = try RunFolder()
        _ = try finish(parts, ranks: 2, settings: dynamic, ["--stop-at", "18"])
        #expect(try saved(parts)?.goodSteps == 18)
        let launch = try finish(parts, settings: dynamic, ["--resume"])
        #expect(!launch.errors.contains("loss scale"), "\(launch.summary)")
        #expect(try RunOutcome(parts) == RunOutcome(whole))

        let reference = try LayoutTests.reference.get()
        #expect(try RunOutcome(whole).lossBits == reference.lossBits)
        #expect(try RunOutcome(whole).digest != reference.digest, "control: the counter counts")
    }

    /// Precision may change on resume: a checkpoint without a scale begins with a fresh one, and says so.
    @Test func aCheckpointWithoutAScaleStartsAFreshOne() throws {
        let run = try RunFolder()
        _ = try finish(run, ["--stop-at", "18"])
        #expect(run.metrics.allSatisfy { !$0.contains("loss_scale") })
        let launch = try finish(run, settings: ["precision.loss_scale=dynamic"], ["--resume"])
        #expect(launch.errors.contains("the checkpoint has no loss scale"), "\(launch.summary)")
        #expect(
            launch.errors.contains("resume: precision.loss_scale changes from none to dynamic"))
        #expect(try saved(run) == .init(scale: 65536, goodSteps: 32, hysteresis: 2))
        #expect(try RunOutcome(run).lossBits == LayoutTests.reference.get().lossBits)
    }

    @Test func aScaleThatCannotHaveBeenIsRefused() throws {
        let run = try RunFolder()
        _ = try finish(run, settings: ["precision.loss_scale=dynamic"], ["--stop-at", "5"])
        try change(run) { progress, _ in progress.lossScale?.scale = 3 }
        let launch = try run.train(settings: ["precision.loss_scale=dynamic"], ["--resume"])
        #expect(launch.exitCode == 4 && launch.errorLines.contains { $0.contains("loss_scale") })
        #expect(launch.errors.contains("found 3, 5, 2 and 0"), "\(launch.summary)")
    }

    /// Masters are Float32 whatever the storage: a run may change it on the way, and back.
    @Test func storageMayChangeOnResume() throws {
        let run = try RunFolder()
        _ = try finish(run, ["--stop-at", "10"])
        let first = run.metrics
        let half = try finish(
            run, ranks: 2, settings: ["precision.storage=float16"], ["--resume", "--stop-at", "20"])
        #expect(
            half.errors.contains("resume: precision.storage changes from float32 to float16"),
            "\(half.summary)")
        let second = run.metrics
        #expect(second.count == 20 && Array(second.prefix(10)) == first)
        _ = try finish(run, ["--resume"])
        #expect(run.metrics.count == 50 && Array(run.metrics.prefix(20)) == second)
        let (mixed, plain) = (try RunOutcome(run), try LayoutTests.reference.get())
        #expect(mixed.lossBits.prefix(10) == plain.lossBits.prefix(10))
        let losses = Array(zip(mixed.losses, plain.losses))
        #expect(losses.allSatisfy { abs($0 - $1) < 0.02 * $1 }, "\(losses)")
        #expect(mixed.lossBits != plain.lossBits, "control: Float16 shows")
    }

    // MARK: Divergence

    /// A checkpoint with a weight that no forward pass survives.
    @Test(
        arguments: [nil, 2],
        [("none", "float32", 8), ("dynamic", "float32", 25), ("dynamic", "float16", 25)])
    func aWeightThatIsNotFiniteIsNamed(
        ranks: Int?, policy: (name: String, storage: String, steps: Int)
    ) throws {
        let run = try RunFolder()
        let settings = [
            "precision.loss_scale=\(policy.name)", "precision.storage=\(policy.storage)",
        ]
        _ = try finish(run, settings: settings, ["--stop-at", "5"])
        let before = try RunOutcome(run)
        try change(run) { _, tensors in
            tensors["h.2.attn.c_attn.weight"]?.floats[700] = .nan
        }
        let launch = try run.train(ranks: ranks, settings: settings, ["--resume"])
        #expect(launch.exitCode == 6, "\(launch.summary)")
        #expect(launch.errors.contains("loss nan"), "\(launch.summary)")
        let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
        let place = ranks == nil ? "" : "rank 0 host \(ProcessInfo.processInfo.hostName) "
        let scale = policy.name == "none" ? "" : " with the loss scale at 1"
        #expect(
            errors == [
                "error: \(place)step \(5 + policy.steps): weight h.2.attn.c_attn.weight: expected "
                    + "finite numbers, found nan at element 700 in 8 steps in a row\(scale); lower "
                    + "optimizer.learning_rate, or go on from an earlier checkpoint"
            ], "\(launch.summary)")
        #expect(run.metrics.count == 5 + policy.steps)
        #expect(run.metrics.dropFirst(5).allSatisfy { $0.contains("\"skipped\": true") })
        #expect(Array(run.lossBits.prefix(5)) == before.lossBits)
        #expect(waitUntil { run.ranks.isEmpty })
    }

    /// A moment that is not finite takes its weight out of the training: a resume says so once, and goes on.
    @Test(arguments: [nil, 2])
    func aMomentThatIsNotFiniteIsNamed(ranks: Int?) throws {
        let run = try RunFolder()
        _ = try finish(run, ["--stop-at", "5"])
        let sound = try finish(run, ranks: ranks, ["--resume", "--stop-at", "6"])
        #expect(!sound.errors.contains("warning:"), "control: \(sound.summary)")
        try change(run) { _, tensors in
            tensors["optimizer.second_moment.h.2.attn.c_attn.weight"]?.floats[700] = .infinity
        }
        let launch = try finish(run, ranks: ranks, ["--resume", "--stop-at", "8"])
        #expect(
            launch.errorLines.filter { $0.hasPrefix("warning:") } == [
                "warning: \(run.checkpoint(6)): optimizer.second_moment.h.2.attn.c_attn.weight: expected "
                    + "finite numbers, found inf at element 700; its weight no longer learns: go on "
                    + "from an earlier checkpoint, if there is one"
            ], "\(launch.summary)")
        #expect(run.metrics.count == 8)
    }

    /// Saves the newest checkpoint again, changed.
    private func change(
        _ run: RunFolder, _ body: (inout TrainingProgress, [String: Buffer]) -> Void
    ) throws {
        let step = try #require(run.checkpoints.last)
        let reader = try CheckpointReader(path: run.checkpoint(step))
        var progress = reader.progress
        var buffers: [String: Buffer] = [:]
        let state = try reader.manifest.tensors.map { entry in
            let tensor = try reader.loadTensor(entry.name)
            buffers[entry.name] = tensor.buffer
            return StateTensor(
                name: entry.name, spec: ShardSpec(replicated: tensor.shape),
                pieces: [.init(range: 0..<tensor.shape.count, buffer: tensor.buffer)])
        }
        body(&progress, buffers)
        try FileManager.default.removeItem(atPath: run.checkpoint(step))
        _ = try CheckpointWriter(runDirectory: run.directory, keep: 3)
            .save(state, progress: progress, communicator: InProcess.alone())
    }
}
