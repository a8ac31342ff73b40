// `murmur train`: from a configuration to a finished run directory. Reads top to bottom; everything here
// happens on every rank.

import Checkpointing
import Communication
import Datasets
import Foundation
import Kernels
import Models
import Parallelism

/// What a person asks of a training run beyond its configuration.
public struct TrainOptions: Sendable {
    /// Go on from the newest sound checkpoint of the run directory.
    public var resume = false
    /// Not from an older one where the newest is unusable.
    public var newestOnly = false
    /// Where there are metrics and no checkpoint: puts them aside and starts at step 0.
    public var restart = false
    /// Save and leave when so many steps are complete.
    public var stopAt: Int?
    /// Keys that may differ from the checkpoint's configuration.
    public var overrides: [String] = []
    /// What started this process; nil where a person did.
    public var launcher: Launcher?

    public init(
        resume: Bool = false, newestOnly: Bool = false, restart: Bool = false, stopAt: Int? = nil,
        overrides: [String] = [], launcher: Launcher? = nil
    ) {
        (self.resume, self.newestOnly, self.restart) = (resume, newestOnly, restart)
        (self.stopAt, self.overrides, self.launcher) = (stopAt, overrides, launcher)
    }
}

/// Trains. Collective over the world; throws the same error on every rank.
public func train(
    _ configuration: RunConfiguration, options: TrainOptions, world: World
) throws(RunError) {
    let (communicator, host) = (world.communicator, world.placement.hostName)
    let console = Console(isActive: world.isFirst)
    for warning in try checkLayout(configuration, world: world) {
        console.note("warning: \(warning)")
    }
    if let warning = configuration.decayWarning(until: options.stopAt) {
        console.note("warning: \(warning)")
    }
    try configuration.startThreads(world)

    // The run directory: an earlier run is never overwritten, and no other run writes here meanwhile.
    let lock = try communicator.together(host) { () throws(RunError) in
        world.isFirst ? try RunLock(directory: configuration.run.directory) : nil
    }
    defer { withExtendedLifetime(lock) {} }
    if let warning = lock?.warning { console.note("warning: \(warning)") }
    try SharedFolder.require(configuration.run.directory, world: world)
    let checkpoint = try communicator.patiently(on: "verifying a checkpoint") {
        () throws(RunError) in
        try openRunDirectory(configuration, options: options, world: world)
    }
    for warning in checkpoint?.warnings ?? [] { console.note("warning: passed over: \(warning)") }
    var configuration = configuration
    let saved = try checkpoint.map { (found) throws(RunError) in
        let step = found.reader.progress.step
        configuration = configuration.adoptingMixture(
            of: try found.reader.configuration(), step: step)
        let saved = try checkResume(found.reader, configuration, options, console)
        do throws(ConfigurationError) {
            configuration = try configuration.changingMixture(
                of: saved, step: step, samples: found.reader.progress.samples)
        } catch {
            throw RunError(.usage, problems: error.lines)
        }
        return saved
    }

    // Data: the first rank of a host to come makes shards where there are none; the others wait for it.
    let dataset = try communicator.together(host, on: "opening data") { () throws(RunError) in
        try configuration.openDataset()
    }
    let symbols = try configuration.symbols(ofData: dataset.vocabulary)
    let (source, evaluation) = try communicator.together(host, on: "checking data") {
        () throws(RunError) in
        do throws(DatasetError) {
            let batches = try configuration.trainingBatches(of: dataset)
            try dataset.verify()
            let windows = try configuration.evaluationBatches(of: dataset)
            return (batches, windows)
        } catch {
            throw RunError(error)
        }
    }
    let identity = configuration.identity(
        of: dataset, run: try runName(world, resumed: checkpoint?.reader))
    if let saved, let reader = checkpoint?.reader {
        try checkTokens(
            of: reader, saved, against: identity, configuration, options,
            vocabulary: dataset.vocabulary.count, console)
    }
    try world.requireEqual(identity.digests)

    // Model and state.
    let model = configuration.makeModel(symbols: symbols)
    let plan = try plan(configuration, vocabulary: symbols, world: world)
    if !plan.copiesState {
        let reason = configuration.checkpoint.copy == .auto ? ", which does not fit" : ""
        console.note("checkpoints: no copy of the state\(reason): \(Plan.streaming)")
    }
    let replica = try configuration.makeReplica(of: model, world: world)
    let trainer = Trainer(
        configuration, world: world, replica: replica, source: source, evaluation: evaluation,
        identity: identity, copiesState: plan.copiesState)
    if let reader = checkpoint?.reader {
        try communicator.patiently(on: "restoring \(reader.path)") { () throws(RunError) in
            try trainer.resume(from: reader, console: console)
        }
    } else {
        try communicator.patiently(on: "making the model") { () throws(RunError) in
            try communicating { () throws(CommunicationError) in
                try replica.initialize(seed: configuration.run.seed)
            }
        }
    }
    try writeResolvedConfiguration(configuration, world: world)
    let peak = try measuredPeak(world)
    console.note(
        describe(
            configuration, model, dataset, replica.mesh, resumedAt: checkpoint?.reader.progress.step
        ))
    if replica.mesh.shape.data > 1 {
        console.note("gradients and weights go through \(replica.mesh.data.path)")
    }
    let last = min(configuration.run.steps, options.stopAt ?? .max)
    guard trainer.step < last else {
        return console.note("nothing to do: step \(trainer.step) of \(last) is complete")
    }
    if world.isFirst,
        let warning = DiskRoom(configuration, model, steps: last - trainer.step).warning
    {
        console.note("warning: \(warning)")
    }
    if let launcher = options.launcher { console.note(launcher.stopAdvice) }
    do throws(RunError) {
        try trainer.run(
            until: last,
            console: Console(isActive: world.isFirst, flopsPerToken: plan.flopsPerToken, peak: peak)
        )
    } catch {
        throw error.kind == .deadline ? error.located(step: trainer.step) : error
    }
}

