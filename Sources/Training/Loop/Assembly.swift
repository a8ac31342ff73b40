// From a configuration to the things it describes.

import Checkpointing
import Communication
import Datasets
import Kernels
import Layers
import Models
import Optimizers
import Parallelism
import Tensors

extension RunConfiguration {
    /// Symbols of the model, or classes of images.
    ///
    /// - Parameter data: those of the data; what the configuration gives must hold them.
    func symbols(ofData vocabulary: Vocabulary?) throws(RunError) -> Int {
        let isText = model.shape.sample.isText
        let data = vocabulary?.count
        guard let size = symbolCount(ofData: vocabulary) else { throw symbolsMissing }
        if let data, size < data {
            let owner = isText ? "the tokenizer's" : "the data's"
            throw RunError(
                .usage, "\(symbolsKey): expected at least \(owner) \(data), found \(size)")
        }
        guard !isText || size >= parallelism.tensor else {
            throw RunError(
                .usage,
                "parallelism.tensor: expected at most the \(size) symbols of the vocabulary, found "
                    + "\(parallelism.tensor)")
        }
        if model.shape.objective == .maskedLanguageModelling, let data {
            let mask = objective.maskToken ?? vocabulary?.maskSymbol ?? data
            guard mask < size else {
                throw RunError(
                    .usage,
                    "objective.mask_token: expected one of the model's \(size) symbols, found \(mask)"
                        + (objective.maskToken == nil
                            ? ", the one after the tokenizer's; set it, or model.vocabulary" : ""))
            }
        }
        if case .pair(let pair) = model.shape.sample, let data {
            let marks = pair.marks(symbols: data, endOfText: vocabulary?.endSymbol)
            let named = [("start", marks.start), ("begin", marks.begin ?? 0), ("end", marks.end)]
            if let (key, symbol) = named.first(where: { $1 >= size }) {
                throw RunError(
                    .usage,
                    "model.\(key)_token: expected one of the model's \(size) symbols, found \(symbol)"
                        + (symbol == data
                            ? ", the one after the tokenizer's; set it, or model.vocabulary" : ""))
            }
        }
        return size
    }

    /// The same, unchecked; nil where nothing says.
    func symbolCount(ofData vocabulary: Vocabulary?) -> Int? {
        model.shape.symbols(
            ofData: vocabulary?.count, hasAdded: hasAddedSymbols(vocabulary))
    }

    /// Whether the data have what a model needs beside the symbols of texts: the mask, the end.
    private func hasAddedSymbols(_ vocabulary: Vocabulary?) -> Bool {
        switch model.shape.objective {
        case .sequenceToSequence: vocabulary?.endSymbol != nil
        default: vocabulary?.maskSymbol != nil
        }
    }

    /// Where a configuration says how many symbols, or classes, there are.
    private var symbolsKey: String {
        model.shape.sample.isText ? "model.vocabulary" : "model.classes"
    }

    var symbolsMissing: RunError {
        RunError(.usage, "\(symbolsKey): expected a size where there is no data, found none")
    }

    /// The model with so many symbols, which nothing has checked.
    package func makeModel(symbols: Int) -> any Models.Model {
        var shape = model.shape
        shape.vocabulary = symbols
        return shape.makeModel(Build(slices: numerics.slices, recompute: memory.recompute))
    }

    package func makeObjective() -> any Models.Objective {
        func classification(of target: String) -> Classification {
            Classification(of: target, labelSmoothing: objective.labelSmoothing)
        }
        return switch model.shape.objective {
        case .causalLanguageModelling, .sequenceToSequence:
            CausalLanguageModelling(labelSmoothing: objective.labelSmoothing)
        case .maskedLanguageModelling: classification(of: "masked token")
        case .sequenceClassification: classification(of: "sequence")
        case .tokenClassification: classification(of: "token")
        case .imageClassification: classification(of: "image")
        }
    }

    /// This rank's part of a model, whose weights are not set yet. Collective over the world.
    func makeReplica(of model: any Models.Model, world: World) throws(RunError) -> Replica {
        let mesh = try communicating { () throws(CommunicationError) in
            try Mesh(world.communicator, tensor: parallelism.tensor)
        }
        let tensorGroup = parallelize(model, on: mesh, scattersTokens: parallelism.sequence)
        return try communicating { () throws(CommunicationError) in
            try Replica(
                model, objective: makeObjective(), optimizer: makeOptimizer(), mesh: mesh,
                tensorGroup: tensorGroup, bucketBytes: parallelism.bucketBytes,
                storage: storageType, wire: wire)
        }
    }

    func makeOptimizer() -> any Optimizers.Optimizer {
        switch optimizer.name {
        case .adamw:
            AdamW(
                beta1: optimizer.beta1, beta2: optimizer.beta2, epsilon: optimizer.epsilon,
                weightDecay: optimizer.weightDecay)
        case .lion:
            Lion(
                beta1: optimizer.beta1, beta2: optimizer.beta2, weightDecay: optimizer.weightDecay)
        case .sgd:
            SGD(
                momentum: optimizer.momentum, isNesterov: optimizer.nesterov,
                weightDecay: optimizer.weightDecay)
        }
    }

    /// What the optimizer keeps of a model before its first step: zeros like the weights that are trained.
    func makeMoments(
        like weights: [StreamedTensor], of model: any Models.Model
    ) -> [StreamedTensor] {
        let trained = Set(model.parameters.filter(\.leaf.isTrainable).map(\.name))
        return makeOptimizer().momentNames.flatMap { moment in
            StreamedTensor.zeros(like: weights.filter { trained.contains($0.name) }) {
                "optimizer.\(moment).\($0)"
            }
        }
    }

    func makeLossScale() -> LossScale {
        LossScale(precision.lossScale, staticScale: precision.staticScale)
    }

    func makeSchedule() -> Optimizers.Schedule {
        Optimizers.Schedule(
            learningRate: optimizer.learningRate, warmupSteps: schedule.warmupSteps,
            decay: schedule.decay, decaySteps: schedule.decaySteps,
            finalRatio: schedule.finalRatio)
    }

    /// The type in which weights and activations are stored.
    var storageType: DType {
        switch precision.storage {
        case .float32: .float32
        case .float16: .float16
        case .bfloat16: .bfloat16
        }
    }

    var batchLayout: BatchLayout {
        BatchLayout(sequences: batch.sequences, microBatch: batch.microBatch)
    }

    /// In what gradients travel.
    var wire: DType { parallelism.reduceDType == .float16 ? .float16 : .float32 }
}
