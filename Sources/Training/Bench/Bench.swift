// `murmur bench`: training steps and what the machine can do at most, timed in turn in one run.

import Communication
import Datasets
import Foundation
import Kernels
import Models
import Optimizers
import Parallelism
import Tensors

#if canImport(Glibc)
    import Glibc
#endif

/// What one bench run found; the JSON keys are a contract.
public struct BenchResult: Sendable, Encodable {
    public var tokensPerSecond: Double
    public var modelFlopsPerSecond: Double
    /// What the kernels of this rank use, by its name in `MURMUR_INSTRUCTIONS`; nil on an architecture other than x86-64.
    public var instructions: String?
    /// Fused multiply-adds in registers, between the steps, on all threads of all ranks at once.
    public var peakFlopsPerSecond: Double
    /// Model FLOP/s over that peak.
    public var peakRatio: Double
    /// `cblas_sgemm` in the same moments; null where OpenBLAS's kernels are older than the processor.
    public var sgemmFlopsPerSecond: Figure
    /// Model FLOP/s over sgemm FLOP/s; null where that is.
    public var ratio: Figure
    /// Why figures are null; none where they are not.
    public var note: String?
    /// STREAM's triad after the steps, of all ranks at once.
    public var memoryBytesPerSecond: Double
    /// Of the largest rank, by the end of its first timed step: what is compared with the steps takes memory
    /// of its own later.
    public var peakRssBytes: Int
    /// The most that tensors held at once, on this rank.
    public var poolPeakBytes: Int
    /// Weights as the model reads them, in the storage type; on this rank, as the next four.
    public var workingWeightBytes: Int
    /// Float32 masters apart from those: none in Float32 storage.
    public var masterBytes: Int
    /// Of the optimizer, for the part of the weights that this rank updates.
    public var momentBytes: Int
    /// Flat Float32 buffers, one for each open level of the tree of groups.
    public var gradientBytes: Int
    /// The most that a step's passes hold at once beyond what stays from step to step: activations and
    /// their gradients.
    public var activationPeakBytes: Int
    /// Blocks of memory taken from the system since the first timed step, on the rank that took most:
    /// none. Counted are blocks of tensors and of the kernels' threads, not the small objects that the
    /// language keeps on its heap.
    public var steadyAllocations: Int
    /// Steps that were skipped because a loss or a gradient was not finite; no time is theirs.
    public var skippedSteps: Int
    /// Part of a step in which the training thread waits for communication.
    public var communicationShare: Double
    public var worldSize: Int
    /// Copies of the model.
    public var data: Int
    /// Ranks that hold one copy together.
    public var tensor: Int
    /// Of a rank.
    public var threads: Int
    public var stepSeconds: Double
    public var parameters: Int
    /// Wall time of the traced steps; `profile` sums to it. Both with `--profile` only.
    public var profileStepSeconds: Double?
    public var profile: [ProfileRow]?
    /// With `--saves` only.
    public var saves: SaveRates?

    public var json: String { get throws { try reportJSON } }
}

/// A figure that JSON names where there is none too, as null.
public struct Figure: Sendable, Encodable {
    public let value: Double?

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let value { try container.encode(value) } else { try container.encodeNil() }
    }
}