// MARK: Before the first step

/// Checks the number of ranks and the processor; returns warnings. Collective.
func checkLayout(
    _ configuration: RunConfiguration, world: World, readsData: Bool = true
) throws(RunError) -> [String] {
    try world.communicator.together(world.placement.hostName) { () throws(RunError) in
        try checkMachine()
        do throws(ConfigurationError) {
            return try configuration.check(ranks: world.size, readsData: readsData)
        } catch {
            throw RunError(error)
        }
    }
}

/// Whether this process can run its kernels here, with the instructions that its environment names.
func checkMachine() throws(RunError) {
    let lacking = InstructionSet.lacking
    guard lacking.isEmpty else {
        throw RunError(
            .usage,
            "processor: expected \(lacking.joined(separator: ", ")), which all kernels use, found "
                + "none on \(ProcessInfo.processInfo.hostName)")
    }
    do throws(InstructionChoiceError) {
        try InstructionSet.checkChoice()
    } catch {
        throw RunError(.usage, error.message)
    }
}

extension RunConfiguration {
    /// As many threads as configured, or as this rank's share of its host has room for. Collective.
    func startThreads(_ world: World) throws(RunError) {
        let share = try world.processorShare()
        let count = run.threads ?? share.threads
        Threads.start(count, ownProcessors: share.holds(threads: count))
    }

    /// What identifies a run and what it was made of.
    func identity(of dataset: RunData, run: String) -> TrainingProgress.Identity {
        return TrainingProgress.Identity(
            run: run, configuration: yaml, configurationDigest: ContentDigest.hexadecimal(yaml),
            tokenizer: dataset.vocabulary.json,
            tokenizerDigest: dataset.vocabulary.digest,
            datasetDigest: dataset.fingerprint(readsDocuments: data.packing == .documents),
            build: ProgramIdentity.build, blas: ProgramIdentity.blas)
    }
}

/// The name of the run that goes on, or one that no other run has: the first rank's, on all. Collective.
private func runName(
    _ world: World, resumed checkpoint: CheckpointReader?
) throws(RunError) -> String {
    if let checkpoint { return checkpoint.progress.identity.run }
    return try world.communicator.gather(UUID().uuidString.lowercased())[0]
}

extension TrainingProgress.Identity {
    /// What must be the same on every rank and is known only when the data is open; the rest was compared
    /// when the ranks met.
    fileprivate var digests: [SharedValue] {
        [SharedValue("tokenizer", tokenizerDigest), SharedValue("dataset", datasetDigest)]
    }
}

