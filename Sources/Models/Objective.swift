// What training minimises, apart from what computes the features.

import Foundation
import Layers
import Tensors

/// What a model is made for: its head and the view of the data follow from it.
public enum ObjectiveKind: Hashable, Sendable {
    case causalLanguageModelling
    case maskedLanguageModelling
    case sequenceToSequence
    case sequenceClassification(classes: Int)
    case tokenClassification(classes: Int)
    case imageClassification

    /// For messages.
    public var name: String {
        switch self {
        case .causalLanguageModelling: "causal language modelling"
        case .maskedLanguageModelling: "masked language modelling"
        case .sequenceToSequence: "making one sequence of another"
        case .sequenceClassification: "classification of sequences"
        case .tokenClassification: "classification of tokens"
        case .imageClassification: "classification of images"
        }
    }
}

/// A loss over a model's features, and what an evaluation reports. It reads the batch's `targets` and weights, which
/// the view of the data gives.
public protocol Objective: Sendable {
    /// What a target is called in texts: a token, an image.
    var target: String { get }
    /// Numbers that an evaluation adds up over micro-batches, each a sum over targets; the loss is the first.
    var sumCount: Int { get }

    /// The weighted sum of the losses of one micro-batch, a Float64 scalar. Collective over the ranks that hold the
    /// model together.
    func loss(of input: ModelInput, by model: any Model, _ pass: Pass) -> Tensor

    /// What an evaluation adds up: Float64 scalars, `sumCount` of them. Collective likewise.
    func sums(of input: ModelInput, by model: any Model) -> [Tensor]

    /// What is reported beside the mean loss, name and value in a fixed order.
    ///
    /// - Parameter means: of each sum, over the weight of all targets.
    func metrics(means: [Double]) -> [(name: String, value: Double)]
}

/// Prediction of the next token: each position's features give the distribution of the token after it, in a text or in
/// the target that a decoder writes.
public struct CausalLanguageModelling: Objective {
    /// ε: the part of each target that is spread evenly over the vocabulary while training (Szegedy et al. 2016,
    /// section 7). Evaluations report the plain cross-entropy.
    public var labelSmoothing: Double

    public init(labelSmoothing: Double = 0) { self.labelSmoothing = labelSmoothing }

    public var target: String { "token" }
    public var sumCount: Int { 1 }

    public func loss(of input: ModelInput, by model: any Model, _ pass: Pass) -> Tensor {
        model.crossEntropy(of: input, smoothing: labelSmoothing, pass).loss
    }

    public func sums(of input: ModelInput, by model: any Model) -> [Tensor] {
        [loss(of: input, by: model, Pass())]
    }

    public func metrics(means: [Double]) -> [(name: String, value: Double)] {
        [("perplexity", exp(means[0]))]
    }
}

/// A class for each target: a masked token (Devlin et al. 2019, section 3.1), a sequence, a token, an image.
public struct Classification: Objective {
    public let target: String
    /// As for the next token.
    public var labelSmoothing: Double

    /// - Parameter target: what is classified, a noun.
    public init(of target: String, labelSmoothing: Double = 0) {
        (self.target, self.labelSmoothing) = (target, labelSmoothing)
    }

    public var sumCount: Int { 2 }

    public func loss(of input: ModelInput, by model: any Model, _ pass: Pass) -> Tensor {
        model.crossEntropy(of: input, smoothing: labelSmoothing, pass).loss
    }

    public func sums(of input: ModelInput, by model: any Model) -> [Tensor] {
        let found = model.crossEntropy(of: input, smoothing: 0, Pass())
        return [found.loss, found.correct]
    }

    public func metrics(means: [Double]) -> [(name: String, value: Double)] {
        [("accuracy", means[1])]
    }
}

extension Model {
    /// From a micro-batch to the cross-entropy of its targets, whose labels are smoothed in training alone.
    fileprivate func crossEntropy(
        of input: ModelInput, smoothing: Double, _ pass: Pass
    ) -> ClassificationLoss {
        output.crossEntropy(
            features(of: input, pass), targets: input["targets"], weights: input.weights,
            smoothing: pass.isTraining ? smoothing : 0, pass)
    }
}
