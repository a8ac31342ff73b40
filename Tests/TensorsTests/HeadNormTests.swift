import Tensors
import Testing

/// Four slices, each of two heads of q, one of k and one of v.
@Suite struct HeadNormTests {
    private static let dimension = 6
    private static let sliceWidth = 4 * dimension
    private static let rows = 2 * 75

    private struct Result: Sendable {
        let value: [Float]
        let gradient: [Float]
        let gains: [[Float]]
    }

    private struct Operands: Sendable {
        let x: [Float]
        let upstream: [Float]
        let gains: [[Float]]

        init(_ storage: DType) {
            var noise = Noise(seed: 17)
            let count = rows * 4 * sliceWidth
            x = stored(noise.floats(count).map { 2 * $0 }, storage)
            upstream = stored(noise.floats(count), storage)
            gains = (0..<2).map { _ in stored(noise.floats(dimension).map { $0 + 1 }, storage) }
        }
    }

    private static func columns(_ array: [Float], _ slices: Range<Int>) -> [Float] {
        (0..<rows).flatMap { row in
            (slices.lowerBound * sliceWidth..<slices.upperBound * sliceWidth).map {
                array[row * 4 * sliceWidth + $0]
            }
        }
    }

    private static func run(
        _ operands: Operands, _ sum: any SliceSum, _ storage: DType = .float32, owned: Bool = false
    ) -> Result {
        let slices = sum.localSlices
        let shape: Shape = [2, rows / 2, slices.count * sliceWidth]
        let leaves = operands.gains.map { Leaf(tensor($0, [dimension], storage)) }
        let starts = slices.indices.map { ($0 - slices.lowerBound) * sliceWidth }
        let groups = [
            NormalisedHeads(
                gain: leaves[0], epsilon: 1e-6, offsets: starts.map { [$0, $0 + dimension] }),
            NormalisedHeads(
                gain: leaves[1], epsilon: 1e-6, offsets: starts.map { [$0 + 2 * dimension] }),
        ]
        let tape = Tape()
        let input = tape.watch(tensor(columns(operands.x, slices), shape, storage))
        var output = headNorm(input, groups, headDimension: dimension, sum: sum, tape: tape)
        let value = output.array
        if owned { output = add(output, Tensor(zeros: shape, dtype: storage), tape: tape) }
        let dy = tensor(columns(operands.upstream, slices), shape, storage)
        let gradient = tape.backward(from: [(output, dy)], wanted: [input])[0]
        #expect(input.array == columns(operands.x, slices), "the input is kept")
        #expect(dy.array == columns(operands.upstream, slices))
        return Result(
            value: value, gradient: gradient.array, gains: leaves.map { $0.gradient!.array })
    }

    @Test(arguments: [DType.float32, .float16, .bfloat16])
    func matchesTheFormula(storage: DType) {
        let operands = Operands(storage)
        let found = Self.run(operands, LocalSliceSum(slices: 4), storage)
        var value = operands.x.map(Double.init)
        var gradient = operands.upstream.map(Double.init)
        let n = Self.dimension
        var gains = [[Double]](repeating: [Double](repeating: 0, count: n), count: 2)
        for run in 0..<Self.rows * 16 where run % 4 != 3 {
            let gain = run % 4 == 2 ? 1 : 0
            let x = (0..<n).map { Double(operands.x[run * n + $0]) }
            let dy = (0..<n).map { Double(operands.upstream[run * n + $0]) }
            let g = operands.gains[gain].map(Double.init)
            let reciprocal =
                1 / (x.reduce(0) { $0 + $1 * $1 } / Double(n) + 1e-6).squareRoot()
            let product = (0..<n).reduce(0) { $0 + dy[$1] * g[$1] * x[$1] * reciprocal }
            for i in 0..<n {
                value[run * n + i] = x[i] * reciprocal * g[i]
                gradient[run * n + i] =
                    reciprocal * (dy[i] * g[i] - x[i] * reciprocal * product / Double(n))
                gains[gain][i] += dy[i] * x[i] * reciprocal
            }
        }
        let tolerance = storage.tolerance(float: 1e-5, half: 1e-3)
        #expect(close(found.value, value, tolerance: tolerance))
        #expect(close(found.gradient, gradient, tolerance: tolerance))
        #expect(close(found.gains[0], gains[0]) && close(found.gains[1], gains[1]))
        #expect(!close(found.gains[0], gains[1]))
        let owned = Self.run(operands, LocalSliceSum(slices: 4), storage, owned: true)
        #expect(owned.gradient == found.gradient && owned.gains == found.gains)
    }

    /// Two ranks with half of the slices each give the bits of one with all, of the gains too.
    @Test func ranksGiveTheBitsOfOneProcess() {
        let operands = Operands(.float32)
        let whole = Self.run(operands, LocalSliceSum(slices: 4))
        let ranks = TwoRanks.run { sum in
            let result = Self.run(operands, sum)
            #expect(sum.sums == 1, "one exchange for both gains")
            return result
        }
        for (rank, result) in ranks.enumerated() {
            let slices = 2 * rank..<2 * rank + 2
            #expect(result.value == Self.columns(whole.value, slices))
            #expect(result.gradient == Self.columns(whole.gradient, slices))
            #expect(result.gains == whole.gains)
        }
        // The control: another order of the same terms gives other bits.
        let gains = Self.sumsInAnotherOrder(operands)
        #expect(gains != whole.gains[0])
        #expect(close(gains, whole.gains[0].map(Double.init)))
    }

    /// The gradient of q's gain over all heads as one slice.
    private static func sumsInAnotherOrder(_ operands: Operands) -> [Float] {
        let leaf = Leaf(Tensor(operands.gains[0], shape: [dimension]))
        let heads = (0..<4).flatMap { [$0 * sliceWidth, $0 * sliceWidth + dimension] }
        let group = NormalisedHeads(gain: leaf, epsilon: 1e-6, offsets: [heads])
        let tape = Tape()
        let shape: Shape = [2, rows / 2, 4 * sliceWidth]
        let output = headNorm(
            Tensor(operands.x, shape: shape), [group], headDimension: dimension,
            sum: LocalSliceSum(slices: 1), tape: tape)
        tape.backward(from: [(output, Tensor(operands.upstream, shape: shape))])
        return leaf.gradient!.array
    }
}