/// Compares the configuration that a checkpoint was saved with to this run's, before anything is made of
/// either; returns the saved one.
private func checkResume(
    _ checkpoint: CheckpointReader, _ configuration: RunConfiguration, _ options: TrainOptions,
    _ console: Console
) throws(RunError) -> RunConfiguration {
    let saved = try checkpoint.configuration()
    let allowed: [ConfigurationDifference]
    do throws(ConfigurationError) {
        allowed = try configuration.checkResume(from: saved, overrides: options.overrides)
    } catch {
        // Another model or another tokenizer is a checkpoint that this run cannot use.
        let isModel = configuration.differences(from: saved).contains { $0.rule == .never }
        throw RunError(isModel ? .checkpoint : .usage, problems: error.lines)
    }
    for difference in allowed {
        console.note(
            "resume: \(difference.key) changes from \(difference.saved) to \(difference.given)")
    }
    let names = (configuration.data.sourceNames, saved.data.sourceNames)
    if names.0 != names.1 || configuration.run.seed != saved.run.seed {
        console.note(
            "warning: \(names.0 != names.1 ? "data.sources" : "run.seed") decides the order of the samples, "
                + "which is another one now: in this epoch some come again, and some do not come")
    }
    return saved
}

/// Compares the tokens that a checkpoint was trained on with this run's, and the programs.
private func checkTokens(
    of checkpoint: CheckpointReader, _ saved: RunConfiguration,
    against identity: TrainingProgress.Identity, _ configuration: RunConfiguration,
    _ options: TrainOptions, vocabulary: Int, _ console: Console
) throws(RunError) {
    let old = checkpoint.progress.identity
    guard old.tokenizerDigest == identity.tokenizerDigest else {
        throw RunError(
            .checkpoint,
            "\(checkpoint.path): tokenizer: expected \(old.tokenizerDigest) as it was saved, "
                + "found \(identity.tokenizerDigest)")
    }
    // `auto` is the tokenizer's, which is the same.
    let (was, given) = (
        saved.model.shape.vocabulary ?? vocabulary,
        configuration.model.shape.vocabulary ?? vocabulary
    )
    guard was == given else {
        throw RunError(
            .checkpoint,
            "configuration: model.vocabulary: expected \(was) as the checkpoint has it, found "
                + "\(given); a run keeps its model and its tokens; start a new run directory")
    }
    if old.datasetDigest != identity.datasetDigest {
        guard options.overrides.contains(where: { $0 == "data" || $0.hasPrefix("data.") }) else {
            throw RunError(
                .checkpoint,
                "\(checkpoint.path): data: expected \(old.datasetDigest) as it was saved, found "
                    + "\(identity.datasetDigest); add --override data to change it on purpose")
        }
        console.note(
            "resume: data change from \(old.datasetDigest) to \(identity.datasetDigest); in this epoch some "
                + "samples may come again, and some not at all")
    }
    if old.build != identity.build {
        console.note(
            "warning: build was \(old.build), is \(identity.build): the bits may differ from an "
                + "undisturbed run")
    }
}

/// The plan of this run, which has no copy of the state where that does not fit on any one of the hosts. Throws where
/// the run does not fit at all. Collective.
private func plan(
    _ configuration: RunConfiguration, vocabulary: Int, world: World
) throws(RunError) -> Plan {
    let (limit, ranksHere) = (MemoryLimit.current, world.placement.localSize)
    let mine = Plan(
        configuration, vocabulary: vocabulary, ranks: world.size, threads: Threads.count,
        ranksHere: ranksHere, limit: limit)
    let copiesState = try world.communicator.gather(mine.copiesState).allSatisfy { $0 }
    return try world.communicator.together(world.placement.hostName) { () throws(RunError) in
        let plan =
            mine.copiesState == copiesState
            ? mine
            : Plan(
                configuration, vocabulary: vocabulary, ranks: world.size, threads: Threads.count,
                copiesState: copiesState)
        try plan.requireMemory(ranksHere: ranksHere, limit: limit)
        return plan
    }
}

private func writeResolvedConfiguration(
    _ configuration: RunConfiguration, world: World
) throws(RunError) {
    try world.communicator.together(world.placement.hostName) { () throws(RunError) in
        guard world.isFirst else { return }
        let path = configuration.run.directory + "/configuration.yaml"
        try write(configuration.yaml, to: path)
    }
}

private func describe(
    _ configuration: RunConfiguration, _ model: any Model, _ dataset: RunData, _ mesh: Mesh,
    resumedAt step: Int?
) -> String {
    let tokens = configuration.positionsOfStep
    let shape = mesh.shape
    let layout =
        shape.tensor > 1
        ? "\(shape.data) × \(shape.tensor) ranks (data × tensor)"
        : "\(shape.data) \(shape.data == 1 ? "rank" : "ranks")"
    let start = step.map { "resuming at step \($0)" } ?? "starting at step 0"
    return """
        \(configuration.run.directory): \(model.parameterCount) parameters, \
        \(dataset.summary), \
        \(tokens) tokens a step; \(layout) of \
        \(Threads.count) \(Threads.count == 1 ? "thread" : "threads"); \(start)
        """
}
