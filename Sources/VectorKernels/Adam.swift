// AdamW (Loshchilov and Hutter 2019), with constants of which no digit is lost.

import Glibc

extension VectorKernels {
    package static func adamW(
        _ step: AdamWStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        firstMoment: UnsafeMutablePointer<Float>, secondMoment: UnsafeMutablePointer<Float>,
        working: Elements?, count: Int
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
        case .bfloat16: run(working?.pointer(to: BFloat16.self))
        }
    }

    private static func adamW<Element: StoredElement>(
        _ step: AdamWStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        firstMoment: UnsafeMutablePointer<Float>, secondMoment: UnsafeMutablePointer<Float>,
        copy working: UnsafeMutablePointer<Element>?, count: Int
    ) {
        let constants = AdamWConstants(step)
        let whole = count & ~(lanes - 1)
        var index = 0
        while index < whole {
            var (w, m, v) = (
                weights.vector(at: index), firstMoment.vector(at: index),
                secondMoment.vector(at: index)
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
}

/// The constants as vectors, derived in Float64 and rounded once.
///
/// A factor close to 1 is held as its distance from 1, of which Float32 keeps all its digits: 1 − β₂ and
/// lr·λ are often 10⁻⁵, and a rounded β₂ or 1 − lr·λ would have them wrong by 10⁻³. A weight is rounded
/// once an update, after all that is added to it.
private struct AdamWConstants {
    let gradientScale: Vector
    let first: MovingMean
    let second: MovingMean
    /// −lr · λ
    let decay: Vector
    /// −lr / c₁
    let rate: Vector
    /// 1 / √c₂
    let inverseRoot: Vector
    let epsilon: Vector

    @inline(__always)
    init(_ step: AdamWStep) {
        func constant(_ value: Double) -> Vector { Vector(repeating: Float(value)) }
        let time = Double(step.time)
        gradientScale = Vector(repeating: step.gradientScale)
        first = MovingMean(keeping: step.beta1)
        second = MovingMean(keeping: step.beta2)
        decay = constant(-step.learningRate * step.weightDecay)
        rate = constant(-step.learningRate / (1 - pow(step.beta1, time)))
        inverseRoot = constant(1 / (1 - pow(step.beta2, time)).squareRoot())
        epsilon = constant(step.epsilon)
    }

    @inline(__always)
    func update(_ w: inout Vector, _ m: inout Vector, _ v: inout Vector, _ gradient: Vector) {
        let g = gradient * gradientScale
        m = first.mean(m, g)
        v = second.mean(v, g * g)
        let divisor = epsilon.addingProduct(squareRoot(v), inverseRoot)
        w += (w * decay).addingProduct(rate, m / divisor)
    }
}
