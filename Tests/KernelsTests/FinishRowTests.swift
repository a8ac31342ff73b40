import Kernels
import Testing

/// What follows a product: which steps there are, and the operands of one row.
private struct Case: Sendable, CustomTestStringConvertible {
    let type: ElementType
    let activation: Activation?
    let hasBias: Bool
    let hasResidual: Bool
    let hasDropout: Bool

    var testDescription: String {
        "\(type) \(activation?.rawValue ?? "-") \(hasBias) \(hasResidual) \(hasDropout)"
    }

    static let all: [Case] = {
        var all: [Case] = []
        for type in elementTypes {
            for activation in [Activation?.none, .geluTanh, .geluErf] {
                for steps in 0..<8 {
                    all.append(
                        Case(
                            type: type, activation: activation, hasBias: steps & 1 != 0,
                            hasResidual: steps & 2 != 0, hasDropout: steps & 4 != 0))
                }
            }
        }
        return all
    }()

    /// Where the sums lie.
    enum Sums { case apart, inOutput, inPreactivation }

    func dropped(_ row: UnsafeMutablePointer<Float>, from start: Int, _ count: Int) {
        kernels.dropout(
            RandomStream(seed: 1, stream: 2), row, into: row, count: count,
            firstIndex: UInt64(start), rate: 0.25)
    }

    /// The output and the preactivation.
    func run(_ sums: [Float], pieces length: Int, _ place: Sums = .apart) -> (
        output: [Float], preactivation: [Float]
    ) {
        let count = sums.count
        return withMemory { memory in
            let apart = memory.elements(sums)
            let output = place == .inOutput ? apart : memory.unset(count, type)
            let before = place == .inPreactivation ? apart : memory.unset(count, type)
            let bias = memory.elements(values(count, seed: 2), type)
            let residual = memory.elements(values(count, seed: 3), type)
            inPieces(of: length, count) { range in
                let start = range.lowerBound
                let row = apart.base.assumingMemoryBound(to: Float.self) + start
                kernels.finishRow(
                    values: row, count: range.count, bias: hasBias ? bias + start : nil,
                    activation: activation,
                    preactivation: activation == nil ? nil : before + start,
                    residual: hasResidual ? residual + start : nil, output: output + start,
                    dropout: hasDropout ? { dropped($0, from: start, range.count) } : nil)
            }
            return (array(output, count), array(before, count))
        }
    }

    /// The same steps one after the other, each by its own kernel.
    func stepwise(_ sums: [Float]) -> (output: [Float], preactivation: [Float]) {
        let count = sums.count
        var x = sums
        if hasBias { x = zip(x, rounded(values(count, seed: 2), to: type)).map { $0 + $1 } }
        let before = activation == nil ? x : rounded(x, to: type)
        x = before
        if let activation { kernels.activate(activation, before, into: &x, count: count) }
        if hasDropout {
            x.withUnsafeMutableBufferPointer { dropped($0.baseAddress!, from: 0, count) }
        }
        if hasResidual { x = zip(x, rounded(values(count, seed: 3), to: type)).map { $0 + $1 } }
        return (rounded(x, to: type), before)
    }
}

private let sums = values(1_003, seed: 1).map { $0 * 4 }

@Suite(.everyCompilation) struct FinishRowTests {
    @Test(arguments: Case.all)
    fileprivate func givesTheBitsOfTheStepsOneByOne(steps: Case) {
        let expected = steps.stepwise(sums)
        for length in pieceLengths + [sums.count] {
            let found = steps.run(sums, pieces: length)
            #expect(same(found.output, expected.output))
            if steps.activation != nil {
                #expect(same(found.preactivation, expected.preactivation))
            }
        }
        var wrong = expected.output
        wrong[700] += 0.01
        #expect(!same(steps.run(sums, pieces: sums.count).output, wrong))
    }

    /// Float32 sums may lie where the output or the preactivation goes.
    @Test(arguments: Case.all.filter { $0.type == .float32 })
    fileprivate func sumsMayLieInTheResult(steps: Case) {
        let expected = steps.stepwise(sums)
        #expect(same(steps.run(sums, pieces: sums.count, .inOutput).output, expected.output))
        guard steps.activation != nil else { return }
        let found = steps.run(sums, pieces: sums.count, .inPreactivation)
        #expect(same(found.output, expected.output))
        #expect(same(found.preactivation, expected.preactivation))
    }

    /// The activation goes on from what the backward pass will read.
    @Test func activationTakesTheRoundedSum() {
        let steps = Case(
            type: .float16, activation: .geluTanh, hasBias: true, hasResidual: false,
            hasDropout: false)
        let exact = zip(sums, rounded(values(sums.count, seed: 2), to: .float16)).map { $0 + $1 }
        var unrounded = exact
        kernels.activate(.geluTanh, exact, into: &unrounded, count: exact.count)
        let found = steps.run(sums, pieces: sums.count).output
        #expect(!same(found, rounded(unrounded, to: .float16)))
    }
}
