// AdamW where its constants are near 1: against Float64, with the two ways of rounding that fail.

import Glibc
import Kernels
import Testing

/// Where the constants come from.
private enum Rounding: CaseIterable {
    /// The kernel's: distances from 1, rounded once.
    case kernel
    /// 1 − β from a β that was rounded first, as this program had it.
    case ofRounded
    /// β and 1 − β rounded apart, as PyTorch has them.
    case apart
}

/// The hyperparameters of a case, as a configuration has them.
private struct Hyperparameters {
    var learningRate = 1e-4
    var beta1 = 0.9
    var beta2 = 0.99999
    var epsilon = 1e-8
    var weightDecay = 0.1
}

/// One weight with its moments.
private struct Element<Number: BinaryFloatingPoint> {
    var weight: Number
    var first: Number = 0
    var second: Number = 0
}

/// Loshchilov and Hutter's algorithm 2 word by word, in Float64; η is the schedule's factor times α.
private func update(
    _ element: inout Element<Double>, gradient g: Double, time t: Int, _ h: Hyperparameters
) {
    element.first = h.beta1 * element.first + (1 - h.beta1) * g
    element.second = h.beta2 * element.second + (1 - h.beta2) * g * g
    let unbiased = element.first / (1 - pow(h.beta1, Double(t)))
    let root = (element.second / (1 - pow(h.beta2, Double(t)))).squareRoot()
    element.weight -=
        h.learningRate * (unbiased / (root + h.epsilon) + h.weightDecay * element.weight)
}

/// The same in Float32, with constants of a kind.
private func update(
    _ x: inout Element<Float>, gradient g: Float, time t: Int, _ h: Hyperparameters,
    _ rounding: Rounding
) {
    guard rounding != .kernel else {
        let step = AdamWStep(
            learningRate: h.learningRate, beta1: h.beta1, beta2: h.beta2, epsilon: h.epsilon,
            weightDecay: h.weightDecay, time: t)
        var g = g
        return kernels.adamW(
            step, weights: &x.weight, gradient: &g, firstMoment: &x.first,
            secondMoment: &x.second, count: 1)
    }
    let (beta1, beta2) = (Float(h.beta1), Float(h.beta2))
    func rest(_ beta: Double) -> Float {
        Float(1 - (rounding == .apart ? beta : Double(Float(beta))))
    }
    x.first = (x.first * beta1).addingProduct(g, rest(h.beta1))
    x.second = (x.second * beta2).addingProduct(g * g, rest(h.beta2))
    let rate = Float(-h.learningRate / (1 - pow(h.beta1, Double(t))))
    let inverseRoot = Float(1 / (1 - pow(h.beta2, Double(t))).squareRoot())
    let divisor = Float(h.epsilon).addingProduct(x.second.squareRoot(), inverseRoot)
    let decay = Float(1 - h.learningRate * h.weightDecay)
    x.weight = (x.weight * decay).addingProduct(rate, x.first / divisor)
}

/// The greatest relative error of weight movement, first and second moment after so many steps of
/// pseudo-random gradients.
private func errors(
    _ rounding: Rounding, steps: Int, _ h: Hyperparameters = Hyperparameters(),
    gradient: (Int) -> Float
) -> (movement: Double, first: Double, second: Double) {
    var exact = Element<Double>(weight: 0.5)
    var found = Element<Float>(weight: 0.5)
    for t in 1...steps {
        let g = gradient(t)
        update(&exact, gradient: Double(g), time: t, h)
        update(&found, gradient: g, time: t, h, rounding)
    }
    func relative(_ a: Float, _ b: Double) -> Double { abs(Double(a) - b) / abs(b) }
    let moved = exact.weight - 0.5
    return (
        abs(Double(found.weight) - 0.5 - moved) / abs(moved), relative(found.first, exact.first),
        relative(found.second, exact.second)
    )
}

@Suite(.everyCompilation) struct AdamConstantsTests {
    private static let noise = RandomStream(seed: 3, stream: 0)

    /// In [½, 1½), so that no mean comes near 0.
    private static func gradient(_ t: Int) -> Float {
        Float(0.5 + noise.uniform(at: UInt64(t)))
    }

    /// β₂ = 0.99999, of which Float32's neighbour has a distance from 1 that is 1.4·10⁻³ off.
    @Test(arguments: [1, 10, 1000])
    func theFirstStepsAreThoseOfFloat64(steps: Int) {
        let found = errors(.kernel, steps: steps, gradient: Self.gradient)
        #expect(found.first < 1e-6 && found.second < 3e-6, "\(found)")
        let old = errors(.ofRounded, steps: steps, gradient: Self.gradient)
        #expect(old.second > 1e-3, "control: \(old)")
    }

    /// After many times 1/(1 − β₂) steps v is a mean, whose weights must add up to 1.
    @Test func theMeanHasNoBias() {
        let found = errors(.kernel, steps: 500_000, gradient: Self.gradient)
        #expect(found.second < 2e-5, "\(found)")
        let apart = errors(.apart, steps: 500_000, gradient: Self.gradient)
        #expect(apart.second > 1e-3, "control: \(apart)")
    }

    /// lr·λ = 10⁻⁵: what a weight has lost after 5,000 steps of decay alone.
    @Test func theDecayIsTheConfiguredOne() {
        let zero: (Int) -> Float = { _ in 0 }
        let found = errors(.kernel, steps: 5000, gradient: zero).movement
        #expect(found < 2e-4, "\(found)")
        let old = errors(.ofRounded, steps: 5000, gradient: zero).movement
        #expect(old > 1e-3, "control: \(old)")
    }

    /// Without memory (β = 0) the moments are the gradient and its square, whatever was there.
    @Test func noMemoryMeansTheGradient() {
        let step = AdamWStep(
            learningRate: 1e-3, beta1: 0, beta2: 0, epsilon: 1e-8, weightDecay: 0, time: 1)
        var (w, m, v, g): (Float, Float, Float, Float) = (1, 1e6, 1e12, 3e-5)
        kernels.adamW(step, weights: &w, gradient: &g, firstMoment: &m, secondMoment: &v, count: 1)
        #expect(m == g && v == g * g)
        m = 1e6
        m += 1 * (g - m)
        #expect(m != g, "control: a mean by its difference loses the digits")
    }

    /// The greatest gradient that a step may take gives a second moment that is finite, and stays so.
    @Test func theGreatestGradientLeavesTheMomentFinite() {
        let step = AdamWStep(
            learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, time: 1)
        var (w, m, v): (Float, Float, Float) = (1, 0, 0)
        var g: Float = 1.8e19
        for _ in 0..<1000 {
            kernels.adamW(
                step, weights: &w, gradient: &g, firstMoment: &m, secondMoment: &v, count: 1)
        }
        #expect(m.isFinite && v.isFinite && w.isFinite && v > 3e38)
        g = 1.9e19
        kernels.adamW(step, weights: &w, gradient: &g, firstMoment: &m, secondMoment: &v, count: 1)
        #expect(v == .infinity, "control")
    }
}
