import Foundation
import Kernels
import Tensors
import Testing

/// A table whose angles are not those of any position, so that each has its own place in it.
private struct Turns {
    let positions: Int
    let pairs: Int
    let arrangement: RotaryPairs

    func angle(_ position: Int, _ pair: Int) -> Double {
        Double(position) * 0.37 + Double(pair) * 1.1 + 0.2
    }

    var table: RotaryTable {
        let angles = (0..<positions).flatMap { position in
            (0..<pairs).map { angle(position, $0) }
        }
        return RotaryTable(
            cosines: Tensor(angles.map { Float(cos($0)) }, shape: [positions, pairs]),
            sines: Tensor(angles.map { Float(sin($0)) }, shape: [positions, pairs]),
            pairs: arrangement)
    }

    /// Token by token in Float64, `sign` −1 for the gradient.
    func turn(
        _ x: [Float], shape: Shape, heads: [Int], starts: [Int], sign: Double = 1
    ) -> [Double] {
        var y = x.map(Double.init)
        for sequence in 0..<shape[0] {
            for token in 0..<shape[1] {
                for head in heads {
                    for pair in 0..<pairs {
                        let first = (sequence * shape[1] + token) * shape[2] + head
                        let a = first + (arrangement == .half ? pair : 2 * pair)
                        let b = arrangement == .half ? a + pairs : a + 1
                        let angle = sign * angle(max(0, starts[sequence] + token), pair)
                        y[a] = Double(x[a]) * cos(angle) - Double(x[b]) * sin(angle)
                        y[b] = Double(x[b]) * cos(angle) + Double(x[a]) * sin(angle)
                    }
                }
            }
        }
        return y
    }
}

@Suite struct RotaryTests {
    /// Three heads of 10 features and 5 features of values, of each head the first 2·pairs.
    private let shape: Shape = [2, 9, 35]
    private let heads = [0, 10, 20]
    private let starts = [-3, 4]

    private func run(
        _ x: [Float], _ upstream: [Float], _ turns: Turns, _ storage: DType, starts: [Int],
        sharedGradient: Bool = true
    ) -> (value: [Float], gradient: [Float]) {
        let tape = Tape()
        let input = tape.watch(tensor(x, shape, storage))
        var output = rotary(
            input, headOffsets: heads, table: turns.table, starts: starts, tape: tape)
        #expect(output.buffer.storage === input.buffer.storage, "no memory is taken")
        let dy = tensor(upstream, shape, storage)
        // A gradient from outside is shared; the one that a sum makes is owned.
        if !sharedGradient {
            output = add(output, Tensor(zeros: shape, dtype: storage), tape: tape)
        }
        let gradient = tape.backward(from: [(output, dy)], wanted: [input])[0]
        #expect(dy.array == upstream, "what is shared is not written to")
        return (output.array, gradient.array)
    }

    @Test(arguments: RotaryPairs.allCases, [DType.float32, .float16, .bfloat16])
    func matchesTheFormula(arrangement: RotaryPairs, storage: DType) {
        for pairs in [1, 3, 5] {
            let turns = Turns(positions: 13, pairs: pairs, arrangement: arrangement)
            var noise = Noise(seed: UInt64(pairs))
            let x = stored(noise.floats(shape.count), storage)
            let upstream = stored(noise.floats(shape.count), storage)
            let found = run(x, upstream, turns, storage, starts: starts)
            let value = turns.turn(x, shape: shape, heads: heads, starts: starts)
            let gradient = turns.turn(
                upstream, shape: shape, heads: heads, starts: starts, sign: -1)
            let tolerance = storage.tolerance(float: 1e-6, half: 1e-3)
            #expect(close(found.value, value, tolerance: tolerance))
            #expect(close(found.gradient, gradient, tolerance: tolerance))
            // Controls: the other direction; one position on.
            let forwards = turns.turn(upstream, shape: shape, heads: heads, starts: starts)
            #expect(!close(found.gradient, forwards, tolerance: tolerance))
            let later = turns.turn(
                x, shape: shape, heads: heads, starts: starts.map { $0 + 1 })
            #expect(!close(found.value, later, tolerance: tolerance))
        }
    }

