import Foundation
import Kernels
import Tensors
import Testing

/// The head of a language model whose vocabulary lies on two ranks: their loss and gradients have the
/// bits of one process that holds all of it.
@Suite struct CrossEntropyTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let rows: Int
        let width: Int
        let vocabulary: Int
        let storage: DType
        let smoothing: Double
        var isBiased = false

        var testDescription: String {
            "\(rows)×\(width)→\(vocabulary) \(storage) \(smoothing)\(isBiased ? ", biased" : "")"
        }
    }

    static let cases: [Case] = [(1, 1, 2), (3, 5, 7), (13, 24, 61), (33, 16, 1009)]
        .flatMap { rows, width, vocabulary in
            [DType.float32, .float16, .bfloat16].flatMap { storage in
                [(0, false), (0.1, false), (0, true)].map { smoothing, isBiased in
                    Case(
                        rows: rows, width: width, vocabulary: vocabulary, storage: storage,
                        smoothing: smoothing, isBiased: isBiased)
                }
            }
        }

    @Test(arguments: CrossEntropyTests.cases)
    func twoRanksGiveTheBitsOfOneProcess(_ this: Case) {
        let head = Head(this)
        let whole = head.run(LocalSliceSum(slices: 4))
        let ranks = TwoRanks.run { sum in
            (outcome: head.run(sum), sums: sum.sums)
        }
        for rank in ranks {
            #expect(rank.outcome.loss == whole.loss)
            #expect(rank.outcome.inputGradient == whole.inputGradient)
            #expect(rank.outcome.correct == whole.correct)
            // One exchange of sums forward, with smoothing too, and one backward.
            #expect(rank.sums == 2)
        }
        #expect(ranks.flatMap(\.outcome.tableGradient) == whole.tableGradient)
        #expect(ranks.flatMap(\.outcome.biasGradient) == whole.biasGradient)
        // The control: labels that are smoothed a little more.
        let more = this.smoothing + 1e-3
        let found = TwoRanks.run { head.run($0, smoothing: more).loss }
        #expect(!found.contains(whole.loss))
    }

    @Test(arguments: CrossEntropyTests.cases)
    func matchesTheFormula(_ this: Case) {
        let head = Head(this)
        let found = head.run(LocalSliceSum(slices: 4))
        let gradient = found.inputGradient.map { Float(bitPattern: $0) }
        let expected = head.reference()
        // Of Float16 logits and their gradient are rounded.
        let tolerance = this.storage.tolerance(float: 1e-5, half: 4e-3)
        func isClose(_ loss: Double) -> Bool {
            abs(Double(bitPattern: found.loss) - loss) <= tolerance * max(1, abs(loss))
        }
        #expect(isClose(expected.loss))
        #expect(close(gradient, expected.gradient, tolerance: tolerance))
        if this.isBiased {
            let found = found.biasGradient.map { Float(bitPattern: $0) }
            #expect(close(found, expected.bias, tolerance: tolerance))
            #expect(!close(found, expected.bias.reversed(), tolerance: tolerance))
        }
        // Rounded scores may be equal.
        if this.storage == .float32 {
            #expect(found.correct == expected.correct)
            #expect(expected.correct < weightOfAll(head), "control")
        }
        // The control: one wrong element must be seen.
        var wrong = expected
        wrong.loss *= 1 + 3 * tolerance
        wrong.loss += 3 * tolerance
        wrong.gradient[wrong.gradient.count / 2] +=
            10 * tolerance * expected.gradient.reduce(1) { max($0, abs($1)) }
        #expect(!isClose(wrong.loss))
        #expect(!close(gradient, wrong.gradient, tolerance: tolerance))
    }
}

private func weightOfAll(_ head: Head) -> Double {
    head.weights.reduce(0.5) { $0 + Double($1) }
}

/// Tokens, a table and targets; the second token is left out.
private struct Head: Sendable {
    struct Outcome: Sendable {
        var loss: UInt64
        var inputGradient: [UInt32]
        /// Of the rows that the rank holds.
        var tableGradient: [UInt32]
        var biasGradient: [UInt32]
        var correct: Double
    }

