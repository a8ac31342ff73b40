// AdamW (Loshchilov and Hutter 2019), as PyTorch computes it.

/// The numbers of one AdamW step that all elements share.
package struct AdamWStep: Sendable {
    package var learningRate: Float
    package var beta1: Float
    package var beta2: Float
    package var epsilon: Float
    package var weightDecay: Float
    /// 1 − β₁ᵗ and 1 − β₂ᵗ, t counting steps from 1.
    package var firstCorrection: Float
    package var secondCorrection: Float
    /// Multiplied into the gradient first: the clipping factor, and what undoes the loss scale.
    package var gradientScale: Float

    package init(
        learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float,
        firstCorrection: Float, secondCorrection: Float, gradientScale: Float = 1
    ) {
        self.learningRate = learningRate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.firstCorrection = firstCorrection
        self.secondCorrection = secondCorrection
        self.gradientScale = gradientScale
    }
}

/// One AdamW step on a run of elements; single-threaded, the caller gives each thread its runs.
///
/// With g the scaled gradient: m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²,
/// w ← (1 − lr·λ)w − lr · (m / c₁) / (√(v / c₂) + ε).
/// - Parameter working: receives the new weights, rounded to its type; nil where the weights themselves
///   are what the model computes with.
package func adamW(
    _ step: AdamWStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    firstMoment: UnsafeMutablePointer<Float>, secondMoment: UnsafeMutablePointer<Float>,
    working: Elements? = nil, count: Int
) {
    func run<Element: StoredElement>(_ working: UnsafeMutablePointer<Element>?) {
        adamW(
            step, weights: weights, gradient: gradient, firstMoment: firstMoment,
            secondMoment: secondMoment, copy: working, count: count)
    }
    switch working?.type {
    case nil: run(UnsafeMutablePointer<Float>?.none)
    case .float32: run(working?.pointer(to: Float.self))
    case .float16: run(working?.pointer(to: Float16.self))
    }
}

private func adamW<Element: StoredElement>(
    _ step: AdamWStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    firstMoment: UnsafeMutablePointer<Float>, secondMoment: UnsafeMutablePointer<Float>,
    copy working: UnsafeMutablePointer<Element>?, count: Int
) {
    let constants = AdamWConstants(step)
    let whole = count & ~(lanes - 1)
    var index = 0
    while index < whole {
        var (w, m, v) = (
            weights.vector(at: index), firstMoment.vector(at: index), secondMoment.vector(at: index)
        )
        constants.update(&w, &m, &v, gradient.vector(at: index))
        weights.store(w, at: index)
        working?.store(w, at: index)
        firstMoment.store(m, at: index)
        secondMoment.store(v, at: index)
        index += lanes
    }
    let rest = count - whole
    guard rest > 0 else { return }
    var (w, m, v) = (
        UnsafePointer(weights).vector(at: whole, count: rest),
        UnsafePointer(firstMoment).vector(at: whole, count: rest),
        UnsafePointer(secondMoment).vector(at: whole, count: rest)
    )
    constants.update(&w, &m, &v, gradient.vector(at: whole, count: rest))
    weights.store(w, at: whole, count: rest)
    working?.store(w, at: whole, count: rest)
    firstMoment.store(m, at: whole, count: rest)
    secondMoment.store(v, at: whole, count: rest)
}

/// The constants as vectors, derived in Float64 and rounded once.
private struct AdamWConstants {
    let gradientScale: Vector
    let beta1: Vector
    let beta1Rest: Vector
    let beta2: Vector
    let beta2Rest: Vector
    let decay: Vector
    /// −lr / c₁
    let rate: Vector
    /// 1 / √c₂
    let inverseRoot: Vector
    let epsilon: Vector

    @inline(__always)
    init(_ step: AdamWStep) {
        let learningRate = Double(step.learningRate)
        gradientScale = Vector(repeating: step.gradientScale)
        beta1 = Vector(repeating: step.beta1)
        beta1Rest = Vector(repeating: Float(1 - Double(step.beta1)))
        beta2 = Vector(repeating: step.beta2)
        beta2Rest = Vector(repeating: Float(1 - Double(step.beta2)))
        decay = Vector(repeating: Float(1 - learningRate * Double(step.weightDecay)))
        rate = Vector(repeating: Float(-learningRate / Double(step.firstCorrection)))
        inverseRoot = Vector(repeating: Float(1 / Double(step.secondCorrection).squareRoot()))
        epsilon = Vector(repeating: step.epsilon)
    }

    @inline(__always)
    func update(_ w: inout Vector, _ m: inout Vector, _ v: inout Vector, _ gradient: Vector) {
        let g = gradient * gradientScale
        m = (m * beta1).addingProduct(g, beta1Rest)
        v = (v * beta2).addingProduct(g * g, beta2Rest)
        let divisor = epsilon.addingProduct(squareRoot(v), inverseRoot)
        w = (w * decay).addingProduct(rate, m / divisor)
    }
}