    /// A position for each token turns it as it is turned where its sequence begins accordingly.
    @Test(arguments: RotaryPairs.allCases)
    func positionsOfTokensAreTakenAsTheyAre(arrangement: RotaryPairs) {
        let turns = Turns(positions: 13, pairs: 4, arrangement: arrangement)
        var noise = Noise(seed: 12)
        let x = noise.floats(shape.count)
        func run(_ positions: [Int32]) -> (value: [Float], gradient: [Float]) {
            let tape = Tape()
            let input = tape.watch(tensor(x, shape, .float32))
            let output = rotary(
                input, headOffsets: heads, table: turns.table,
                positions: Tensor(integers: positions, shape: [2, 9]), tape: tape)
            let upstream = (output, tensor(x, shape, .float32))
            let gradient = tape.backward(from: [upstream], wanted: [input])[0]
            return (output.array, gradient.array)
        }
        let plain = self.run(x, x, turns, .float32, starts: starts)
        let positions = starts.flatMap { start in (0..<9).map { Int32(max(0, start + $0)) } }
        #expect(run(positions) == plain)
        // Two texts in the first sequence: the second begins anew.
        let both = (0..<4).map { Int32($0) } + (0..<5).map { Int32($0) }
        let found = run(both + positions[9...])
        let (first, second) = (
            self.run(x, x, turns, .float32, starts: [0, 4]),
            self.run(x, x, turns, .float32, starts: [-4, 4])
        )
        #expect(found.value[..<(4 * 35)] == first.value[..<(4 * 35)])
        #expect(found.value[(4 * 35)...] == second.value[(4 * 35)...])
        #expect(found.gradient[(4 * 35)...] == second.gradient[(4 * 35)...])
        #expect(found.value != first.value, "control")
    }

    /// A turn keeps lengths, so its gradient is its inverse.
    @Test(arguments: RotaryPairs.allCases)
    func theGradientIsTurnedBack(arrangement: RotaryPairs) {
        let turns = Turns(positions: 13, pairs: 4, arrangement: arrangement)
        var noise = Noise(seed: 9)
        let x = noise.floats(shape.count)
        let turned = run(x, x, turns, .float32, starts: starts).value
        let back = run(x, turned, turns, .float32, starts: starts).gradient
        #expect(close(back, x.map(Double.init), tolerance: 1e-6))
        #expect(!close(turned, x.map(Double.init), tolerance: 1e-6))
        let owned = run(x, turned, turns, .float32, starts: starts, sharedGradient: false)
        #expect(owned.gradient == back && owned.value == turned)
    }

    /// A token alone, at its position, has the bits that it has among others; so has a head.
    @Test(arguments: RotaryPairs.allCases, [1, 4, 5])
    func bitsDependOnElementAndPosition(arrangement: RotaryPairs, pairs: Int) {
        let turns = Turns(positions: 13, pairs: pairs, arrangement: arrangement)
        var noise = Noise(seed: 10)
        let x = noise.floats(shape.count)
        let whole = run(x, x, turns, .float32, starts: starts).value
        func alone(_ token: Int, at position: Int) -> [Float] {
            let first = (9 + token) * 35 + 10
            let head = Tensor(Array(x[first..<first + 10]), shape: [1, 1, 10])
            return rotary(
                head, headOffsets: [0], table: turns.table, starts: [position], tape: nil
            ).array
        }
        for token in 0..<9 {
            let first = (9 + token) * 35 + 10
            let expected = Array(whole[first..<first + 10])
            #expect(alone(token, at: 4 + token) == expected)
            #expect(alone(token, at: 3 + token) != expected)
        }
    }
}
