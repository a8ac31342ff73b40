import Foundation
import Kernels
import Tensors
import Testing

/// Operands of a layer with stored values, in logical order.
private struct LSTMData: Sendable {
    let (sequences, tokens, units): (Int, Int, Int)
    let (gates, weight, bias, hidden, cell): ([Float], [Float], [Float], [Float], [Float])
    /// Of h, of the last h, of the last cells.
    let upstream: [[Float]]

    init(_ sequences: Int, _ tokens: Int, _ units: Int, storage: DType = .float32, seed: UInt64) {
        (self.sequences, self.tokens, self.units) = (sequences, tokens, units)
        var noise = Noise(seed: seed)
        func next(_ count: Int, times factor: Float = 1) -> [Float] {
            stored(noise.floats(count).map { factor * $0 }, storage)
        }
        gates = next(sequences * tokens * 4 * units, times: 2)
        weight = next(4 * units * units)
        bias = next(4 * units)
        hidden = next(sequences * units)
        cell = noise.floats(sequences * units)
        upstream =
            [next(sequences * tokens * units), next(sequences * units)]
            + [noise.floats(sequences * units)]
    }

    var operands: LSTMReference.Operands {
        func doubles(_ values: [Float]) -> [Double] { values.map(Double.init) }
        return LSTMReference.Operands(
            gates: doubles(gates), weight: doubles(weight), bias: doubles(bias),
            hidden: doubles(hidden), cell: doubles(cell))
    }
}

/// Where a rank's gates stand along the whole axis: by slice, then by gate.
private func gateOrder(units: Int, slices: Int, held: Range<Int>) -> [Int] {
    held.flatMap { slice in
        (0..<4).flatMap { gate in
            (slice * units / slices..<(slice + 1) * units / slices).map { gate * units + $0 }
        }
    }
}

/// Some tokens of every sequence, of an array [sequences, tokens, width].
private func rows(
    of array: [Float], sequences: Int, _ tokens: Range<Int>, width: Int
) -> [Float] {
    let length = array.count / sequences
    var found: [Float] = []
    for sequence in 0..<sequences {
        let start = sequence * length
        found += array[start + tokens.lowerBound * width..<start + tokens.upperBound * width]
    }
    return found
}

private struct LSTMOptions: Sendable {
    var storage = DType.float32
    var lengths: [Int]?
    var direction = LSTMDirection.forwards
    var truncation: Int?
}

/// h, the last h and cells; the gradients of gates, weight, bias, h and c before the first step. Gates in logical order,
/// those of other ranks 0.
private struct LSTMRun: Sendable {
    var outputs: [[Float]]
    var gradients: [[Float]]

    /// - Parameter sum: nil: one process with `slices`.
    init(_ data: LSTMData, _ options: LSTMOptions, slices: Int = 4, sum: (any SliceSum)? = nil) {
        let sum = sum ?? LocalSliceSum(slices: slices)
        let (units, storage) = (data.units, options.storage)
        let order = gateOrder(units: units, slices: sum.sliceCount, held: sum.localSlices)
        func held(_ values: [Float], width: Int) -> [Float] {
            let rows = values.count / (4 * units * width)
            return (0..<rows).flatMap { row in
                order.flatMap { line in
                    (0..<width).map { values[(row * 4 * units + line) * width + $0] }
                }
            }
        }
        let state: Shape = [data.sequences, units]
        let tape = Tape()
        let gates = tape.watch(
            tensor(
                held(data.gates, width: 1), [data.sequences, data.tokens, order.count], storage))
        let weight = Leaf(
            tensor(held(data.weight, width: units), [order.count, units], storage))
        let bias = Leaf(tensor(held(data.bias, width: 1), [order.count], storage))
        let hidden = tape.watch(tensor(data.hidden, state, storage))
        let cell = tape.watch(Tensor(data.cell, shape: state))
        let output = lstm(
            gates, weight: weight, bias: bias,
            slices: Slices(
                borders: (0...sum.sliceCount).map { 4 * ($0 * units / sum.sliceCount) }, sum: sum),
            initial: LSTMState(hidden: hidden, cell: cell),
            lengths: options.lengths.map {
                Tensor(integers: $0.map { Int32($0) }, shape: [$0.count])
            }, direction: options.direction, truncation: options.truncation,
            tokens: TokenSlices(4), tape: tape)
        let found = tape.backward(
            from: [
                (output.hidden, tensor(data.upstream[0], output.hidden.shape, storage)),
                (output.last.hidden, tensor(data.upstream[1], state, storage)),
                (output.last.cell, Tensor(data.upstream[2], shape: state)),
            ], wanted: [gates, hidden, cell])
        outputs = [output.hidden.array, output.last.hidden.array, output.last.cell.array]
        func logical(_ values: [Float], rows: Int = 1, width: Int = 1) -> [Float] {
            var all = [Float](repeating: 0, count: rows * 4 * units * width)
            for row in 0..<rows {
                for (place, line) in order.enumerated() {
                    for column in 0..<width {
                        all[(row * 4 * units + line) * width + column] =
                            values[(row * order.count + place) * width + column]
                    }
                }
            }
            return all
        }
        gradients = [
            logical(found[0].array, rows: data.sequences * data.tokens),
            logical(weight.gradient!.array, width: units), logical(bias.gradient!.array),
            found[1].array, found[2].array,
        ]
    }

