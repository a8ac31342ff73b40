// A small GPT that ranks as threads take through the steps of a run, with faults planted on the way.

import Communication
import Datasets
import Kernels
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import Training

/// A run of some steps, in this process.
struct StepRun: Sendable {
    /// In all: copies of the model, each held by `tensor` of them.
    var ranks = 1
    var tensor = 1
    var scattersTokens = false
    var seed: UInt64 = 1
    var storage = DType.float32
    var policy = LossScale.Policy.none
    var staticScale = LossScale.start
    /// 0: gradients enter the optimizer as they are.
    var clipNorm: Double = 1
    /// Changes working weights before the first step.
    var plantWeights: @Sendable (_ rank: Int, GPT) -> Void = { _, _ in }
    /// The weight of the first target of a micro-batch: rank, step.
    var targetWeight: @Sendable (_ rank: Int, _ step: Int) -> Float = { _, _ in 1 }
    /// What a rank meets in place of its last micro-batch of a step: rank, step.
    var dataError: @Sendable (_ rank: Int, _ step: Int) -> RunError? = { _, _ in nil }
    /// Whether nobody knows the weights of a step before its batches are read.
    var readsWeights = false
    /// Whether every rank is given the micro-batches of the first one.
    var repeatsBatches = false
    /// The dynamic scale to begin with.
    var start: LossScale?

    /// What one rank saw.
    struct Seen: Sendable {
        var outcomes: [StepOutcome] = []
        /// The scale after each step.
        var scales: [LossScale] = []
        /// This rank's part of weights and moments, before the first step and after each.
        var states: [[String: [UInt32]]] = []
        var updates: [Int] = []
        /// Completed steps.
        var step = 0
        var error: RunError?
    }

    /// Takes at most `count` steps, fewer where they end in an error; by rank.
    func take(_ count: Int) throws -> [Seen] {
        try InProcess.run(ranks: ranks) { communicator in
            let configuration = configuration
            let mesh = try Mesh(communicator, tensor: tensor)
            let model = model()
            let group = parallelize(model, on: mesh, scattersTokens: scattersTokens)
            let replica = try Replica(
                model, objective: CausalLanguageModelling(), optimizer: AdamW(), mesh: mesh,
                tensorGroup: group, bucketBytes: 4096,
                storage: storage)
            try replica.initialize(seed: seed)
            plantWeights(communicator.rank, model)
            var steps = TrainingSteps(
                configuration, world: World(communicator: communicator), replica: replica,
                source: source, lossScale: start)
            var seen = Seen()
            seen.states.append(bits(of: replica.state))
            do throws(RunError) {
                for _ in 0..<count {
                    let outcome = try step(&steps, rank: communicator.rank)
                    if let divergence = outcome.divergence { throw divergence }
                    seen.outcomes.append(outcome)
                    seen.scales.append(steps.lossScale)
                    seen.states.append(bits(of: replica.state))
                    seen.updates.append(replica.updates)
                }
            } catch {
                seen.error = error
            }
            seen.step = steps.step
            return seen
        }
    }

    // MARK: Parts

    private static let (vocabulary, context) = (61, 13)

    private var configuration: RunConfiguration {
        var configuration = RunConfiguration(
            run: .init(directory: "none", steps: 100),
            model: .init(layers: 2, heads: 4, width: 24, contextLength: StepRun.context),
            batch: .init(sequences: 8, microBatch: 2), optimizer: .init(learningRate: 1e-2))
        configuration.run.seed = seed
        configuration.optimizer.clipNorm = clipNorm
        configuration.precision.lossScale = policy
        configuration.precision.staticScale = staticScale
        return configuration
    }

    private func model() -> GPT {
        var shape = GPTConfiguration(
            vocabulary: StepRun.vocabulary, contextLength: StepRun.context, layers: 2, heads: 4,
            width: 24)
        shape.dropout = 0.1
        return GPT(shape, numerics: Numerics(slices: 4))
    }

    private var source: SyntheticBatches {
        SyntheticBatches(
            sampleLength: StepRun.context, vocabularySize: StepRun.vocabulary,
            layout: BatchLayout(sequences: 8, microBatch: 2), seed: seed)
    }

    private func step(
        _ steps: inout TrainingSteps, rank: Int
    ) throws(RunError) -> StepOutcome {
        let (number, position) = (steps.step, steps.step * 8)
        let last = steps.microBatches.upperBound - 1
        var microBatch = repeatsBatches ? 0 : steps.microBatches.lowerBound
        let known = readsWeights ? nil : source.targetWeight(position: position)
        return try steps.take(targets: known) {
            () throws(RunError) in
            defer { microBatch += 1 }
            if microBatch == last, let error = dataError(rank, number) { throw error }
            let batch: Batch
            do throws(DatasetError) {
                batch = try source.trainingBatch(position: position, microBatch: microBatch)
            } catch {
                throw RunError(error)
            }
            return Batch(
                fields: batch.fields,
                weights: [targetWeight(rank, number)] + batch.weights.dropFirst(),
                sequences: batch.sequences, firstSequence: batch.firstSequence)
        }
    }
}

private func bits(of state: [StateTensor]) -> [String: [UInt32]] {
    Dictionary(
        uniqueKeysWithValues: state.map { tensor in
            let bits = tensor.pieces.flatMap { piece in
                (0..<piece.buffer.count).map { piece.buffer.floats[$0].bitPattern }
            }
            return (tensor.name, bits)
        })
}

/// Sets one element, by its place in logical order, where it is here.
func set(_ element: Int, of name: String, in model: GPT, to value: Float) {
    guard let parameter = model.parameters.first(where: { $0.name == name }),
        let run = parameter.spec.runs.first(where: {
            ($0.logicalOffset..<$0.logicalOffset + $0.count).contains(element)
        })
    else {
        preconditionFailure("no element \(element) of \(name)")
    }
    let place = run.memoryOffset + element - run.logicalOffset
    guard parameter.heldRange.contains(place) else { return }
    let buffer = parameter.leaf.value.buffer
    let index = place - parameter.heldRange.lowerBound
    switch buffer.dtype {
    case .float16: buffer.halves[index] = Float16(value)
    case .bfloat16: buffer.brains[index] = BFloat16(value)
    default: buffer.floats[index] = value
    }
}
