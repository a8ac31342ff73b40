// Steps of the optimizers: what all elements share, as it is configured, and the kernels that derive constants from it.

/// The numbers of one AdamW step that all elements share, as they are configured: nothing is rounded yet.
package struct AdamWStep: Sendable {
    package var learningRate: Double
    package var beta1: Double
    package var beta2: Double
    package var epsilon: Double
    package var weightDecay: Double
    /// t, counting updates from 1.
    package var time: Int
    /// Multiplied into the gradient first: the clipping factor, and what undoes the loss scale.
    package var gradientScale: Float

    package init(
        learningRate: Double, beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double,
        time: Int, gradientScale: Float = 1
    ) {
        self.learningRate = learningRate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.time = time
        self.gradientScale = gradientScale
    }
}

/// The numbers of one Lion step that all elements share, as they are configured: nothing is rounded yet.
package struct LionStep: Sendable {
    package var learningRate: Double
    package var beta1: Double
    package var beta2: Double
    package var weightDecay: Double
    /// Multiplied into the gradient first: the clipping factor, and what undoes the loss scale.
    package var gradientScale: Float

    package init(
        learningRate: Double, beta1: Double, beta2: Double, weightDecay: Double,
        gradientScale: Float = 1
    ) {
        (self.learningRate, self.beta1, self.beta2) = (learningRate, beta1, beta2)
        (self.weightDecay, self.gradientScale) = (weightDecay, gradientScale)
    }
}

/// The numbers of one step of gradient descent that all elements share, as they are configured: nothing
/// is rounded yet.
package struct MomentumStep: Sendable {
    package var learningRate: Double
    package var momentum: Double
    package var isNesterov: Bool
    package var weightDecay: Double
    /// Multiplied into the gradient first: the clipping factor, and what undoes the loss scale.
    package var gradientScale: Float

    package init(
        learningRate: Double, momentum: Double, isNesterov: Bool, weightDecay: Double,
        gradientScale: Float = 1
    ) {
        (self.learningRate, self.momentum, self.isNesterov) = (learningRate, momentum, isNesterov)
        (self.weightDecay, self.gradientScale) = (weightDecay, gradientScale)
    }
}

/// An update of the weights in one pass; single-threaded.
package protocol OptimizerKernels: Sendable {
    /// One AdamW step on a run of elements; single-threaded, the caller gives each thread its runs.
    ///
    /// With g the scaled gradient, c₁ = 1 − β₁ᵗ and c₂ = 1 − β₂ᵗ: m ← m + (1 − β₁)(g − m),
    /// v ← v + (1 − β₂)(g² − v), w ← w − (lr·λ·w + lr · (m / c₁) / (√(v / c₂) + ε)).
    /// - Parameter working: receives the new weights, rounded to its type; nil where the weights themselves
    ///   are what the model computes with.
    static func adamW(
        _ step: AdamWStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        firstMoment: UnsafeMutablePointer<Float>, secondMoment: UnsafeMutablePointer<Float>,
        working: Elements?, count: Int
    )

    /// One Lion step (Algorithm 2 of the paper) on a run of elements; single-threaded, the caller gives each
    /// thread its runs.
    ///
    /// With g the scaled gradient: w ← w − (lr·λ·w + lr·sign(β₁m + (1 − β₁)g)), where m is the moment before
    /// this step and sign(0) = 0; then m ← β₂m + (1 − β₂)g.
    /// - Parameter working: receives the new weights, rounded to its type; nil where the weights themselves
    ///   are what the model computes with.
    static func lion(
        _ step: LionStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        moment: UnsafeMutablePointer<Float>, working: Elements?, count: Int
    )

    /// One step of gradient descent with momentum on a run of elements; single-threaded, the caller gives
    /// each thread its runs.
    ///
    /// With g the scaled gradient: m ← μm + g; w ← w − (lr·λ·w + lr·d), where d is m, or g + μm with
    /// Nesterov's momentum. Weight decay is decoupled: it enters no moment.
    /// - Parameter working: receives the new weights, rounded to its type; nil where the weights themselves
    ///   are what the model computes with.
    static func momentumDescent(
        _ step: MomentumStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        moment: UnsafeMutablePointer<Float>, working: Elements?, count: Int
    )
}

// The requirements with default arguments, which a requirement cannot have.
extension OptimizerKernels {
    package static func adamW(
        _ step: AdamWStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        firstMoment: UnsafeMutablePointer<Float>, secondMoment: UnsafeMutablePointer<Float>,
        working: Elements? = nil, count: Int
    ) {
        adamW(
            step, weights: weights, gradient: gradient, firstMoment: firstMoment,
            secondMoment: secondMoment, working: working, count: count)
    }

    package static func lion(
        _ step: LionStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        moment: UnsafeMutablePointer<Float>, working: Elements? = nil, count: Int
    ) {
        lion(
            step, weights: weights, gradient: gradient, moment: moment, working: working,
            count: count)
    }

    package static func momentumDescent(
        _ step: MomentumStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        moment: UnsafeMutablePointer<Float>, working: Elements? = nil, count: Int
    ) {
        momentumDescent(
            step, weights: weights, gradient: gradient, moment: moment, working: working,
            count: count)
    }
}
