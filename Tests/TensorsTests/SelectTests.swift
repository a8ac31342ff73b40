import Tensors
import Testing

/// Tokens that a head looks at: taken, and their gradients put back.
@Suite struct SelectTests {
    static let shape: Shape = [3, 5, 7]
    static let places: [Int32] = [4, 0, 2, -1, 3, 0, 1, -1, 0]

    @Test(arguments: [DType.float32, .float16, .bfloat16])
    func takesTokensAndGivesTheirGradientsBack(storage: DType) {
        var noise = Noise(seed: 5)
        let x = stored(noise.floats(3 * 5 * 7), storage)
        let upstream = stored(noise.floats(3 * 3 * 7), storage)
        let tape = Tape()
        let input = tape.watch(tensor(x, Self.shape, storage))
        let output = select(
            input, places: Tensor(integers: Self.places, shape: [3, 3]), tokens: TokenSlices(4),
            tape: tape)
        let gradient = tape.backward(
            from: [(output, tensor(upstream, [3, 3, 7], storage))], wanted: [input])[0]
        var value = [Float](repeating: 0, count: 3 * 3 * 7)
        var expected = [Float](repeating: 0, count: x.count)
        for (target, place) in Self.places.enumerated() where place >= 0 {
            let token = target / 3 * 5 + Int(place)
            for column in 0..<7 {
                value[target * 7 + column] = x[token * 7 + column]
                expected[token * 7 + column] += upstream[target * 7 + column]
            }
        }
        #expect(output.array == value && gradient.array == expected)
        #expect(output.dtype == storage && gradient.dtype == storage)
        // The control.
        let other = select(
            input, places: Tensor(integers: Self.places.reversed(), shape: [3, 3]),
            tokens: TokenSlices(4), tape: nil)
        #expect(other.array != value)
    }
}
