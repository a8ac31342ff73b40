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
final class Trainer {
    let configuration: RunConfiguration
    let world: World
    let replica: Replica
    let source: any BatchSource
    let evaluation: (any EvaluationSource)?
    let identity: TrainingProgress.Identity
    /// Whether saves are written from a copy of the state.
    let copiesState: Bool

    private var steps: TrainingSteps
    /// Position in the global sample order.
    private var samples = 0
    /// Updates of the checkpoint that it goes on from; nil: there is none.
    private var restoredUpdates: Int?

    init(
        _ configuration: RunConfiguration, world: World, replica: Replica,
        source: any BatchSource, evaluation: (any EvaluationSource)?,
        identity: TrainingProgress.Identity, copiesState: Bool
    ) {
        (self.configuration, self.world, self.replica) = (configuration, world, replica)
        (self.source, self.evaluation, self.identity) = (source, evaluation, identity)
        self.copiesState = copiesState
        steps = TrainingSteps(configuration, world: world, replica: replica, source: source)
    }

    /// Completed steps.
    var step: Int { steps.step }

    /// Trains until `last` steps are complete, or until a signal asks to stop.
    func run(until last: Int, console: Console) throws(RunError) {
        let writer = CheckpointWriter(
            runDirectory: configuration.run.directory, keep: configuration.checkpoint.keep,
            copiesState: copiesState)
        let checkpoints = RunCheckpoints(
            writer, communicator: world.communicator, savedUpdates: restoredUpdates
        ) { console.note($0) }
        try checkpoints.requireSavable(replica.savedState)
        let metrics = try openMetrics()
        if let warning = metrics?.warning { console.note("warning: \(warning)") }
        do throws(RunError) {
            try takeSteps(until: last, console, metrics, checkpoints)
        } catch {
            // All ranks, where they leave together: a save that is under way is not thrown away.
            if error.isShared { try? checkpoints.leave(seconds: 60) }
            if let failure = metrics?.synchronize() {
                console.note("warning: \(failure.message); what is held is lost")
            }
            throw error
        }
        try world.communicator.together(world.placement.hostName) { () throws(RunError) in
            // What did not reach the disk is written once more.
            if metrics?.synchronize() != nil, let failure = metrics?.synchronize() {
                throw failure.located(step: step)
            }
        }
    }

    private func takeSteps(
        until last: Int, _ console: Console, _ metrics: MetricsFile?, _ checkpoints: RunCheckpoints
    ) throws(RunError) {
        let first = step
        let tracing = StepTracing(configuration, world: world)
        let batches = BatchPrefetcher(
            source: TracedBatches(source: source), position: samples,
            microBatches: steps.microBatches)
        while step < last {
            tracing.begin(step: step + 1)
            // All ranks: one optimizer step, or none where they agree that it cannot be taken.
            var (row, share, outcome) = try saving(checkpoints, metrics, console) {
                () throws(RunError) in try trainStep(batches, checkpoints)
            }
            var signal = outcome.signal
            let isLast = step == last || signal != 0

            let evaluates =
                evaluation != nil && signal == 0 && outcome.divergence == nil
                && (isDue(configuration.evaluation.every) || isLast)
            // The first rank: metrics and console; after an evaluation, where there is one.
            func tell() {
                append(row, to: metrics, console)
                console.report(
                    row, last: last, stepsDone: step - first, communicationShare: share)
            }
            if !evaluates { tell() }

            // All ranks: what every rank has written becomes a checkpoint, after the rows up to it. How far a save of
            // this step is will be agreed on in the next.
            try checkpoints.advance(outcome.saves)
            // All ranks: a copy of the state, written while training or the evaluation goes on.
            if outcome.divergence == nil, isDue(configuration.checkpoint.every) || isLast {
                do throws(RunError) {
                    try save(to: checkpoints, after: metrics, console, isLast: isLast)
                } catch {
                    // A step that was taken has a row, whatever becomes of its checkpoint.
                    if evaluates { tell() }
                    throw error
                }
            }
            // All ranks: the whole validation split, unless a signal comes. The row is durable before what is
            // saved of its step becomes a checkpoint.
            var failure = outcome.divergence
            if evaluates, let evaluation {
                do throws(RunError) {
                    row.validation = try validate(on: evaluation, &signal)
                } catch {
                    guard error.isShared else { throw error }
                    failure = error.located(step: step)
                }
                tell()
            }
            // All ranks: the end of a run that failed or diverged; its last step has a row like the others.
            if let failure {
                try saving(checkpoints, metrics, console) { () throws(RunError) in throw failure }
            }

            // All ranks: the last save becomes a checkpoint.
            if isLast || signal != 0 {
                if checkpoints.stepUnderWay != step {
                    try save(to: checkpoints, after: metrics, console, isLast: true)
                }
                try checkpoints.finish()
            }
            // All ranks: what was recorded, where this step is to be traced.
            try saving(checkpoints, metrics, console) { () throws(RunError) in
                try tracing.end(step: step)
            }
            if signal != 0 && step < last {
                throw RunError(
                    .preempted, "signal \(signal): stopped; go on with --resume", step: step,
                    isShared: true)
            }
        }
        let peak = Double(StoragePool.shared.counters.peakBytes) / 1_048_576
        console.note(String(format: "peak of pooled memory: %.1f MiB a rank", peak))
    }