/// Times `steps` training steps on pseudo-random tokens after 2 that warm up, at most about 3 minutes.
/// A skipped step does less: it is counted and another one taken in its place.
/// Collective; times are each rank's own. `profiles`: traces some more steps and tells where their time goes;
/// `saves`: also saves checkpoints, and removes them.
public func bench(
    _ configuration: RunConfiguration, steps: Int, profiles: Bool = false, saves: Bool = false,
    world: World
) throws(RunError) -> BenchResult {
    _ = try checkLayout(configuration, world: world, readsData: false)
    try configuration.startThreads(world)
    let symbols = try configuration.symbols(ofData: nil)
    let model = configuration.makeModel(symbols: symbols)
    let replica = try configuration.makeReplica(of: model, world: world)
    try communicating { () throws(CommunicationError) in
        try replica.initialize(seed: configuration.run.seed)
    }
    let source = configuration.syntheticBatches(symbols: symbols)

    var taken = TrainingSteps(configuration, world: world, replica: replica, source: source)
    let start = ContinuousClock.now
    let times = try timeSteps(
        &taken, source, count: steps, until: profiles ? .profile : .end, start: start, world: world)
    var result = try assemble(configuration, replica, times, world: world)
    if saves { result.saves = try benchSaves(replica.savedState, configuration, world: world) }
    guard profiles else { return result }
    let left = secondsToTake - (ContinuousClock.now - start).inSeconds
    let room = Int(max(1, min(Double(tracedSteps), left / result.stepSeconds)))
    let (tracedSeconds, profile) = try traceSteps(world.communicator.gather(room)[0]) {
        () throws(RunError) in
        _ = try benchStep(&taken, source)
    }
    result.profileStepSeconds = tracedSeconds
    result.profile = profile.rows(peak: result.peakFlopsPerSecond / Double(world.size))
    return result
}

/// Why there is no rate of OpenBLAS's product.
private var olderKernels: String {
    "no ratio to sgemm: OpenBLAS uses \(BLAS.lag() ?? "older kernels on another rank")"
}

private let tracedSteps = 3
private let warmSteps = 2
/// Skipped steps that are made up for: more than a dynamic scale needs from its start to its floor.
private let skipsToMakeUp = 32
/// Of a bench, whose steps end before it; its last seconds go to starting and ending.
private let secondsToTake = 170.0

/// What comes after the timed steps.
private enum Aftermath {
    case end
    /// Traced steps.
    case profile

    var steps: Int { self == .end ? 0 : tracedSteps }
}

/// What the timed steps gave.
private struct StepTimes {
    var seconds: [Double] = []
    /// Parts of them that were waits for communication.
    var shares: [Double] = []
    /// The processors' peak, measured between the steps, FLOP/s.
    var peaks: [Double] = []
    /// OpenBLAS's product, measured after it, FLOP/s; none where it is no yardstick.
    var rates: [Double] = []
    /// What this process has held at most, before OpenBLAS took memory.
    var residentBytes = 0
    var skipped = 0
    /// When the first timed step began: memory that tensors held, and blocks taken from the system.
    var heldBytes = 0
    var allocations = 0
}

/// Blocks that tensors and the kernels' threads have taken from the system on this rank.
private var systemAllocations: Int {
    StoragePool.shared.counters.systemAllocations + Scratch.systemAllocations
}

/// Seconds of a step below which what runs between steps is felt in it.
private let shortStep = 0.25

/// Takes steps until `count` are timed, or time is up. Collective.
private func timeSteps(
    _ taken: inout TrainingSteps, _ source: any BatchSource, count: Int,
    until aftermath: Aftermath, start: ContinuousClock.Instant, world: World
) throws(RunError) -> StepTimes {
    var times = StepTimes()
    var warm = 0
    while times.seconds.count < count && times.skipped <= skipsToMakeUp {
        if warm == warmSteps && times.seconds.isEmpty {
            StoragePool.shared.resetPeak()
            times.heldBytes = StoragePool.shared.counters.liveBytes
            times.allocations = systemAllocations
        }
        let waited = world.communicator.secondsWaited
        let began = ContinuousClock.now
        let outcome = try benchStep(&taken, source)
        let elapsed = (ContinuousClock.now - began).inSeconds
        if outcome.isSkipped {
            times.skipped += 1
        } else if warm < warmSteps {
            warm += 1
        } else {
            times.seconds.append(elapsed)
            times.shares.append((world.communicator.secondsWaited - waited) / elapsed)
        }
        times.peaks.append(try measuredPeak(world))
        if !times.seconds.isEmpty {
            if times.residentBytes == 0 { times.residentBytes = peakResidentBytes() }
            if let rate = try measuredProductRate(world) { times.rates.append(rate) }
        }
        // All ranks leave together: the time is the first rank's.
        let now = ContinuousClock.now
        let next =
            (now - start).inSeconds + (now - began).inSeconds + Double(aftermath.steps) * elapsed
        let first = try world.communicator.gather(next)[0]
        if first > secondsToTake, !times.seconds.isEmpty { break }
        // The yardsticks have taken caches and processors from a small model: a step brings them back.
        if try world.communicator.gather(elapsed)[0] < shortStep {
            _ = try benchStep(&taken, source)
        }
    }
    guard !times.seconds.isEmpty else {
        throw RunError(
            .divergence,
            "bench: expected steps with finite losses and gradients, found \(times.skipped) that "
                + "were skipped", step: taken.step, isShared: true)
    }
    return times
}