    var bits: [UInt32] { (outputs + gradients).flatMap { $0 }.map(\.bitPattern) }
}

@Suite struct LSTMTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var sequences = 3
        var tokens = 5
        var units = 5
        var lengths: [Int]?
        var direction = LSTMDirection.forwards
        var truncation: Int?

        var testDescription: String {
            "\(sequences)×\(tokens)×\(units) \(lengths ?? []) \(direction) \(truncation ?? 0)"
        }

        fileprivate var reference: LSTMReference {
            LSTMReference(
                sequences: sequences, tokens: tokens, units: units, lengths: lengths,
                isBackwards: direction == .backwards, truncation: truncation)
        }

        fileprivate func options(_ storage: DType) -> LSTMOptions {
            LSTMOptions(
                storage: storage, lengths: lengths, direction: direction, truncation: truncation)
        }
    }

    static let cases = [
        Case(sequences: 1, tokens: 1, units: 1),
        Case(), Case(direction: .backwards),
        Case(units: 2, lengths: [2, 5, 3]),
        Case(lengths: [2, 0, 4], direction: .backwards),
        Case(truncation: 2), Case(lengths: [4, 2, 5], direction: .backwards, truncation: 2),
        Case(sequences: 6, tokens: 4, units: 7, lengths: [4, 1, 4, 2, 3, 3], truncation: 1),
    ]

    /// Outputs and all gradients; the control is one wrong element of each.
    @Test(arguments: LSTMTests.cases, [DType.float32, .float16, .bfloat16])
    func matchesTheEquations(_ this: Case, storage: DType) {
        let data = LSTMData(
            this.sequences, this.tokens, this.units, storage: storage, seed: 11)
        let found = LSTMRun(data, this.options(storage))
        let reference = this.reference
        let result = reference.run(data.operands)
        let gradients = reference.gradients(
            data.operands, data.upstream.flatMap { $0 }.map(Double.init))
        let expected = [result.hidden, result.lastHidden, result.lastCell] + gradients
        let tolerance = storage.tolerance(float: 1e-5, half: 2e-3)
        for (number, (array, values)) in zip(found.outputs + found.gradients, expected).enumerated()
        {
            #expect(close(array, values, tolerance: tolerance), "array \(number)")
            var wrong = values
            wrong[wrong.count / 2] += 4 * tolerance * values.reduce(1) { max($0, abs($1)) }
            #expect(!close(array, wrong, tolerance: tolerance), "array \(number)")
        }
    }

    /// The forward pass knows nothing of a truncation, and the gradients of the steps before it do.
    @Test func truncationCutsGradientsAlone() {
        let data = LSTMData(3, 6, 5, seed: 3)
        let whole = LSTMRun(data, LSTMOptions())
        let cut = LSTMRun(data, LSTMOptions(truncation: 3))
        #expect(whole.outputs == cut.outputs)
        let width = 4 * data.units
        func steps(_ run: LSTMRun, _ steps: Range<Int>) -> [Float] {
            rows(of: run.gradients[0], sequences: 3, steps, width: width)
        }
        #expect(steps(whole, 3..<6) == steps(cut, 3..<6))
        #expect(steps(whole, 0..<3) != steps(cut, 0..<3))
        #expect(LSTMRun(data, LSTMOptions(truncation: 6)).bits == whole.bits)
    }

    /// What stands beyond a sequence's end reaches nothing, and a sequence has its bits with any others beside it.
    @Test(arguments: [LSTMDirection.forwards, .backwards])
    func aSequenceEndsWithItsLength(direction: LSTMDirection) {
        let (tokens, units, lengths) = (6, 5, [3, 6, 1, 0, 5, 3, 2])
        let data = LSTMData(lengths.count, tokens, units, seed: 5)
        let together = LSTMRun(data, LSTMOptions(lengths: lengths, direction: direction))
        for (sequence, length) in lengths.enumerated() {
            let alone = LSTMRun(
                LSTMData(data, sequence: sequence, tokens: max(1, length)),
                LSTMOptions(lengths: [length], direction: direction))
            func part(_ array: [Float], _ count: Int) -> [Float] {
                let size = array.count / lengths.count
                return Array(array[sequence * size..<sequence * size + count])
            }
            #expect(
                part(together.outputs[0], length * units)
                    == Array(alone.outputs[0].prefix(length * units)))
            #expect(part(together.outputs[1], units) == alone.outputs[1])
            #expect(part(together.outputs[2], units) == alone.outputs[2])
            #expect(
                part(together.gradients[0], length * 4 * units)
                    == Array(alone.gradients[0].prefix(length * 4 * units)))
            let whole = part(together.outputs[0], tokens * units)
            #expect(whole[(length * units)...].allSatisfy { $0 == 0 })
        }
        let spoilt = LSTMRun(
            LSTMData(data, lengths: lengths, padding: .nan),
            LSTMOptions(lengths: lengths, direction: direction))
        #expect(spoilt.bits == together.bits)
        #expect(together.bits != LSTMRun(data, LSTMOptions(direction: direction)).bits)
    }

    /// Ranks that hold some slices each have the bits of one process.
    @Test(arguments: [1, 2, 4], [DType.float32, .bfloat16])
    func ranksGiveTheBitsOfOneProcess(ranks: Int, storage: DType) {
        for (units, lengths) in [(11, nil), (3, [5, 2, 0, 5, 4, 1])] as [(Int, [Int]?)] {
            let data = LSTMData(6, 5, units, storage: storage, seed: 7)
            let options = LSTMOptions(storage: storage, lengths: lengths, truncation: 4)
            let whole = LSTMRun(data, options)
            let parts = PlayedRanks.run(ranks, slices: 4) { LSTMRun(data, options, sum: $0) }
            for part in parts {
                #expect(part.outputs == whole.outputs)
                #expect(part.gradients[3...] == whole.gradients[3...])
            }
            for number in 0..<3 {
                let sum = parts.dropFirst().reduce(parts[0].gradients[number]) {
                    zip($0, $1.gradients[number]).map { $0 + $1 }
                }
                #expect(sum == whole.gradients[number])
            }
            // The control: one slice is another sum, where a slice has several units.
            if units > 4 {
                let other = LSTMRun(data, options, slices: 1)
                #expect(other.gradients[4] != whole.gradients[4])
            }
        }
    }

    @Test func threadsChangeNoBit() {
        let data = LSTMData(37, 5, 48, seed: 9)
        let options = LSTMOptions(lengths: (0..<37).map { 1 + $0 % 5 })
        Threads.start(1)
        let one = LSTMRun(data, options)
        for threads in 2...3 {
            Threads.start(threads)
            #expect(LSTMRun(data, options).bits == one.bits)
        }
        Threads.start(1)
        #expect(LSTMRun(data, LSTMOptions()).bits != one.bits)
    }

    /// Two calls, the second from the first's last state, have the bits of one: a product that is packed for many
    /// steps has those of one that is not.
    @Test func goesOnFromAState() {
        let data = LSTMData(9, 4, 20, seed: 13)
        let whole = LSTMRun(data, LSTMOptions())
        func gates(_ tokens: Range<Int>) -> Tensor {
            Tensor(
                rows(of: data.gates, sequences: 9, tokens, width: 80),
                shape: [9, tokens.count, 80])
        }
        var state = LSTMState(
            hidden: Tensor(data.hidden, shape: [9, 20]), cell: Tensor(data.cell, shape: [9, 20]))
        for token in 0..<4 {
            let output = lstm(
                gates(token..<token + 1), weight: Leaf(Tensor(data.weight, shape: [80, 20])),
                bias: Leaf(Tensor(data.bias, shape: [80])),
                slices: Slices(borders: [0, 80], sum: LocalSliceSum(slices: 1)), initial: state,
                tokens: TokenSlices(4), tape: nil)
            state = output.last
        }
        // One slice of the gates has their logical order.
        let one = LSTMRun(data, LSTMOptions(), slices: 1)
        #expect(one.outputs == whole.outputs)
        #expect(state.hidden.array == one.outputs[1])
        #expect(state.cell.array == one.outputs[2])
        #expect(state.hidden.array != data.hidden)
    }

    /// A dry log takes the memory that the work takes, in the same order.
    @Test func canBePlanned() {
        func events(isDry: Bool) -> [WorkLog.Event] {
            let data = LSTMData(9, 4, 20, seed: 13)
            let log = WorkLog(isDry: isDry)
            log.record {
                let tape = Tape()
                let gates = tape.watch(Tensor(data.gates, shape: [9, 4, 80]))
                let output = lstm(
                    gates, weight: Leaf(Tensor(data.weight, shape: [80, 20])),
                    slices: Slices(
                        borders: (0...4).map { 20 * $0 }, sum: LocalSliceSum(slices: 4)),
                    lengths: Tensor(integers: [Int32](repeating: 4, count: 9), shape: [9]),
                    tokens: TokenSlices(4), tape: tape)
                tape.backward(from: [(output.hidden, output.hidden.detached)], wanted: [gates])
            }
            return log.events
        }
        let wet = events(isDry: false)
        #expect(wet.count > 20)
        #expect(events(isDry: true) == wet)
    }
}

