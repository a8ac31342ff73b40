// The training loop. Every block says whether all ranks take part; nothing collective stands under a
// test of the rank.

import Checkpointing
import Communication
import Datasets
import Foundation
import Kernels
import Layers
import Models
import Optimizers
import Parallelism
import Tensors

/// One rank of one training run, ready to go on from `step`.
final class Trainer<Network: Model> {
    let configuration: RunConfiguration
    let world: World
    let replica: DataParallel<Network>
    let source: any BatchSource
    let evaluation: (any EvaluationSource)?
    let identity: TrainingProgress.Identity

    /// Completed steps.
    private(set) var step = 0
    /// Position in the global sample order.
    private var samples = 0
    /// Steps in a row that were skipped; a resumed run counts anew.
    private var skippedInARow = 0
    private let schedule: Optimizers.Schedule
    private let groups: [Range<Int>]
    /// A metrics row that could not be written: told to the others at the end of the next step.
    private var metricsFailure: RunError?

    init(
        _ configuration: RunConfiguration, world: World, replica: DataParallel<Network>,
        source: any BatchSource, evaluation: (any EvaluationSource)?,
        identity: TrainingProgress.Identity
    ) {
        (self.configuration, self.world, self.replica) = (configuration, world, replica)
        (self.source, self.evaluation, self.identity) = (source, evaluation, identity)
        schedule = configuration.makeSchedule()
        groups = microBatchGroups(
            count: configuration.batch.microBatches, groups: configuration.numerics.groups,
            rank: world.rank, ranks: world.size)
    }

    /// Trains until `last` steps are complete, or until a signal asks to stop.
    func run(until last: Int, console: Console) throws(RunError) {
        let metrics = try openMetrics()
        let first = step
        let tracing = StepTracing(configuration, world: world)
        let batches = BatchPrefetcher(
            source: TracedBatches(source: source), position: samples,
            microBatches: groups.first!.lowerBound..<groups.last!.upperBound)
        while step < last {
            tracing.begin(step: step + 1)
            // All ranks: one optimizer step, or none where they agree that it cannot be taken.
            var (row, share, signal) = try trainStep(batches)
            let isLast = step == last || signal != 0

            // All ranks: the whole validation split.
            if let evaluation, isDue(configuration.evaluation.every) || isLast {
                row.validation = try evaluate(
                    replica.model, on: evaluation, communicator: world.communicator,
                    host: world.placement.hostName)
            }
            // The first rank: metrics and console. A row that cannot be written ends the run at the
            // next agreement.
            do throws(RunError) { try metrics?.append(row) } catch { metricsFailure = error }
            console.report(row, last: last, stepsDone: step - first, communicationShare: share)

            // All ranks: the state, after the rows that belong to it.
            if isDue(configuration.checkpoint.every) || isLast { try save(after: metrics, console) }
            // All ranks: what was recorded, where this step is to be traced.
            try tracing.end(step: step)
            if signal != 0 && step < last {
                throw RunError(
                    .preempted, "signal \(signal): stopped; go on with --resume", step: step,
                    isShared: true)
            }
        }
        let peak = Double(StoragePool.shared.counters.peakBytes) / 1_048_576
        console.note(String(format: "peak of pooled memory: %.1f MiB a rank", peak))
    }

    /// Fills the state from a checkpoint, whatever the layout of the run that saved it. Collective.
    func resume(from checkpoint: CheckpointReader) throws(RunError) {
        let progress = checkpoint.progress
        do throws(CheckpointError) {
            try checkpoint.restore(into: replica.state, communicator: world.communicator)
        } catch {
            throw RunError(error)
        }
        try communicating { () throws(CommunicationError) in
            try replica.restore(updates: progress.optimizerUpdates)
        }
        (step, samples) = (progress.step, progress.samples)
    }

    // MARK: Parts of a step

    /// Forward and backward passes, one agreement, the update. Collective.
    private func trainStep(
        _ batches: BatchPrefetcher
    ) throws(RunError) -> (row: MetricsRow, communicationShare: Double, signal: Int32) {
        let span = Trace.begin(.step, "step")
        defer { span.end() }
        let clock = ContinuousClock.now
        let waited = world.communicator.secondsWaited
        let targets = source.targetWeight(position: samples)
        let learningRate = schedule.learningRate(at: step)

        // Gradients are reduced while the last backward pass runs.
        var failure = metricsFailure
        let losses = try trainMicroBatches(batches, scale: Float(1 / targets), failure: &failure)

        // Loss, gradient norm, errors and signals, agreed at once.
        let record = StepRecord(
            error: failure?.exitCode ?? 0, signal: StopSignal.number, losses: losses)
        let agreement = try communicating { () throws(CommunicationError) in
            try replica.agree(on: record.values)
        }
        let records = agreement.records.map { StepRecord(values: $0) }
        if records.contains(where: { $0.error != 0 }) {
            try world.communicator.together(world.placement.hostName) { () throws(RunError) in
                if let failure { throw failure.located(step: step) }
            }
        }

        if agreement.isFinite {
            let clip = GradientNorm.clipFactor(
                norm: agreement.gradientNorm, limit: configuration.optimizer.clipNorm)
            try communicating { () throws(CommunicationError) in
                try replica.update(learningRate: learningRate, gradientScale: Float(clip))
            }
        }
        step += 1
        samples += configuration.batch.sequences
        try stopIfDiverged(agreement)

        let seconds = (ContinuousClock.now - clock).inSeconds
        let row = MetricsRow(
            step: step, loss: Float(records.flatMap { $0.losses }.reduce(0, +) / targets),
            learningRate: learningRate, gradientNorm: agreement.gradientNorm,
            tokensPerSecond: targets / seconds, seconds: seconds, isSkipped: !agreement.isFinite)
        let share = (world.communicator.secondsWaited - waited) / seconds
        return (row, share, records.map { $0.signal }.max() ?? 0)
    }