    let this: CrossEntropyTests.Case
    let input: [Float]
    let table: [Float]
    let bias: [Float]
    let targets: [Int32]
    let weights: [Float]
    /// A gradient that comes from above, as 1 over a number of tokens.
    let scale: Float = 0.25

    init(_ this: CrossEntropyTests.Case) {
        self.this = this
        var random = Noise(seed: UInt64(this.rows * 1000 + this.vocabulary))
        input = stored(random.floats(this.rows * this.width), this.storage)
        table = stored(random.floats(this.vocabulary * this.width), this.storage)
        targets = (0..<this.rows).map {
            $0 == 1 ? -1 : Int32(abs(random.next()) * Float(this.vocabulary - 1))
        }
        weights = (0..<this.rows).map { $0 == 1 ? 0 : 1 + Float($0 % 3) }
        bias = stored(random.floats(this.vocabulary), this.storage)
    }

    /// Value and gradients on the rank that holds the slices of `sum`.
    func run(_ sum: any SliceSum, smoothing: Double? = nil) -> Outcome {
        let vocabulary = Slices(borders: (0...4).map { $0 * this.vocabulary / 4 }, sum: sum)
        let held = vocabulary.held
        let rows = table[held.lowerBound * this.width..<held.upperBound * this.width]
        let leaf = Leaf(tensor(Array(rows), [held.count, this.width], this.storage))
        let tape = Tape()
        let x = tape.watch(tensor(input, [this.rows, this.width], this.storage))
        let bias =
            this.isBiased
            ? Leaf(tensor(Array(self.bias[held]), [held.count], this.storage)) : nil
        let found = linearCrossEntropy(
            x, table: leaf, bias: bias, vocabulary: vocabulary,
            targets: Tensor(integers: targets, shape: [this.rows]),
            weights: Tensor(weights, shape: [this.rows]), tokens: TokenSlices(4),
            smoothing: smoothing ?? this.smoothing, tape: tape)
        let gradients = tape.backward(
            from: [(found.loss, Tensor([scale], shape: []))], wanted: [x])
        return Outcome(
            loss: found.loss.float64.bitPattern,
            inputGradient: gradients[0].array.map(\.bitPattern),
            tableGradient: leaf.gradient!.array.map(\.bitPattern),
            biasGradient: bias?.gradient?.array.map(\.bitPattern) ?? [],
            correct: found.correct.float64)
    }

    /// Loss, gradients of input and bias, and the weight of what is right, in Float64.
    func reference() -> (loss: Double, gradient: [Double], bias: [Double], correct: Double) {
        let (width, vocabulary) = (this.width, this.vocabulary)
        var (loss, correct) = (0.0, 0.0)
        var biasGradient = [Double](repeating: 0, count: vocabulary)
        var gradient = [Double](repeating: 0, count: this.rows * width)
        for row in 0..<this.rows where targets[row] >= 0 {
            let logits = (0..<vocabulary).map { column in
                (0..<width).reduce(this.isBiased ? Double(bias[column]) : 0) {
                    $0 + Double(input[row * width + $1]) * Double(table[column * width + $1])
                }
            }
            let logSumExp = log(logits.reduce(0) { $0 + exp($1) })
            if logits[Int(targets[row])] == logits.max() { correct += Double(weights[row]) }
            for (column, logit) in logits.enumerated() {
                let wanted =
                    (column == Int(targets[row]) ? 1 - this.smoothing : 0)
                    + this.smoothing / Double(vocabulary)
                loss += Double(weights[row]) * wanted * (logSumExp - logit)
                let slope = Double(weights[row] * scale) * (exp(logit - logSumExp) - wanted)
                biasGradient[column] += slope
                for k in 0..<width {
                    gradient[row * width + k] += slope * Double(table[column * width + k])
                }
            }
        }
        return (loss, gradient, biasGradient, correct)
    }
}
