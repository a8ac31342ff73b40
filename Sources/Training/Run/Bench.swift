// `murmur bench`: training steps and the machine's matrix product, timed in turn in one run.

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
    /// `cblas_sgemm` of this machine in the same run, all ranks at once.
    public var sgemmFlopsPerSecond: Double
    /// Model FLOP/s over sgemm FLOP/s.
    public var ratio: Double
    /// Of the largest rank.
    public var peakRssBytes: Int
    /// The most that tensors held at once, on this rank.
    public var poolPeakBytes: Int
    /// Weights as the model reads them, in the storage type; on this rank, as the next two.
    public var workingWeightBytes: Int
    /// Float32 masters apart from those: none in Float32 storage.
    public var masterBytes: Int
    /// The most that a step's passes hold at once beyond what stays from step to step: activations and
    /// their gradients.
    public var activationPeakBytes: Int
    /// Blocks of tensor memory that this rank took from the system in the timed steps: none.
    public var steadyAllocations: Int
    /// Part of a step in which the training thread waits for communication.
    public var communicationShare: Double
    public var worldSize: Int
    /// Of a rank.
    public var threads: Int
    public var stepSeconds: Double
    public var parameters: Int
    /// Wall time of the traced steps; `profile` sums to it. Both with `--profile` only.
    public var profileStepSeconds: Double?
    public var profile: [ProfileRow]?

    public var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.keyEncodingStrategy = .convertToSnakeCase
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }
}

/// Times `steps` training steps on pseudo-random tokens after 2 that warm up, at most about 3 minutes.
/// Collective; times are each rank's own. `profiles`: traces some more steps and tells where their time goes.
public func bench(
    _ configuration: RunConfiguration, steps: Int, profiles: Bool = false, world: World
) throws(RunError) -> BenchResult {
    _ = try checkLayout(configuration, world: world, readsData: false)
    configuration.startThreads(world)
    let model = try configuration.makeModel(vocabulary: nil)
    let replica = DataParallel(
        model, optimizer: configuration.makeOptimizer(), communicator: world.communicator,
        bucketBytes: configuration.parallelism.bucketBytes, storage: configuration.storageType,
        wire: configuration.wire)
    try communicating { () throws(CommunicationError) in
        try replica.initialize(seed: configuration.run.seed)
    }
    let source = SyntheticBatches(
        sampleLength: configuration.model.contextLength, vocabularySize: model.vocabularySize,
        layout: configuration.batchLayout, seed: configuration.run.seed)

    var taken = TrainingSteps(configuration, world: world, replica: replica)
    let clock = ContinuousClock()
    let start = clock.now
    var (seconds, shares, rates): ([Double], [Double], [Double]) = ([], [], [])
    var (warmAllocations, heldBytes) = (0, 0)
    for step in 0..<steps + 2 {
        if step == 2 {
            StoragePool.shared.resetPeak()
            let counters = StoragePool.shared.counters
            (warmAllocations, heldBytes) = (counters.systemAllocations, counters.liveBytes)
        }
        let waited = world.communicator.secondsWaited
        let began = clock.now
        try benchStep(&taken, source)
        let elapsed = (clock.now - began).inSeconds
        if step >= 2 {
            seconds.append(elapsed)
            shares.append((world.communicator.secondsWaited - waited) / elapsed)
        }
        rates.append(try measuredProductRate(world))
        // All ranks leave together: the time is the first rank's.
        let next = (clock.now - start).inSeconds + (clock.now - began).inSeconds
        if try world.communicator.gather(next)[0] > 170, !seconds.isEmpty { break }
    }
    let stepSeconds = median(seconds)
    let tokens = Double(configuration.batch.sequences * configuration.model.contextLength)
    let flops =
        configuration.flopsPerToken(parameters: model.parameterCount) * tokens / stepSeconds
    let rate = median(rates)
    var result = BenchResult(
        tokensPerSecond: tokens / stepSeconds, modelFlopsPerSecond: flops,
        sgemmFlopsPerSecond: rate, ratio: flops / rate,
        peakRssBytes: try world.communicator.gather(peakResidentBytes()).max() ?? 0,
        poolPeakBytes: StoragePool.shared.counters.peakBytes,
        workingWeightBytes: replica.memory.working, masterBytes: replica.memory.masters,
        activationPeakBytes: StoragePool.shared.counters.peakBytes - heldBytes,
        steadyAllocations: StoragePool.shared.counters.systemAllocations - warmAllocations,
        communicationShare: median(shares),
        worldSize: world.size, threads: Threads.count, stepSeconds: stepSeconds,
        parameters: model.parameterCount)
    guard profiles else { return result }
    let (tracedSeconds, profile) = try traceSteps(tracedSteps) { () throws(RunError) in
        try benchStep(&taken, source)
    }
    result.profileStepSeconds = tracedSeconds
    result.profile = profile.rows(productRate: rate / Double(world.size))
    return result
}

private let tracedSteps = 3

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
    _ steps: inout TrainingSteps<GPT>, _ source: SyntheticBatches
) throws(RunError) {
    let span = Trace.begin(.step, "step")
    defer { span.end() }
    let position = steps.step * source.layout.sequences
    var microBatch = steps.microBatches.lowerBound
    _ = try steps.take(targets: source.targetWeight(position: position)) { () throws(RunError) in
        defer { microBatch += 1 }
        do throws(DatasetError) {
            return try source.trainingBatch(position: position, microBatch: microBatch)
        } catch {
            throw RunError(error)
        }
    }
}

/// `VmHWM`. What `getrusage` tells is no less than the parent had when it started this process.
private func peakResidentBytes() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    let kibibytes = line?.split(separator: " ").compactMap { Int($0) }.first ?? 0
    return kibibytes * 1024
}

private func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
