// Evaluation and generation: a checkpoint is enough, since it holds configuration and tokenizer.

import Checkpointing
import Communication
import Datasets
import Foundation
import Kernels
import Layers
import Models
import Parallelism
import Tensors

/// A trained model with what it was trained with.
public struct TrainedModel {
    public let model: any Model
    /// What its numbers mean.
    public let vocabulary: Vocabulary
    public let configuration: RunConfiguration
    /// Completed steps.
    public let step: Int
    /// Whether somebody has named a folder for tokens; the checkpoint's own is nobody's here.
    private let namesCache: Bool

    /// Why newer checkpoints of the run were passed over, one line each.
    public let passedOver: [String]

    /// Ranks that hold the model together with this one; nil: it is whole here.
    let group: TensorGroup?

    /// Loads the newest sound checkpoint of a run directory, or the checkpoint that `path` is.
    ///
    /// With a world, collective: all ranks take the same checkpoint, and throw the same error. Weights that are not
    /// finite are an error of the checkpoint.
    ///
    /// - Parameter isShared: whether the ranks hold the model together, as many as divide it; every further copy does
    ///   the same.
    public init(
        path: String, overrides: [String] = [], world: World? = nil, isShared: Bool = false
    ) throws(RunError) {
        guard let world else {
            try checkMachine()
            let found = try TrainedModel.find(path)
            let configuration = try TrainedModel.configuration(of: found.reader, overrides)
            Threads.start(configuration.run.threads ?? ProcessorShare(ranks: 1).threads)
            self = try TrainedModel(found, configuration, overrides, mesh: nil)
            return
        }
        let (communicator, host) = (world.communicator, world.placement.hostName)
        try communicator.together(host) { () throws(RunError) in try checkMachine() }
        let found = try communicator.patiently(on: "verifying a checkpoint") {
            () throws(RunError) in try TrainedModel.find(path, communicator)
        }
        let configuration = try communicator.together(host) { () throws(RunError) in
            try TrainedModel.configuration(
                of: found.reader, overrides, sharedBy: isShared ? world.size : 1)
        }
        try configuration.startThreads(world)
        let mesh = try communicating { () throws(CommunicationError) in
            try Mesh(communicator, tensor: configuration.parallelism.tensor)
        }
        self = try communicator.together(host, on: "loading \(found.reader.path)") {
            () throws(RunError) in
            try TrainedModel(found, configuration, overrides, mesh: mesh)
        }
    }

    /// A checkpoint's configuration, for as many of so many ranks as can hold its model together, however the run has
    /// split it.
    private static func configuration(
        of reader: CheckpointReader, _ overrides: [String], sharedBy ranks: Int = 1
    ) throws(RunError) -> RunConfiguration {
        var configuration = try reader.configuration(changedBy: overrides)
        configuration.parallelism.sequence = false
        let text = reader.progress.identity.tokenizer
        let symbols =
            ranks > 1 ? try? Vocabulary(json: text, name: "tokenizer.json") : nil
        for degree in (1...ranks).reversed() where ranks.isMultiple(of: degree) {
            configuration.parallelism.tensor = degree
            if degree == 1 { break }
            let isSound =
                (try? RunConfiguration.parse(yaml: configuration.yaml)) != nil
                && (try? configuration.symbols(ofData: symbols)) != nil
            if isSound { break }
        }
        return configuration
    }

    /// Throws the same on every rank. Collective over `communicator`, where there is one.
    private static func find(
        _ path: String, _ communicator: (any Communicator)? = nil
    ) throws(RunError) -> FoundCheckpoint {
        try checkpointingTogether { () throws(CheckpointError) in
            guard let found = try CheckpointReader.newest(in: path, communicator: communicator)
            else {
                throw CheckpointError(
                    .unusable,
                    "\(path): expected a checkpoint or the directory of a run, found none")
            }
            return found
        }
    }