    /// The loss over the validation split; nil where a signal ended it, which then is in `signal`. Collective.
    private func validate(
        on evaluation: any EvaluationSource, _ signal: inout Int32
    ) throws(RunError) -> EvaluationResult? {
        let result = try evaluate(
            on: evaluation, mesh: replica.mesh, host: world.placement.hostName,
            signal: StopSignal.number, objective: replica.objective
        ) { (input) throws(CommunicationError) in try replica.sums(of: input) }
        if result == nil { signal = try world.communicator.gather(StopSignal.number).max()! }
        return result
    }

    /// Runs `body`; where it ends in an error that all ranks share, the last sound state is saved before they
    /// leave. Collective.
    private func saving<Result>(
        _ checkpoints: RunCheckpoints, _ metrics: MetricsFile?, _ console: Console,
        _ body: () throws(RunError) -> Result
    ) throws(RunError) -> Result {
        do throws(RunError) {
            return try body()
        } catch var error {
            guard error.isShared, [.data, .inputOutput, .divergence].contains(error.kind),
                replica.updates > 0, try isSound()
            else { throw error }
            do throws(RunError) {
                if checkpoints.stepUnderWay != step, !checkpoints.holds(updates: replica.updates) {
                    try save(to: checkpoints, after: metrics, console, isLast: true)
                }
                try checkpoints.leave(seconds: 600)
            } catch let second {
                console.note("warning: \(second.message)")
                // A rank that is lost: the others do not leave in order.
                if !second.isShared { error.isShared = false }
            }
            throw error
        }
    }

    /// Whether every number of the state is finite, on all ranks. Collective.
    private func isSound() throws(RunError) -> Bool {
        let isFinite = replica.savedState.allSatisfy { $0.nonFinite == nil }
        return try world.communicator.gather(isFinite).allSatisfy(\.self)
    }

    /// Fills the state from a checkpoint, whatever the layout of the run that saved it. Collective.
    func resume(from checkpoint: CheckpointReader, console: Console) throws(RunError) {
        let progress = checkpoint.progress
        let updates = try restore(from: checkpoint, console)
        try communicating { () throws(CommunicationError) in
            try replica.restore(updates: updates)
        }
        try warnOfMoments(checkpoint, console)
        samples = progress.samples
        restoredUpdates = updates
        steps = TrainingSteps(
            configuration, world: world, replica: replica, source: source, step: progress.step,
            lossScale: try lossScale(of: checkpoint, console))
    }

    /// Fills weights and moments; returns the updates that the moments have seen.
    ///
    /// Another optimizer than the checkpoint's keeps the moments that both name where it has no others;
    /// else its moments and its count of updates start at zero: AdamW's correction of their bias would be
    /// wrong for moments of different ages. Collective.
    private func restore(
        from checkpoint: CheckpointReader, _ console: Console
    ) throws(RunError) -> Int {
        let updates = checkpoint.progress.optimizerUpdates
        let saved = try checkpoint.configuration()
        let (old, new) = (saved.optimizer.name, configuration.optimizer.name)
        guard old != new else {
            do throws(CheckpointError) {
                try checkpoint.restore(into: replica.state, communicator: world.communicator)
            } catch {
                throw RunError(error)
            }
            return updates
        }
        let names = configuration.makeOptimizer().momentNames
        let keeps = Set(names).isSubset(of: saved.makeOptimizer().momentNames)
        let state = replica.state.filter { keeps || !$0.name.hasPrefix("optimizer.") }
        try world.communicator.together(world.placement.hostName) { () throws(RunError) in
            do throws(CheckpointError) {
                try checkpoint.restoreModel(into: state)
            } catch {
                throw RunError(error)
            }
        }
        console.note(
            "resume: \(old.rawValue) becomes \(new.rawValue): "
                + (keeps
                    ? "\(names.joined(separator: ", ")) is kept"
                    : "\(names.joined(separator: ", ")) and the count of updates start at zero"))
        return keeps ? updates : 0
    }

    /// A moment that is not finite takes its weight out of the training, and no loss shows it. Collective.
    private func warnOfMoments(
        _ checkpoint: CheckpointReader, _ console: Console
    ) throws(RunError) {
        var mine = ""
        for tensor in replica.state where tensor.name.hasPrefix("optimizer.") && mine.isEmpty {
            guard let (element, value) = tensor.nonFinite else { continue }
            mine = "\(tensor.name): expected finite numbers, found \(value) at element \(element)"
        }
        let found = try world.communicator.gather(mine).first { !$0.isEmpty }
        guard let found else { return }
        console.note(
            "warning: \(checkpoint.path): \(found); its weight no longer learns: go on from an earlier "
                + "checkpoint, if there is one")
    }

