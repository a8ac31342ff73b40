import Glibc
import Kernels
import Testing

private func value(_ kind: Activation, _ x: Double) -> Double {
    switch kind {
    case .geluTanh: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    case .geluErf: 0.5 * x * erfc(-x / 2.0.squareRoot())
    case .silu: x / (1 + exp(-x))
    case .relu: max(x, 0)
    case .tanh: tanh(x)
    }
}

private func derivative(_ kind: Activation, _ x: Double) -> Double {
    switch kind {
    case .geluTanh:
        let root = (2 / Double.pi).squareRoot()
        let t = tanh(root * (x + 0.044715 * x * x * x))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x)
    case .geluErf:
        return 0.5 * erfc(-x / 2.0.squareRoot()) + x * exp(-x * x / 2)
            / (2 * Double.pi).squareRoot()
    case .silu:
        let sigmoid = 1 / (1 + exp(-x))
        return sigmoid + x * sigmoid * (1 - sigmoid)
    case .relu: return x > 0 ? 1 : 0
    case .tanh: return 1 / (cosh(x) * cosh(x))
    }
}

private let inputs =
    (0..<4001).map { Float($0 - 2000) * 0.006 } + values(1000, seed: 1)
    + [0, 1e-30, -1e-30, 9, -9, 40, -40, 1e4, -1e4, 1e20, -1e20]

/// The values and gradients at `x`, in pieces, on elements of a type; values then gradients.
private func run(
    _ kind: Activation, _ x: [Float], _ dy: [Float], _ type: ElementType, pieces length: Int
) -> [Float] {
    withMemory { memory in
        let (input, y) = (memory.elements(x, type), memory.unset(x.count, type))
        let gradient = memory.elements(dy, type)  // in place
        inPieces(of: length, x.count) { range in
            let start = range.lowerBound
            kernels.activate(kind, input + start, into: y + start, count: range.count)
            kernels.activateBackward(
                kind, input + start, gradient: gradient + start, into: gradient + start,
                count: range.count)
        }
        return array(y, x.count) + array(gradient, x.count)
    }
}

@Suite(.everyCompilation)
struct ActivationTests {
    @Test(arguments: Activation.allCases)
    func agreesWithFloat64(kind: Activation) {
        var y = inputs
        kernels.activate(kind, inputs, into: &y, count: y.count)
        let exact = inputs.map { value(kind, Double($0)) }
        // At −1e20 the factor 1e-20 of the limited tail shows; no activation is there.
        let ordinary = inputs.indices.filter { inputs[$0] > -1e10 }
        #expect(close(ordinary.map { y[$0] }, ordinary.map { exact[$0] }))
        #expect(y.allSatisfy { $0.isFinite })
        // The two forms of GELU differ by up to 5e-4: each must fail every other's reference.
        for other in Activation.allCases where other != kind {
            let values = ordinary.map { value(other, Double(inputs[$0])) }
            #expect(!close(ordinary.map { y[$0] }, values))
        }
    }

    @Test(arguments: Activation.allCases, elementTypes)
    func storedElementsAgreeWithFloat64(kind: Activation, type: ElementType) {
        for x in stride(from: -6.0, through: 6.0, by: 0.37) {
            let step = 1e-5
            let numeric = (value(kind, x + step) - value(kind, x - step)) / (2 * step)
            #expect(abs(numeric - derivative(kind, x)) < 1e-9)
        }
        // Halves end at 65,504.
        let inputs = rounded(inputs.filter { abs($0) < 6e4 }, to: type)
        let dy = rounded(values(inputs.count, seed: 2), to: type)
        let found = run(kind, inputs, dy, type, pieces: inputs.count)
        let y = Array(found[..<inputs.count])
        let dx = Array(found[inputs.count...])
        let exact = zip(inputs, dy).map { derivative(kind, Double($0)) * Double($1) }
        #expect(close(y, inputs.map { value(kind, Double($0)) }, storedAs: type))
        #expect(close(dx, exact, storedAs: type))
        #expect(!close(dx, exact.reversed(), storedAs: type))
    }

    @Test(arguments: Activation.allCases, pieceLengths)
    func piecesGiveTheSameBits(kind: Activation, length: Int) {
        let dy = values(inputs.count, seed: 2)
        for type in elementTypes {
            let whole = run(kind, inputs, dy, type, pieces: inputs.count)
            #expect(same(whole, run(kind, inputs, dy, type, pieces: length)))
            #expect(!same(whole, run(kind, inputs, dy.reversed(), type, pieces: length)))
        }
    }

    @Test func whatIsNotANumberStaysSo() {
        for kind in Activation.allCases {
            var y: [Float] = [.nan, 1]
            kernels.activate(kind, [.nan, 1], into: &y, count: 2)
            #expect(y[0].isNaN && y[1].isFinite)
        }
    }
}
