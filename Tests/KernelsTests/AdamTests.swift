import Glibc
import Kernels
import Testing

private struct State {
    var weights: [Float]
    var first: [Float]
    var second: [Float]
    /// The weights as Float16 storage computes with them.
    var working: [Float16]

    init(count: Int) {
        weights = values(count, seed: 1)
        first = [Float](repeating: 0, count: count)
        second = first
        working = [Float16](repeating: .nan, count: count)
    }

    mutating func update(
        _ step: AdamWStep, _ gradient: [Float], pieces length: Int, halves: Bool = false
    ) {
        let copy = UnsafeMutablePointer<Float16>.allocate(capacity: gradient.count)
        copy.initialize(from: working, count: gradient.count)
        defer {
            working = Array(UnsafeBufferPointer(start: copy, count: gradient.count))
            copy.deallocate()
        }
        weights.withUnsafeMutableBufferPointer { w in
            first.withUnsafeMutableBufferPointer { m in
                second.withUnsafeMutableBufferPointer { v in
                    gradient.withUnsafeBufferPointer { g in
                        inPieces(of: length, g.count) {
                            let start = $0.lowerBound
                            kernels.adamW(
                                step, weights: w.baseAddress! + start,
                                gradient: g.baseAddress! + start,
                                firstMoment: m.baseAddress! + start,
                                secondMoment: v.baseAddress! + start,
                                working: halves ? Elements(copy + start) : nil, count: $0.count)
                        }
                    }
                }
            }
        }
    }
}

private func step(_ t: Int) -> AdamWStep {
    AdamWStep(
        learningRate: 1e-2, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, time: t,
        gradientScale: 0.5)
}

@Suite(.everyCompilation)
struct AdamTests {
    @Test func agreesWithAFloat64Loop() {
        let count = 1003
        var state = State(count: count)
        var w = state.weights.map(Double.init)
        var m = [Double](repeating: 0, count: count)
        var v = m
        for t in 1...10 {
            let gradient = values(count, seed: UInt64(t) + 10)
            state.update(step(t), gradient, pieces: count)
            for i in 0..<count {
                let g = 0.5 * Double(gradient[i])
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.99 * v[i] + 0.01 * g * g
                let unbiased = m[i] / (1 - pow(0.9, Double(t)))
                let root = (v[i] / (1 - pow(0.99, Double(t)))).squareRoot()
                w[i] -= 1e-2 * 0.1 * w[i]
                w[i] -= 1e-2 * unbiased / (root + 1e-8)
            }
        }
        #expect(close(state.weights, w, absolute: 1e-6, relative: 1e-6))
        #expect(close(state.first, m, absolute: 1e-6, relative: 1e-6))
        #expect(close(state.second, v, absolute: 1e-6, relative: 1e-6))
        #expect(!close(state.weights, w.reversed(), absolute: 1e-6, relative: 1e-6))
    }

    @Test(arguments: pieceLengths)
    func piecesGiveTheSameBits(length: Int) {
        let count = 517
        var whole = State(count: count)
        var pieces = whole
        for t in 1...3 {
            let gradient = values(count, seed: UInt64(t))
            whole.update(step(t), gradient, pieces: count)
            pieces.update(step(t), gradient, pieces: length)
        }
        #expect(same(whole.weights, pieces.weights))
        #expect(same(whole.first, pieces.first) && same(whole.second, pieces.second))
        pieces.weights[3] = pieces.weights[3].nextUp
        #expect(!same(whole.weights, pieces.weights))
    }

    /// Working weights in Float16 are the masters rounded; the masters keep their bits.
    @Test(arguments: pieceLengths + [517])
    func workingWeightsAreTheMastersRounded(length: Int) {
        var plain = State(count: 517)
        var mixed = plain
        for t in 1...3 {
            let gradient = values(517, seed: UInt64(t))
            plain.update(step(t), gradient, pieces: 517)
            mixed.update(step(t), gradient, pieces: length, halves: true)
        }
        #expect(same(plain.weights, mixed.weights))
        #expect(same(plain.second, mixed.second))
        #expect(mixed.working == mixed.weights.map { Float16($0) })
        #expect(plain.working.allSatisfy { $0.isNaN })
        #expect(mixed.working != mixed.weights.map { Float16($0.nextUp * 1.001) })
    }

    @Test func noGradientMeansDecayAlone() {
        var state = State(count: 20)
        let old = state.weights
        state.update(step(1), [Float](repeating: 0, count: 20), pieces: 20)
        #expect(
            bits(state.weights)
                == bits(old.map { $0 + $0 * -Float(1e-2 * 0.1) }))
    }
}
