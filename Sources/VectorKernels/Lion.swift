// Lion (Chen et al. 2023), with constants of which no digit is lost.

extension VectorKernels {
    package static func lion(
        _ step: LionStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        moment: UnsafeMutablePointer<Float>, working: Elements?, count: Int
    ) {
        let constants = LionConstants(step)
        updateWithMoment(weights, gradient, moment, working, count) { w, m, g in
            constants.update(&w, &m, g)
        }
    }
}

/// The constants as vectors, derived in Float64 and rounded once.
private struct LionConstants {
    let gradientScale: Vector
    /// What the step looks along.
    let direction: MovingMean
    /// What is kept for the next step.
    let memory: MovingMean
    /// −lr · λ
    let decay: Vector
    /// −lr
    let rate: Vector

    @inline(__always)
    init(_ step: LionStep) {
        gradientScale = Vector(repeating: step.gradientScale)
        direction = MovingMean(keeping: step.beta1)
        memory = MovingMean(keeping: step.beta2)
        decay = Vector(repeating: Float(-step.learningRate * step.weightDecay))
        rate = Vector(repeating: Float(-step.learningRate))
    }

    @inline(__always)
    func update(_ w: inout Vector, _ m: inout Vector, _ gradient: Vector) {
        let g = gradient * gradientScale
        let sign = signs(direction.mean(m, g))
        m = memory.mean(m, g)
        w += (w * decay).addingProduct(rate, sign)
    }
}

/// −1, 0 or 1 as x is below, at or above 0; 0 where x is no number.
@inline(__always)
private func signs(_ x: Vector) -> Vector {
    let (zero, one) = (Vector.zero, Vector(repeating: 1))
    return zero.replacing(with: one, where: x .> zero).replacing(with: -one, where: x .< zero)
}
