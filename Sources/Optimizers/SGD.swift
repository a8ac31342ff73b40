import Kernels

/// Stochastic gradient descent with momentum, in Float32 and in PyTorch's form (no dampening):
/// m ← μm + g; w ← w − η·(d + λ·w), where d = m, or g + μm with Nesterov's momentum
/// (Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning").
///
/// Weight decay is decoupled, as it is in the other rules here: λ·w enters no moment, unlike the L2 term
/// of PyTorch's `SGD(weight_decay=)`. With λ = 0 the two are the same rule.
/// Constants come from the numbers as configured, in Float64, and are rounded once.
public struct SGD: Optimizer, Hashable {
    /// μ
    public var momentum: Double
    public var isNesterov: Bool
    /// λ; applied to matrices and tables alone (`Parameter.decays`).
    public var weightDecay: Double

    public init(momentum: Double = 0.9, isNesterov: Bool = false, weightDecay: Double = 0.1) {
        (self.momentum, self.isNesterov, self.weightDecay) = (momentum, isNesterov, weightDecay)
    }

    /// A decaying sum of gradients, 1/(1 − μ) times their mean: another quantity than the moving means of
    /// the other rules, and so another name.
    public var momentNames: [String] { ["momentum"] }

    public func update(
        _ ranges: [UpdateRange], learningRate: Double, updates: Int, gradientScale: Float
    ) {
        func step(weightDecay: Double) -> MomentumStep {
            MomentumStep(
                learningRate: learningRate, momentum: momentum, isNesterov: isNesterov,
                weightDecay: weightDecay, gradientScale: gradientScale)
        }
        let (decaying, plain) = (step(weightDecay: weightDecay), step(weightDecay: 0))
        parallelRuns(of: ranges.map(\.weights.count)) { index, run in
            let range = ranges[index]
            kernels.momentumDescent(
                range.decays ? decaying : plain, weights: range.weights.floats + run.lowerBound,
                gradient: range.gradient.floats + run.lowerBound,
                moment: range.moments[0].floats + run.lowerBound,
                working: range.working.map { $0.elements + run.lowerBound }, count: run.count)
        }
    }
}
