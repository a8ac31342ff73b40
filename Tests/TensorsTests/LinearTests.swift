import Kernels
import Tensors
import Testing

/// The product primitive against the formula in Float64, for each split and epilogue (seam 1: partials
/// → `SliceSum` → epilogue).
@Suite struct LinearTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let rows: Int
        let inputs: Int
        let outputs: Int
        let split: String
        let activation: Activation?
        let residual: Bool

        var testDescription: String {
            "\(rows)×\(inputs)→\(outputs) \(split) \(activation.map { "\($0)" } ?? "-") \(residual)"
        }
    }

    static let cases: [Case] = [(1, 1, 1), (3, 5, 7), (13, 24, 72), (65, 31, 17), (200, 96, 48)]
        .flatMap { rows, inputs, outputs in
            ["replicated", "outputs", "inputs"].flatMap { split in
                [(nil, false), (Activation.geluTanh, true), (nil, true)].map {
                    activation, residual in
                    Case(
                        rows: rows, inputs: inputs, outputs: outputs, split: split,
                        activation: activation, residual: residual)
                }
            }
        }

    static func slices(_ extent: Int) -> Slices {
        let borders = (0...4).map { $0 * extent / 4 }
        return Slices(
            borders: borders,
            sum: LocalSliceSum(slices: 4))
    }

    @Test(arguments: LinearTests.cases, [DType.float32, .float16, .bfloat16])
    func matchesTheFormula(_ this: Case, storage: DType) {
        var random = Noise(seed: UInt64(this.rows * 1000 + this.inputs * 10 + this.outputs))
        let x = stored(random.floats(this.rows * this.inputs), storage)
        let weight = stored(random.floats(this.outputs * this.inputs), storage)
        let bias = stored(random.floats(this.outputs), storage)
        let residual = stored(random.floats(this.rows * this.outputs), storage)
        let upstream = stored(random.floats(this.rows * this.outputs), storage)

        let split: WeightSplit =
            switch this.split {
            case "outputs": .outputs(Self.slices(this.outputs))
            case "inputs": .inputs(Self.slices(this.inputs))
            default: .replicated
            }
        let memory = MemoryOrder(this)
        let weightLeaf = Leaf(
            tensor(memory.scatter(weight), [this.outputs, this.inputs], storage))
        let biasLeaf = Leaf(tensor(bias, [this.outputs], storage))
        let tape = Tape()
        let input = tape.watch(tensor(x, [this.rows, this.inputs], storage))
        let rest = tape.watch(tensor(residual, [this.rows, this.outputs], storage))
        let output = linear(
            input, weight: weightLeaf, split: split,
            epilogue: Epilogue(
                bias: biasLeaf, activation: this.activation, residual: this.residual ? rest : nil),
            tokens: TokenSlices(4), tape: tape)
        let gradients = tape.backward(
            from: [(output, tensor(upstream, [this.rows, this.outputs], storage))],
            wanted: [input, rest])

        let reference = Reference(this, x, weight, bias, residual, upstream)
        // Of Float16 what is stored is rounded: the output, the sum before the activation, gradients.
        let tolerance = storage.tolerance(float: 1e-5, half: 4e-3)
        #expect(close(output.array, reference.output, tolerance: tolerance))
        #expect(close(gradients[0].array, reference.inputGradient, tolerance: tolerance))
        #expect(
            close(
                memory.gather(weightLeaf.gradient!.array), reference.weightGradient,
                tolerance: tolerance))
        #expect(close(biasLeaf.gradient!.array, reference.biasGradient, tolerance: tolerance))
        if this.residual { #expect(gradients[1].array == upstream) }
        // The control: one wrong element must be seen.
        var wrong = reference.output
        wrong[wrong.count / 2] += 10 * tolerance * reference.output.reduce(1) { max($0, abs($1)) }
        #expect(!close(output.array, wrong, tolerance: tolerance))
    }

    /// A `SliceSum` that pretends two ranks: the primitive hands over its subtree's root before the
    /// epilogue, in Float32.
    @Test func theEpilogueFollowsTheWholeTree() {
        final class Doubling: SliceSum {
            let sliceCount = 8
            let localSlices = 0..<4
            var sums = 0
            func beginSum(_ root: Buffer, scatteredAt borders: [Int]?) -> () -> Void {
                {
                    self.sums += 1
                    for index in 0..<root.count { root.floats[index] *= 2 }
                }
            }
            func finishMaximum(_ root: Buffer) {}
            func finishRows(_ rows: Buffer, width: Int, slice: (Int) -> Int) {}
            func gather(_ elements: Buffer, borders: [Int]) {}
        }
        let sum = Doubling()
        let weight = Leaf(Tensor([Float](repeating: 1, count: 8), shape: [2, 4]))
        let bias = Leaf(Tensor([100, 200], shape: [2]))
        let split = WeightSplit.inputs(Slices(borders: Array(0...8), sum: sum))
        let y = linear(
            Tensor([1, 2, 3, 4], shape: [1, 4]), weight: weight, split: split,
            epilogue: Epilogue(bias: bias), tokens: TokenSlices(1), tape: nil)
        #expect(y.array == [120, 220])  // 2·10 + bias, not 2·(10 + bias)
        #expect(sum.sums == 1)
    }
}

