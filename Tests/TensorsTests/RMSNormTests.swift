import Tensors
import Testing

/// The primitive against analytic Float64; the kernel's tests hold that against differences.
@Suite struct RMSNormTests {
    @Test(arguments: [(1, 1), (7, 5), (130, 24)], [DType.float32, .float16, .bfloat16])
    func matchesTheFormula(shape: (Int, Int), storage: DType) {
        let (rows, width) = shape
        var noise = Noise(seed: UInt64(rows * width))
        let x = stored(noise.floats(rows * width), storage)
        let gain = stored(noise.floats(width), storage)
        let upstream = stored(noise.floats(rows * width), storage)
        let leaf = Leaf(tensor(gain, [width], storage))
        let tape = Tape()
        let input = tape.watch(tensor(x, [rows, width], storage))
        let output = rmsNorm(
            input, gain: leaf, epsilon: 1e-5, tokens: TokenSlices(4), tape: tape)
        let gradient = tape.backward(
            from: [(output, tensor(upstream, [rows, width], storage))], wanted: [input])[0]

        var (value, inputGradient) = ([Double](), [Double]())
        var gainGradient = [Double](repeating: 0, count: width)
        for row in 0..<rows {
            func element(_ array: [Float], _ column: Int) -> Double {
                Double(array[row * width + column])
            }
            let columns = 0..<width
            let square = columns.reduce(0) { $0 + element(x, $1) * element(x, $1) }
            let reciprocal = 1 / (square / Double(width) + Double(Float(1e-5))).squareRoot()
            let product = columns.reduce(0) {
                $0 + element(upstream, $1) * Double(gain[$1]) * element(x, $1)
            }
            for column in columns {
                let normal = element(x, column) * reciprocal
                value.append(normal * Double(gain[column]))
                inputGradient.append(
                    element(upstream, column) * Double(gain[column]) * reciprocal
                        - element(x, column) * product * reciprocal * reciprocal * reciprocal
                        / Double(width))
                gainGradient[column] += element(upstream, column) * normal
            }
        }
        let tolerance = storage.tolerance(float: 1e-5, half: 1e-3)
        #expect(output.dtype == storage && gradient.dtype == storage)
        #expect(close(output.array, value, tolerance: tolerance))
        #expect(close(gradient.array, inputGradient, tolerance: tolerance))
        #expect(close(leaf.gradient!.array, gainGradient, tolerance: 1e-5))
        // The control.
        gainGradient[width / 2] += 0.01 * gainGradient.reduce(1) { max($0, abs($1)) }
        #expect(!close(leaf.gradient!.array, gainGradient, tolerance: 1e-5))
    }

    /// Tokens scattered over two ranks: each adds its own slices, and the gain's gradient has the bits of
    /// one process.
    @Test func scatteredTokensGiveTheBitsOfOneProcess() {
        let (rows, width) = (150, 9)
        var noise = Noise(seed: 3)
        let (x, gain, upstream) = (
            noise.floats(rows * width), noise.floats(width), noise.floats(rows * width)
        )
        @Sendable func run(_ tokens: TokenSlices) -> (gradient: [Float], gain: [Float]) {
            let leaf = Leaf(Tensor(gain, shape: [width]))
            let tape = Tape()
            let whole = Tensor(x, shape: [rows, width])
            let input = tape.watch(tokens.scattered(whole))
            let output = rmsNorm(input, gain: leaf, epsilon: 1e-5, tokens: tokens, tape: tape)
            let dy = tokens.scattered(Tensor(upstream, shape: [rows, width]))
            let gradient = tape.backward(from: [(output, dy)], wanted: [input])[0]
            return (gradient.array, leaf.gradient!.array)
        }
        let whole = run(TokenSlices(4))
        let ranks = TwoRanks.run { run(TokenSlices(scatteredOver: $0)) }
        #expect(ranks.flatMap(\.gradient) == whole.gradient)
        #expect(ranks.allSatisfy { $0.gain == whole.gain })
        // The control: other slices give other bits.
        #expect(run(TokenSlices(1)).gain != whole.gain)
    }
}