    /// - Returns: the losses of this rank's micro-batches, in order. A batch that could not be read takes
    ///   part as nothing, so that no other rank waits for this one; `failure` says why.
    private func trainMicroBatches(
        _ batches: BatchPrefetcher, scale: Float, failure: inout RunError?
    ) throws(RunError) -> [Double] {
        try replica.accumulate(
            groups, seed: configuration.run.seed, step: step, scale: scale
        ) { () throws(RunError) in
            do throws(DatasetError) {
                return try batches.next()
            } catch {
                failure = failure ?? RunError(error)
                return .nothing(
                    rows: configuration.batch.microBatch,
                    columns: configuration.model.contextLength)
            }
        }
    }

    /// A non-finite gradient leaves the weights as they are; eight in a row are no accident.
    private func stopIfDiverged(_ agreement: StepAgreement) throws(RunError) {
        skippedInARow = agreement.isFinite ? 0 : skippedInARow + 1
        guard skippedInARow == 8 else { return }
        throw RunError(
            .divergence,
            "gradient of \(agreement.firstNonFinite ?? "the norm"): expected finite numbers, found "
                + "none in 8 steps; lower optimizer.learning_rate, or go on from an earlier checkpoint",
            step: step, isShared: true)
    }

    private func isDue(_ interval: Int) -> Bool { interval > 0 && step % interval == 0 }

    private func save(after metrics: MetricsFile?, _ console: Console) throws(RunError) {
        let span = Trace.begin(.checkpoint, "checkpoint")
        defer { span.end() }
        try world.communicator.together(world.placement.hostName) { () throws(RunError) in
            if let metricsFailure { throw metricsFailure.located(step: step) }
            try metrics?.synchronize()
        }
        let progress = TrainingProgress(
            step: step, optimizerUpdates: replica.updates,
            samples: samples, identity: identity)
        do throws(CheckpointError) {
            let writer = CheckpointWriter(
                runDirectory: configuration.run.directory, keep: configuration.checkpoint.keep)
            let saved = try writer.save(
                replica.state, progress: progress, communicator: world.communicator)
            for warning in saved.warnings { console.note("warning: \(warning)") }
            console.note("saved \(saved.path)")
        } catch {
            throw RunError(error).located(step: step)
        }
    }

    private func openMetrics() throws(RunError) -> MetricsFile? {
        try world.communicator.together(world.placement.hostName) { () throws(RunError) in
            world.isFirst
                ? try MetricsFile(directory: configuration.run.directory, keeping: step) : nil
        }
    }

    private func communicating<Result>(
        _ body: () throws(CommunicationError) -> Result
    ) throws(RunError) -> Result {
        do throws(CommunicationError) {
            return try body()
        } catch {
            throw RunError(error).located(step: step)
        }
    }
}

/// What ranks tell each other at the end of a step.
private struct StepRecord {
    /// Exit code of an error that this rank met; 0: none.
    var error: Int32
    /// Signal that this rank received; 0: none.
    var signal: Int32
    /// Summed losses of its micro-batches.
    var losses: [Double]

    init(error: Int32, signal: Int32, losses: [Double]) {
        (self.error, self.signal, self.losses) = (error, signal, losses)
    }

    init(values: [Double]) {
        self.init(
            error: Int32(values[0]), signal: Int32(values[1]), losses: Array(values.dropFirst(2)))
    }

    var values: [Double] { [Double(error), Double(signal)] + losses }
}

extension Duration {
    var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}

extension Batch {
    /// A batch that counts nothing.
    fileprivate static func nothing(rows: Int, columns: Int) -> Batch {
        let count = rows * columns
        func field(_ name: String, _ value: Int32) -> Field {
            Field(
                name: name, rows: rows, columns: columns,
                values: Array(repeating: value, count: count))
        }
        return Batch(
            fields: [field(Name.tokens, 0), field(Name.targets, ignoredTarget)],
            weights: Array(repeating: 0, count: count), sequences: rows, firstSequence: 0)
    }
}
