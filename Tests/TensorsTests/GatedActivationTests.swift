import Foundation
import Kernels
import Tensors
import Testing

private func function(_ kind: Activation, _ x: Double) -> Double {
    switch kind {
    case .geluTanh: 0.5 * x * (1 + tangent(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    case .geluErf: 0.5 * x * erfc(-x / 2.0.squareRoot())
    case .silu: x / (1 + exp(-x))
    case .relu: max(x, 0)
    case .tanh: tanh(x)
    }
}

@Suite struct GatedActivationTests {
    /// Slices of 2, 0 and 3 features: [g g u u | | g g g u u u].
    private let columns = [
        GatedColumns(gate: 0..<2, up: 2..<4), GatedColumns(gate: 4..<4, up: 4..<4),
        GatedColumns(gate: 4..<7, up: 7..<10),
    ]
    private let gates = [0, 1, 4, 5, 6]
    private let ups = [2, 3, 7, 8, 9]

    private func run(
        _ x: [Float], _ upstream: [Float], _ columns: [GatedColumns], rows: Int, _ kind: Activation,
        _ storage: DType
    ) -> (value: [Float], gradient: [Float]) {
        let tape = Tape()
        let fused = tape.watch(tensor(x, [1, rows, x.count / rows], storage))
        let output = gatedActivation(fused, columns: columns, activation: kind, tape: tape)
        let dy = tensor(upstream, output.shape, storage)
        let gradient = tape.backward(from: [(output, dy)], wanted: [fused])[0]
        return (output.array, gradient.array)
    }

    @Test(arguments: Activation.allCases, [DType.float32, .float16, .bfloat16])
    func matchesTheFormula(kind: Activation, storage: DType) {
        let rows = 7
        var noise = Noise(seed: 5)
        let x = stored(noise.floats(rows * 10).map { 3 * $0 }, storage)
        let upstream = stored(noise.floats(rows * 5), storage)
        let found = run(x, upstream, columns, rows: rows, kind, storage)
        var value: [Double] = []
        var gradient = [Double](repeating: 0, count: x.count)
        for row in 0..<rows {
            for (place, (gate, up)) in zip(gates, ups).enumerated() {
                let (g, u) = (Double(x[row * 10 + gate]), Double(x[row * 10 + up]))
                let dy = Double(upstream[row * 5 + place])
                let slope = (function(kind, g + 1e-5) - function(kind, g - 1e-5)) / 2e-5
                value.append(function(kind, g) * u)
                gradient[row * 10 + gate] = dy * u * slope
                gradient[row * 10 + up] = dy * function(kind, g)
            }
        }
        let tolerance = storage.tolerance(float: 1e-5, half: 1e-3)
        #expect(close(found.value, value, tolerance: tolerance))
        #expect(close(found.gradient, gradient, tolerance: tolerance))
        // The control: gate and value exchanged.
        let exchanged = run(
            x, upstream, columns.map { GatedColumns(gate: $0.up, up: $0.gate) }, rows: rows, kind,
            storage)
        #expect(!close(exchanged.value, value, tolerance: tolerance))
    }

    /// A rank that holds some slices gets their bits.
    @Test(arguments: Activation.allCases)
    func slicesGiveTheBitsOfTheWhole(kind: Activation) {
        let rows = 33
        var noise = Noise(seed: 8)
        let (x, upstream) = (noise.floats(rows * 10), noise.floats(rows * 5))
        let whole = run(x, upstream, columns, rows: rows, kind, .float32)
        func part(_ array: [Float], _ width: Int, _ range: Range<Int>) -> [Float] {
            (0..<rows).flatMap { row in range.map { array[row * width + $0] } }
        }
        let last = run(
            part(x, 10, 4..<10), part(upstream, 5, 2..<5),
            [GatedColumns(gate: 0..<3, up: 3..<6)], rows: rows, kind, .float32)
        #expect(last.value == part(whole.value, 5, 2..<5))
        #expect(last.gradient == part(whole.gradient, 10, 4..<10))
        #expect(last.value != part(whole.value, 5, 1..<4))
    }
}
