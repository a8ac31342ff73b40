import Kernels
import Tensors

/// A run of flat Float32 memory that one rank updates: what an optimizer works on. It knows no
/// parameter.
public struct UpdateRange {
    /// The masters, replaced by their new values.
    public let weights: Buffer
    /// Receives the new weights, rounded to its type; nil where the masters are the working weights.
    public let working: Buffer?
    public let gradient: Buffer
    /// One buffer a moment, in the order of the optimizer's `momentNames`.
    public let moments: [Buffer]
    /// Whether weight decay applies.
    public let decays: Bool

    public init(
        weights: Buffer, working: Buffer? = nil, gradient: Buffer, moments: [Buffer], decays: Bool
    ) {
        (self.weights, self.working, self.gradient, self.moments, self.decays) =
            (weights, working, gradient, moments, decays)
    }
}

/// An update rule for flat ranges. Its state is the moments, which the caller owns and shards.
public protocol Optimizer: Sendable {
    /// The moments' names in checkpoints.
    var momentNames: [String] { get }

    /// - Parameters:
    ///   - updates: how many updates came before this one (skipped steps do not count).
    ///   - gradientScale: a factor of every gradient: unscaling and clipping.
    func update(
        _ ranges: [UpdateRange], learningRate: Double, updates: Int, gradientScale: Float)
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), in Float32:
/// m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; w ← w − η·λ·w − η·(m/(1 − β₁ᵗ))/(√(v/(1 − β₂ᵗ)) + ε).
/// Constants come from the numbers as configured, in Float64, and are rounded once.
public struct AdamW: Optimizer, Hashable {
    public var beta1: Double
    public var beta2: Double
    public var epsilon: Double
    /// λ; applied to matrices and tables alone (`Parameter.decays`).
    public var weightDecay: Double

    public init(
        beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8, weightDecay: Double = 0.1
    ) {
        (self.beta1, self.beta2, self.epsilon, self.weightDecay) =
            (beta1, beta2, epsilon, weightDecay)
    }

    public var momentNames: [String] { ["first_moment", "second_moment"] }

    public func update(
        _ ranges: [UpdateRange], learningRate: Double, updates: Int, gradientScale: Float
    ) {
        func step(weightDecay: Double) -> AdamWStep {
            AdamWStep(
                learningRate: learningRate, beta1: beta1, beta2: beta2, epsilon: epsilon,
                weightDecay: weightDecay, time: updates + 1, gradientScale: gradientScale)
        }
        let (decaying, plain) = (step(weightDecay: weightDecay), step(weightDecay: 0))
        parallelRuns(of: ranges.map(\.weights.count)) { index, run in
            let range = ranges[index]
            kernels.adamW(
                range.decays ? decaying : plain, weights: range.weights.floats + run.lowerBound,
                gradient: range.gradient.floats + run.lowerBound,
                firstMoment: range.moments[0].floats + run.lowerBound,
                secondMoment: range.moments[1].floats + run.lowerBound,
                working: range.working.map { $0.elements + run.lowerBound }, count: run.count)
        }
    }
}