extension LSTMData {
    private init(
        _ other: LSTMData, sequences: Int, tokens: Int, gates: [Float], hidden: [Float],
        cell: [Float], upstream: [[Float]]
    ) {
        (self.sequences, self.tokens, units) = (sequences, tokens, other.units)
        (self.gates, weight, bias) = (gates, other.weight, other.bias)
        (self.hidden, self.cell, self.upstream) = (hidden, cell, upstream)
    }

    /// The first tokens of one sequence.
    init(_ other: LSTMData, sequence: Int, tokens: Int) {
        func part(_ array: [Float], tokens: Int?) -> [Float] {
            let size = array.count / other.sequences
            let count = tokens.map { size / other.tokens * $0 } ?? size
            return Array(array[sequence * size..<sequence * size + count])
        }
        self.init(
            other, sequences: 1, tokens: tokens, gates: part(other.gates, tokens: tokens),
            hidden: part(other.hidden, tokens: nil), cell: part(other.cell, tokens: nil),
            upstream: [
                part(other.upstream[0], tokens: tokens), part(other.upstream[1], tokens: nil),
                part(other.upstream[2], tokens: nil),
            ])
    }

    /// With other gates where there are no tokens.
    init(_ other: LSTMData, lengths: [Int], padding: Float) {
        var gates = other.gates
        let width = 4 * other.units
        for (sequence, length) in lengths.enumerated() {
            for token in length..<other.tokens {
                let start = (sequence * other.tokens + token) * width
                for index in start..<start + width { gates[index] = padding }
            }
        }
        self.init(
            other, sequences: other.sequences, tokens: other.tokens, gates: gates,
            hidden: other.hidden, cell: other.cell, upstream: other.upstream)
    }
}