    /// - Parameter mesh: of the ranks that hold it together; nil: there is one.
    private init(
        _ found: FoundCheckpoint, _ configuration: RunConfiguration, _ overrides: [String],
        mesh: Mesh?
    ) throws(RunError) {
        let reader = found.reader
        passedOver = found.warnings
        let identity = reader.progress.identity
        self.configuration = configuration
        do throws(DatasetError) {
            vocabulary = try Vocabulary(
                json: identity.tokenizer, name: "\(reader.path)/tokenizer.json")
        } catch {
            // A sound checkpoint has what was saved: another program's, where it was imported.
            throw RunError(
                .checkpoint,
                "\(error.message); its run was imported with a tokenizer that this version does not "
                    + "know")
        }
        step = reader.progress.step
        namesCache = overrides.contains { $0.hasPrefix("data.cache=") }
        model = configuration.makeModel(
            symbols: try configuration.symbols(ofData: vocabulary))
        group = mesh.flatMap { [model] in parallelize(model, on: $0) }
        let weights = model.parameters.map { (name: $0.name, shape: $0.spec.shape) }
        try checkpointing { () throws(CheckpointError) in try reader.requireModel(of: weights) }
        var state: [StateTensor] = []
        for parameter in model.parameters {
            let value = Tensor(uninitialized: parameter.leaf.shape)
            parameter.leaf.bind(value)
            state.append(
                StateTensor(
                    name: parameter.name, spec: parameter.spec,
                    pieces: [.init(range: parameter.heldRange, buffer: value.buffer)]))
        }
        try checkpointing { () throws(CheckpointError) in try reader.restoreModel(into: state) }
        try requireFinite("\(reader.path)")
        // A checkpoint holds masters; the run worked with them as they are stored.
        let storage = configuration.storageType
        guard storage != .float32 else { return }
        for parameter in model.parameters {
            parameter.leaf.bind(parameter.leaf.value.converted(to: storage))
        }
        try requireFinite("\(reader.path), stored as \(configuration.precision.storage.rawValue)")
    }

    /// Throws where a weight is infinite or not a number, naming its tensor and element.
    private func requireFinite(_ source: String) throws(RunError) {
        for parameter in model.parameters {
            guard let found = parameter.leaf.value.buffer.firstNonFinite else { continue }
            let number = found.value.isNaN ? "nan" : found.value > 0 ? "inf" : "-inf"
            throw RunError(
                .checkpoint,
                "\(source): tensor \(parameter.name): expected finite numbers, found \(number) at "
                    + "element \(parameter.logicalIndex(of: parameter.heldRange.lowerBound + found.index)); "
                    + "choose another checkpoint"
            )
        }
    }

    /// The loss over the whole validation split. Text that nobody has turned into tokens yet is, in a folder that is
    /// removed again. Collective over `world`.
    ///
    /// - Parameter positions: how far, where not over all of it: micro-batches from its start that have so many
    ///   positions.
    public func evaluate(
        world: World, positions limit: Int? = nil
    ) throws(RunError) -> EvaluationResult {
        let (configuration, vocabulary) = (configuration, vocabulary)
        let objective = configuration.makeObjective()
        // One name for all, so that the ranks of a host make it once.
        let name = try world.communicator.gather("murmur-evaluate-\(UUID().uuidString)")[0]
        let scratch = ScratchFolder(name: name)
        defer { withExtendedLifetime(scratch) {} }
        let source = try world.communicator.together(
            world.placement.hostName, on: "opening data"
        ) { () throws(RunError) in
            let dataset =
                try namesCache
                ? configuration.openDataset() : configuration.openDataset(makingIn: scratch)
            guard dataset.vocabulary.digest == vocabulary.digest else {
                throw RunError(
                    .data,
                    "data: expected \(dataset.vocabulary.words) \(vocabulary.digest), found "
                        + dataset.vocabulary.digest)
            }
            let batches: (any EvaluationSource)?
            do throws(DatasetError) {
                batches = try configuration.evaluationBatches(of: dataset)
            } catch {
                throw RunError(error)
            }
            guard let batches else {
                throw RunError(.data, "data: expected a validation split, found none")
            }
            guard let limit else { return batches }
            let width =
                configuration.evaluation.microBatch * configuration.model.shape.sample.positions
            return Beginning(of: batches, count: (limit - 1) / width + 1)
        }
        return try Training.evaluate(
            on: source, mesh: Mesh(data: world.communicator), host: world.placement.hostName,
            objective: objective
        ) { (input) throws(CommunicationError) in
            objective.sums(of: input, by: model).map(\.float64)
        }!  // Nobody asks it to stop.
    }

    /// What the objective calls a target.
    public var targetName: String { configuration.makeObjective().target }
}

/// The first batches of a split.
private struct Beginning: EvaluationSource {
    let whole: any EvaluationSource
    let batchCount: Int

    init(of whole: any EvaluationSource, count: Int) {
        (self.whole, batchCount) = (whole, min(count, whole.batchCount))
    }

    func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch {
        try whole.evaluationBatch(index)
    }
}

extension TrainedModel {
    /// The tokenizer, of a model of texts. Throws where its numbers mean something else.
    func tokenizer() throws(RunError) -> Tokenizer {
        guard case .tokens(let tokenizer) = vocabulary else {
            throw RunError(
                .usage,
                "model.family: expected one that reads texts, found "
                    + configuration.model.family.rawValue)
        }
        return tokenizer
    }
}

extension Vocabulary {
    /// For messages about a checkpoint's.
    fileprivate var words: String {
        switch self {
        case .tokens: "tokens of the checkpoint's tokenizer"
        case .classes: "the checkpoint's classes"
        }
    }
}