/// Row-parallel weights are slice-major in memory.
private struct MemoryOrder {
    let order: [Int]

    init(_ this: LinearTests.Case) {
        guard this.split == "inputs" else {
            order = Array(0..<this.outputs * this.inputs)
            return
        }
        order = LinearTests.slices(this.inputs).ranges.flatMap { columns in
            (0..<this.outputs).flatMap { row in columns.map { row * this.inputs + $0 } }
        }
    }

    func scatter(_ logical: [Float]) -> [Float] { order.map { logical[$0] } }

    func gather(_ memory: [Float]) -> [Float] {
        var logical = memory
        for (position, index) in order.enumerated() { logical[index] = memory[position] }
        return logical
    }
}

private struct Reference {
    var output: [Double] = []
    var inputGradient: [Double]
    var weightGradient: [Double]
    var biasGradient: [Double]

    init(
        _ this: LinearTests.Case, _ x: [Float], _ weight: [Float], _ bias: [Float],
        _ residual: [Float], _ upstream: [Float]
    ) {
        let (rows, inputs, outputs) = (this.rows, this.inputs, this.outputs)
        inputGradient = Array(repeating: 0, count: rows * inputs)
        weightGradient = Array(repeating: 0, count: outputs * inputs)
        biasGradient = Array(repeating: 0, count: outputs)
        for row in 0..<rows {
            for column in 0..<outputs {
                var z = Double(bias[column])
                for k in 0..<inputs {
                    z += Double(x[row * inputs + k]) * Double(weight[column * inputs + k])
                }
                let at = row * outputs + column
                var (y, slope) = (z, 1.0)
                if this.activation != nil { (y, slope) = Reference.gelu(z) }
                output.append(y + (this.residual ? Double(residual[at]) : 0))
                let dz = Double(upstream[at]) * slope
                biasGradient[column] += dz
                for k in 0..<inputs {
                    inputGradient[row * inputs + k] += dz * Double(weight[column * inputs + k])
                    weightGradient[column * inputs + k] += dz * Double(x[row * inputs + k])
                }
            }
        }
    }

    /// The tanh form and its derivative, by a symmetric difference of the Float64 formula.
    static func gelu(_ x: Double) -> (Double, Double) {
        func f(_ x: Double) -> Double {
            0.5 * x * (1 + tangent(0.7978845608028654 * (x + 0.044715 * x * x * x)))
        }
        return (f(x), (f(x + 1e-5) - f(x - 1e-5)) / 2e-5)
    }
}
