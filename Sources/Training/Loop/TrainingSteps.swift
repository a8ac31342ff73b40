// One optimizer step after another, as a training run and a benchmark take them alike.

import Checkpointing
import Communication
import Datasets
import Foundation
import Kernels
import Models
import Optimizers
import Parallelism
import Tensors

/// What a step came to; the same on every rank.
package struct StepOutcome: Sendable {
    /// Mean over the step's targets, nats.
    package let loss: Double
    /// N, the weight of the step's targets over all ranks.
    package let targets: Double
    package let learningRate: Double
    /// Before clipping, of the loss as it is without its scale.
    package let gradientNorm: Double
    /// The factor of the loss that the step was taken with.
    package let lossScale: Int
    /// Whether a loss or a gradient was not finite, and weights and moments stayed as they were.
    package let isSkipped: Bool
    /// The highest signal that any rank received; 0: none.
    package let signal: Int32
    /// How far each rank is with the save that is under way.
    package let saves: [SaveStatus]
    /// What ends the run: set in the last of too many bad steps in a row.
    package let divergence: RunError?
}

/// A rank's part in the steps of a run: forward and backward passes, the agreement, the update.
package struct TrainingSteps {
    private let configuration: RunConfiguration
    private let world: World
    private let replica: Replica
    private let schedule: Optimizers.Schedule
    private let groups: [Range<Int>]
    private let source: any BatchSource

    /// Completed steps, skipped ones included.
    package private(set) var step: Int
    package private(set) var lossScale: LossScale

    package init(
        _ configuration: RunConfiguration, world: World, replica: Replica,
        source: any BatchSource, step: Int = 0, lossScale: LossScale? = nil
    ) {
        (self.configuration, self.world, self.replica) = (configuration, world, replica)
        self.source = source
        (self.step, self.lossScale) = (step, lossScale ?? configuration.makeLossScale())
        schedule = configuration.makeSchedule()
        groups = microBatchGroups(
            count: configuration.batch.microBatches, groups: configuration.numerics.groups,
            rank: replica.mesh.dataRank, ranks: replica.mesh.shape.data)
    }

    /// The micro-batches of a step that are this rank's.
    package var microBatches: Range<Int> { groups.first!.lowerBound..<groups.last!.upperBound }

    /// Takes the next step: all ranks update, or all skip it where a loss or a gradient is not finite on any.
    /// Collective over the world.
    ///
    /// - Parameters:
    ///   - targets: N, the weight of the step's targets over all ranks; nil: the ranks read the step's batches and add
    ///     it up.
    ///   - signal: a signal that this rank has received by the end of its passes; 0: none.
    ///   - save: how far this rank is, by then, with the save that is under way.
    ///   - failure: what this rank must end the run with.
    ///   - next: this rank's next micro-batch, in order. Where it throws, the rank takes part with
    ///     batches that count nothing, so that no other waits for it, and the step ends in the error.
    package mutating func take(
        targets known: Double?, signal: @autoclosure () -> Int32 = 0,
        save: @autoclosure () -> SaveStatus = .none, failure: RunError? = nil,
        next: () throws(RunError) -> Batch
    ) throws(RunError) -> StepOutcome {
        // Gradients are reduced while the last backward pass runs.
        var failure = failure
        func read() throws(RunError) -> Batch {
            var batch: Batch?
            do throws(RunError) { batch = try next() } catch { failure = failure ?? error }
            // The ranks of one copy of the model go through the same tokens.
            return try replica.mesh.whereAllHave(batch)
                ?? source.blank(rows: configuration.batch.microBatch)
        }
        var ahead: [Batch] = []
        let targets: Double
        if let known {
            targets = known
        } else {
            for _ in microBatches { ahead.append(try read()) }
            let sum = try sum(ahead.map(\.targetWeight))
            // A step may have no target at all, of conversations whose answers were cut off: its gradient is 0.
            targets = sum > 0 ? sum : 1
        }
        var position = 0
        let scale = Double(lossScale.scale)
        replica.inspectsGradients = lossScale.isLastChance
        let pass = try replica.accumulate(
            groups, seed: configuration.run.seed, step: step,
            scale: Float(scale / targets), inspects: lossScale.isLastChance
        ) { () throws(RunError) in
            defer { position += 1 }
            return ahead.isEmpty ? try read() : ahead[position]
        }

        // Loss, gradient norm, errors, signals and findings, agreed at once.
        let record = StepRecord(
            error: failure?.exitCode ?? 0, signal: signal(), save: save(),
            finding: pass.finding ?? replica.nonFiniteGradient.map(NonFinite.init),
            losses: pass.losses)
        let agreement = try communicating(step: step) { () throws(CommunicationError) in
            try replica.agree(on: record.values)
        }
        let records = agreement.records.map { StepRecord(values: $0) }
        if records.contains(where: { $0.error != 0 }) {
            try world.communicator.together(world.placement.hostName) { () throws(RunError) in
                if let failure { throw failure.located(step: step) }
            }
        }

        return try conclude(records, agreement, targets: targets)
    }

    /// The sum of the weights of all micro-batches, in their order whatever the layout. Collective.
    private func sum(_ weights: [Double]) throws(RunError) -> Double {
        let text = weights.map { String($0.bitPattern) }.joined(separator: " ")
        let all = try world.communicator.gather(text)
        return onceEach(all).flatMap { $0.split(separator: " ") }
            .reduce(0) { $0 + Double(bitPattern: UInt64($1) ?? 0) }
    }

    /// Updates or skips, and takes note of which. Collective.
    private mutating func conclude(
        _ records: [StepRecord], _ agreement: StepAgreement, targets: Double
    ) throws(RunError) -> StepOutcome {
        // A power of two is divided by exactly: the update has the bits of an unscaled one.
        let scale = Double(lossScale.scale)
        let norm = agreement.gradientNorm / scale
        let rate = schedule.learningRate(at: step)
        let clip = GradientNorm.clipFactor(norm: norm, limit: configuration.optimizer.clipNorm)
        let factor = Float(clip / scale)
        let isGood = agreement.canEnter(factor: factor) && records.allSatisfy(\.isFinite)
        if isGood {
            try communicating(step: step) { () throws(CommunicationError) in
                try replica.update(learningRate: rate, gradientScale: factor)
            }
        }
        step += 1
        lossScale.update(isFinite: isGood)
        let divergence =
            lossScale.hasDiverged
            ? divergence(records.map(\.finding), agreement) : nil
        return StepOutcome(
            loss: onceEach(records).flatMap(\.losses).reduce(0, +) / targets, targets: targets,
            learningRate: rate,
            gradientNorm: norm, lossScale: Int(scale), isSkipped: !isGood,
            signal: records.map { $0.signal }.max() ?? 0, saves: records.map(\.save),
            divergence: divergence)
    }

    /// What ranks tell of their micro-batches, in the order of these: the ranks that hold one copy of the model all
    /// have those of that copy.
    private func onceEach<Told>(_ told: [Told]) -> [Told] {
        let shape = replica.mesh.shape
        return told.indices.filter { shape.tensorRank(of: $0) == 0 }.map { told[$0] }
    }

    /// What ends the run on all ranks, naming what was found nearest to the cause and the rank that found
    /// it. Collective.
    private func divergence(_ findings: [NonFinite?], _ agreement: StepAgreement) -> RunError {
        let scale = lossScale.policy == .none ? "" : " with the loss scale at \(lossScale.scale)"
        func error(_ what: String) -> RunError {
            RunError(
                .divergence,
                "\(what) in \(LossScale.patience) steps in a row\(scale); \(divergenceHint)",
                step: step, isShared: true)
        }
        let found = findings.enumerated().compactMap { rank, finding in finding.map { (rank, $0) } }
        guard let (rank, nearest) = found.min(by: { $0.1.place < $1.1.place }) else {
            // What each rank has is finite; only the sum is not, or its squares.
            let found =
                agreement.worstBlockNorm.isFinite
                ? "expected numbers whose squares Float32 holds, below 1.8e19, found a norm of "
                    + String(format: "%.2g", agreement.worstBlockNorm / Double(lossScale.scale))
                : "expected finite numbers, found an overflow"
            return error(
                "gradient of \(agreement.worstParameter ?? "all parameters"), summed over the ranks: "
                    + found)
        }
        let cause = error(nearest.description(names: replica.model.parameters.map(\.name)))
        do throws(RunError) {
            try world.communicator.together(world.placement.hostName) { () throws(RunError) in
                if world.rank == rank { throw cause }
            }
        } catch {
            return error
        }
        return cause
    }

    private var divergenceHint: String {
        let clip = configuration.optimizer.clipNorm == 0 ? "set optimizer.clip_norm, " : ""
        let general =
            "\(clip)lower optimizer.learning_rate, or go on from an earlier checkpoint"
        return switch lossScale.policy {
        case .dynamic: general
        case .static where lossScale.scale > 1: "lower precision.static_scale; \(general)"
        case .static: general
        case .none:
            configuration.precision.storage == .float16
                ? "set precision.loss_scale to dynamic; \(general)" : general
        }
    }
}

/// What ranks tell each other at the end of a step.
private struct StepRecord {
    /// Exit code of an error that this rank met; 0: none.
    var error: Int32
    /// Signal that this rank received; 0: none.
    var signal: Int32
    /// Its part of the save that is under way.
    var save: SaveStatus
    /// What this rank found not to be finite, if it looked.
    var finding: NonFinite?
    /// Summed losses of its micro-batches.
    var losses: [Double]

    var isFinite: Bool { losses.allSatisfy(\.isFinite) }

    init(
        error: Int32, signal: Int32, save: SaveStatus, finding: NonFinite?, losses: [Double]
    ) {
        (self.error, self.signal, self.save) = (error, signal, save)
        (self.finding, self.losses) = (finding, losses)
    }

    init(values: [Double]) {
        let losses = 3 + NonFinite.valueCount
        self.init(
            error: Int32(values[0]), signal: Int32(values[1]),
            save: SaveStatus(rawValue: Int(values[2])) ?? .none,
            finding: NonFinite(values: Array(values[3..<losses])),
            losses: Array(values[losses...]))
    }

    var values: [Double] {
        [Double(error), Double(signal), Double(save.rawValue)] + NonFinite.values(of: finding)
            + losses
    }
}