    /// The dynamic scale as it was saved; nil, which starts anew, where there is none or it is not asked for.
    private func lossScale(
        of checkpoint: CheckpointReader, _ console: Console
    ) throws(RunError) -> LossScale? {
        guard configuration.precision.lossScale == .dynamic else { return nil }
        guard let saved = checkpoint.progress.lossScale else {
            console.note(
                "resume: the checkpoint has no loss scale; the dynamic one starts at "
                    + "\(LossScale.start)")
            return nil
        }
        guard
            let scale = LossScale(
                savedScale: saved.scale, goodSteps: saved.goodSteps, hysteresis: saved.hysteresis,
                lostSteps: saved.lostSteps)
        else {
            throw RunError(
                .checkpoint,
                "\(checkpoint.path): loss_scale: expected a power of two up to "
                    + "\(LossScale.limit), good_steps below \(LossScale.growthInterval), "
                    + "hysteresis from 1 to \(LossScale.tolerance) and lost_steps below "
                    + "\(LossScale.patience), of a scale of 1 alone, found \(saved.scale), "
                    + "\(saved.goodSteps), \(saved.hysteresis) and \(saved.lostSteps)",
                isShared: true)
        }
        return scale
    }

    // MARK: Parts of a step

    /// The next step and what it tells. Collective.
    private func trainStep(
        _ batches: BatchPrefetcher, _ checkpoints: RunCheckpoints
    ) throws(RunError) -> (row: MetricsRow, communicationShare: Double, outcome: StepOutcome) {
        let span = Trace.begin(.step, "step")
        defer { span.end() }
        let clock = ContinuousClock.now
        let waited = world.communicator.secondsWaited
        let outcome = try steps.take(
            targets: source.targetWeight(position: samples), signal: StopSignal.number,
            save: checkpoints.status
        ) { () throws(RunError) in
            do throws(DatasetError) {
                return try batches.next()
            } catch {
                throw RunError(error)
            }
        }
        samples += configuration.batch.sequences

        let seconds = (ContinuousClock.now - clock).inSeconds
        let row = MetricsRow(
            step: step, loss: Float(outcome.loss), learningRate: outcome.learningRate,
            gradientNorm: outcome.gradientNorm,
            lossScale: steps.lossScale.policy == .none ? nil : outcome.lossScale,
            tokensPerSecond: Double(configuration.positionsOfStep) / seconds, seconds: seconds,
            isSkipped: outcome.isSkipped)
        let share = (world.communicator.secondsWaited - waited) / seconds
        return (row, share, outcome)
    }

    private func append(_ row: MetricsRow, to metrics: MetricsFile?, _ console: Console) {
        guard let failure = metrics?.append(row) else { return }
        console.note(
            "warning: step \(step): \(failure.message); rows are held until the disk takes them")
    }

    private func isDue(_ interval: Int) -> Bool { interval > 0 && step % interval == 0 }

    /// Begins to save the state; not where the newest checkpoint has every update of it, unless the run ends as
    /// planned: so no skipped steps push out what is good. Collective.
    private func save(
        to checkpoints: RunCheckpoints, after metrics: MetricsFile?, _ console: Console,
        isLast: Bool
    ) throws(RunError) {
        guard isLast || !checkpoints.holds(updates: replica.updates) else {
            return console.note(
                "checkpoint of step \(step): not needed: no update since the last one")
        }
        let span = Trace.begin(.checkpoint, "checkpoint")
        defer { span.end() }
        let progress = TrainingProgress(
            step: step, optimizerUpdates: replica.updates,
            samples: samples, lossScale: savedLossScale, identity: identity)
        // Rows up to it are durable before the checkpoint is; where they cannot be, that is
        // said with the next row, and costs no checkpoint.
        try checkpoints.save(replica.savedState, progress: progress, isLast: isLast) {
            metrics?.synchronize()
        }
    }

    /// What a resumed run needs of the scale; the configuration has the other policies.
    private var savedLossScale: TrainingProgress.LossScale? {
        let scale = steps.lossScale
        guard scale.policy == .dynamic else { return nil }
        return .init(
            scale: scale.scale, goodSteps: scale.goodSteps, hysteresis: scale.hysteresis,
            lostSteps: min(scale.lostSteps, LossScale.patience - 1))
    }

    private func openMetrics() throws(RunError) -> MetricsFile? {
        try world.communicator.together(world.placement.hostName) { () throws(RunError) in
            world.isFirst
                ? try MetricsFile(directory: configuration.run.directory, keeping: step) : nil
        }
    }
}

extension Duration {
    var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
