// What training minimises, apart from what computes the features.

import Foundation
import Layers
import Tensors

/// A loss over a model's features, and what an evaluation reports.
///
/// An objective says which fields a batch must have; a source of data is a view that gives them.
public protocol Objective: Sendable {
    /// The fields of a batch that it reads.
    var fields: Set<String> { get }
    /// What a target is called in texts: a token, an image.
    var target: String { get }

    /// The weighted sum of the losses of one micro-batch, a Float64 scalar. Collective over the ranks that hold the
    /// model together.
    func loss(of input: ModelInput, by model: any Model, _ pass: Pass) -> Tensor

    /// What is reported beside the mean loss, from it: name and value, in a fixed order.
    func metrics(meanLoss: Double) -> [(name: String, value: Double)]
}

/// Prediction of the next token: each position's features give the distribution of the token after it.
public struct CausalLanguageModelling: Objective {
    /// ε: the part of each target that is spread evenly over the vocabulary while training (Szegedy et al. 2016,
    /// section 7). Evaluations report the plain cross-entropy.
    public var labelSmoothing: Double

    public init(labelSmoothing: Double = 0) { self.labelSmoothing = labelSmoothing }

    public var fields: Set<String> { ["tokens", "targets"] }
    public var target: String { "token" }

    public func loss(of input: ModelInput, by model: any Model, _ pass: Pass) -> Tensor {
        model.output.crossEntropy(
            model.features(of: input, pass), targets: input["targets"], weights: input.weights,
            smoothing: pass.isTraining ? labelSmoothing : 0, pass)
    }

    public func metrics(meanLoss: Double) -> [(name: String, value: Double)] {
        [("perplexity", exp(meanLoss))]
    }
}
