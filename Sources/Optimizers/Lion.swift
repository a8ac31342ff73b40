import Kernels

/// Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", Algorithm 2), in Float32:
/// w ← w − η·(sign(β₁m + (1 − β₁)g) + λ·w); m ← β₂m + (1 − β₂)g; sign(0) = 0.
///
/// Every weight moves by η, whatever its gradient, so that learning rates are three to ten times smaller
/// than AdamW's, and λ greater by as much (section 5 of the paper). It keeps one moment a weight.
/// Constants come from the numbers as configured, in Float64, and are rounded once.
public struct Lion: Optimizer, Hashable {
    /// The share that the moment has in the direction of a step.
    public var beta1: Double
    /// The share that the moment keeps of itself.
    public var beta2: Double
    /// λ; applied to matrices and tables alone (`Parameter.decays`).
    public var weightDecay: Double

    public init(beta1: Double = 0.9, beta2: Double = 0.99, weightDecay: Double = 0.1) {
        (self.beta1, self.beta2, self.weightDecay) = (beta1, beta2, weightDecay)
    }

    /// A moving mean of gradients, as AdamW's of that name.
    public var momentNames: [String] { ["first_moment"] }

    public func update(
        _ ranges: [UpdateRange], learningRate: Double, updates: Int, gradientScale: Float
    ) {
        func step(weightDecay: Double) -> LionStep {
            LionStep(
                learningRate: learningRate, beta1: beta1, beta2: beta2, weightDecay: weightDecay,
                gradientScale: gradientScale)
        }
        let (decaying, plain) = (step(weightDecay: weightDecay), step(weightDecay: 0))
        parallelRuns(of: ranges.map(\.weights.count)) { index, run in
            let range = ranges[index]
            kernels.lion(
                range.decays ? decaying : plain, weights: range.weights.floats + run.lowerBound,
                gradient: range.gradient.floats + run.lowerBound,
                moment: range.moments[0].floats + run.lowerBound,
                working: range.working.map { $0.elements + run.lowerBound }, count: run.count)
        }
    }
}
