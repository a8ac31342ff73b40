import Foundation
import Layers
import Tensors
import Testing

@Suite struct SinusoidalPositionsTests {
    /// The two orders, by the paper's formula.
    @Test(arguments: [DType.float32, .float16, .bfloat16], [true, false])
    func addsSinesAndCosines(storage: DType, isInterleaved: Bool) {
        let (count, width) = (9, 6)
        let layer = SinusoidalPositions(
            count: count, width: width, order: isInterleaved ? .interleaved : .halves,
            numerics: Numerics())
        let x = Tensor([Float](repeating: 0.25, count: 2 * 7 * width), shape: [2, 7, width])
        let found = layer(x.converted(to: storage), Pass())
        #expect(found.dtype == storage && found.shape == x.shape)
        let tolerance = storage == .float32 ? 1e-6 : storage == .float16 ? 2e-3 : 1.6e-2
        for (index, value) in found.array.enumerated() {
            let (place, column) = (index / width % 7, index % width)
            let pair = isInterleaved ? column / 2 : column % 3
            let isSine = isInterleaved ? column % 2 == 0 : column < 3
            let angle = Double(place) / pow(10_000, Double(pair) / 3)
            let expected = 0.25 + (isSine ? sin(angle) : cos(angle))
            #expect(abs(Double(value) - expected) < tolerance)
        }
        // The control: the other order.
        let other = SinusoidalPositions(
            count: count, width: width, order: isInterleaved ? .halves : .interleaved,
            numerics: Numerics())
        #expect(other(x.converted(to: storage), Pass()).array != found.array)
    }

    @Test func gradientsPassThroughAndNothingIsLearned() {
        let layer = SinusoidalPositions(count: 4, width: 2, order: .halves, numerics: Numerics())
        let tape = Tape()
        let x = tape.watch(Tensor([1, 2, 3, 4], shape: [1, 2, 2]))
        let y = layer(x, Pass(tape: tape))
        let upstream = Tensor([5, 6, 7, 8], shape: [1, 2, 2])
        #expect(tape.backward(from: [(y, upstream)], wanted: [x])[0].array == [5, 6, 7, 8])
    }
}