/// The result without a profile. Collective.
private func assemble(
    _ configuration: RunConfiguration, _ replica: Replica, _ times: StepTimes,
    world: World
) throws(RunError) -> BenchResult {
    let stepSeconds = median(times.seconds)
    let tokens = Double(configuration.positionsOfStep)
    let work = TokenWork(configuration, vocabulary: try configuration.symbols(ofData: nil))
    let flops = work.flops * tokens / stepSeconds
    let limit = median(times.peaks)
    let rate = times.rates.isEmpty ? nil : median(times.rates)
    let peak = StoragePool.shared.counters.peakBytes
    let allocations = systemAllocations - times.allocations
    let memory = replica.memory
    return BenchResult(
        tokensPerSecond: tokens / stepSeconds, modelFlopsPerSecond: flops,
        instructions: InstructionSet.used?.rawValue,
        peakFlopsPerSecond: limit, peakRatio: flops / limit,
        sgemmFlopsPerSecond: Figure(value: rate), ratio: Figure(value: rate.map { flops / $0 }),
        note: rate == nil ? olderKernels : nil,
        memoryBytesPerSecond: try measuredBandwidth(world),
        peakRssBytes: try world.communicator.gather(times.residentBytes).max() ?? 0,
        poolPeakBytes: peak,
        workingWeightBytes: memory.working, masterBytes: memory.masters,
        momentBytes: memory.moments, gradientBytes: memory.gradients,
        activationPeakBytes: peak - times.heldBytes,
        steadyAllocations: try world.communicator.gather(allocations).max() ?? 0,
        skippedSteps: times.skipped, communicationShare: median(times.shares),
        worldSize: world.size, data: replica.mesh.shape.data, tensor: replica.mesh.shape.tensor,
        threads: Threads.count, stepSeconds: stepSeconds,
        parameters: replica.model.parameterCount)
}

/// Takes steps while spans are recorded. Collective.
private func traceSteps(
    _ count: Int, _ body: () throws(RunError) -> Void
) throws(RunError) -> (stepSeconds: Double, profile: Profile) {
    Trace.start()
    let began = ContinuousClock.now
    for _ in 0..<count { try body() }
    let elapsed = (ContinuousClock.now - began).inSeconds
    return (elapsed / Double(count), Profile(Trace.stop()))
}

/// The next step, as the trainer takes it. Collective.
private func benchStep(
    _ steps: inout TrainingSteps, _ source: any BatchSource
) throws(RunError) -> StepOutcome {
    let span = Trace.begin(.step, "step")
    defer { span.end() }
    let position = steps.step * source.layout.sequences
    var microBatch = steps.microBatches.lowerBound
    let outcome = try steps.take(targets: source.targetWeight(position: position)) {
        () throws(RunError) in
        defer { microBatch += 1 }
        do throws(DatasetError) {
            return try source.trainingBatch(position: position, microBatch: microBatch)
        } catch {
            throw RunError(error)
        }
    }
    if let divergence = outcome.divergence { throw divergence }
    return outcome
}

/// `VmHWM`. What `getrusage` tells is no less than the parent had when it started this process.
private func peakResidentBytes() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    let kibibytes = line?.split(separator: " ").compactMap { Int($0) }.first ?? 0
    return kibibytes * 1024
}

func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
