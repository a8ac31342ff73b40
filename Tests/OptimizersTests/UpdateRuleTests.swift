// Lion and gradient descent with momentum, against Float64 loops written from their formulas.

import Kernels
import Optimizers
import Tensors
import Testing

/// Several runs of `Threads.runLength`, the last of which is short and fills no vector.
private let count = 20_003
private let rate = 1e-2
private let decay = 0.1

/// Values in [−1, 1), a function of the seed alone; the first is 0.
private func values(_ seed: UInt64) -> [Float] {
    let stream = RandomStream(seed: seed, stream: 0)
    return [0] + (1..<count).map { Float(stream.uniform(at: UInt64($0)) * 2 - 1) }
}

/// 20 updates of one parameter, cut into ranges of `length` elements.
private struct Outcome: Equatable {
    var weights: [UInt32] = []
    var moment: [UInt32] = []
    var working: [Float16] = []

    init(_ rule: any Optimizer, length: Int = count, halves: Bool = false, decays: Bool = true) {
        let weights = Tensor(values(1), shape: [count]).buffer
        let moment = Buffer(count: count)
        moment.clear()
        let working = halves ? Buffer(count: count, dtype: .float16) : nil
        for step in 0..<20 {
            let gradient = Tensor(values(UInt64(step) + 10), shape: [count]).buffer
            let ranges = stride(from: 0, to: count, by: length).map { start in
                let piece = start..<min(count, start + length)
                return UpdateRange(
                    weights: weights[piece], working: working?[piece], gradient: gradient[piece],
                    moments: [moment[piece]], decays: decays)
            }
            rule.update(ranges, learningRate: rate, updates: step, gradientScale: 0.5)
        }
        self.weights = (0..<count).map { weights.floats[$0].bitPattern }
        self.moment = (0..<count).map { moment.floats[$0].bitPattern }
        if let working {
            let halves = working.bytes.assumingMemoryBound(to: Float16.self)
            self.working = (0..<count).map { halves[$0] }
        }
    }

    /// Whether weights and moment are within 10⁻⁵ of a Float64 loop that starts from the same weights.
    func isNear(
        decays: Bool = true, _ body: (inout Double, inout Double, Double) -> Void
    ) -> Bool {
        var (w, m) = (values(1).map(Double.init), [Double](repeating: 0, count: count))
        for step in 0..<20 {
            let gradient = values(UInt64(step) + 10)
            for index in 0..<count {
                let old = w[index]
                body(&w[index], &m[index], 0.5 * Double(gradient[index]))
                if decays { w[index] -= rate * decay * old }
            }
        }
        func near(_ bits: [UInt32], _ reference: [Double]) -> Bool {
            zip(bits, reference).allSatisfy { abs(Double(Float(bitPattern: $0)) - $1) <= 1e-5 }
        }
        return near(weights, w) && near(moment, m)
    }
}

private func lionStep(_ beta1: Double, _ beta2: Double) -> (inout Double, inout Double, Double)
    -> Void
{
    { w, m, g in
        let direction = beta1 * m + (1 - beta1) * g
        w -= rate * (direction > 0 ? 1 : direction < 0 ? -1 : 0)
        m = beta2 * m + (1 - beta2) * g
    }
}

private func momentumStep(_ momentum: Double, isNesterov: Bool) -> (
    inout Double, inout Double, Double
) -> Void {
    { w, m, g in
        m = momentum * m + g
        w -= rate * (isNesterov ? g + momentum * m : m)
    }
}

@Suite struct UpdateRuleTests {
    private static let rules: [any Optimizer] = [
        Lion(weightDecay: decay), SGD(weightDecay: decay),
        SGD(isNesterov: true, weightDecay: decay),
    ]

    @Test(arguments: [true, false])
    func lionAgreesWithFloat64(decays: Bool) {
        let found = Outcome(Lion(beta1: 0.9, beta2: 0.99, weightDecay: decay), decays: decays)
        #expect(found.isNear(decays: decays, lionStep(0.9, 0.99)))
        #expect(!found.isNear(decays: decays, lionStep(0.99, 0.9)), "control: swapped")
        #expect(!found.isNear(decays: !decays, lionStep(0.9, 0.99)), "control: the decay")
    }

    @Test(arguments: [true, false], [true, false])
    func momentumAgreesWithFloat64(isNesterov: Bool, decays: Bool) {
        let found = Outcome(
            SGD(momentum: 0.9, isNesterov: isNesterov, weightDecay: decay), decays: decays)
        #expect(found.isNear(decays: decays, momentumStep(0.9, isNesterov: isNesterov)))
        #expect(
            !found.isNear(decays: decays, momentumStep(0.9, isNesterov: !isNesterov)),
            "control: the other momentum")
        #expect(
            !found.isNear(decays: !decays, momentumStep(0.9, isNesterov: isNesterov)),
            "control: the decay")
    }

    /// The first gradient is 0 in every step: sign(0) = 0.
    @Test func aWeightWithoutGradientDoesNotMove() {
        for rule in Self.rules {
            let found = Outcome(rule)
            #expect(found.weights[0] == 0)
            #expect(found.weights[1] != values(1)[1].bitPattern, "control: the others do")
        }
    }

    @Test(arguments: [7, 16, 500, 20_003], [1, 2])
    func rangesAndThreadsGiveTheSameBits(length: Int, threads: Int) {
        for rule in Self.rules {
            let whole = Outcome(rule, halves: true)
            Threads.start(threads)
            let cut = Outcome(rule, length: length, halves: true)
            Threads.start(1)
            #expect(cut == whole)
        }
        #expect(Outcome(Self.rules[1]) != Outcome(Self.rules[2]), "control: another rule")
    }

    /// Working weights are the masters rounded once; the masters keep their bits.
    @Test func workingWeightsAreTheMastersRounded() {
        for rule in Self.rules {
            let (plain, mixed) = (Outcome(rule), Outcome(rule, halves: true))
            #expect(mixed.weights == plain.weights && mixed.moment == plain.moment)
            #expect(mixed.working == plain.weights.map { Float16(Float(bitPattern: $0)) })
            #expect(
                mixed.working != plain.weights.map { Float16(Float(bitPattern: $0) * 1.001) },
                "control: other weights")
        }
    }

    @Test func oneMomentAWeight() {
        #expect(Lion().momentNames == ["first_moment"])
        #expect(SGD().momentNames == ["momentum"])
    }
}
