import Foundation
import Layers
import Models
import Tensors
import Testing

/// Training sees smoothed labels, an evaluation the plain cross-entropy.
@Suite struct LabelSmoothingTests {
    private func model() throws -> GPT {
        let model = GPT(Reference.shape, numerics: Numerics(slices: 4))
        try Reference().fill(model, bind: true)
        return model
    }

    private func loss(_ smoothing: Double, _ pass: Pass) throws -> Double {
        causalLoss(try model(), of: try Reference().input(), pass, smoothing: smoothing).float64
    }

    /// Loss of the model's own logits, in Float64.
    private func expected(_ smoothing: Double) throws -> Double {
        let input = try Reference().input()
        let logits = try model().logits(input).array.map(Double.init)
        let width = Reference.shape.vocabulary!
        return (0..<logits.count / width).reduce(0) { sum, token in
            let row = logits[token * width..<(token + 1) * width]
            let target = row[row.startIndex + Int(input["targets"].buffer.integers[token])]
            let logSumExp = log(row.reduce(0) { $0 + exp($1) })
            let mean = row.reduce(0, +) / Double(width)
            return sum + (1 - smoothing) * (logSumExp - target) + smoothing * (logSumExp - mean)
        }
    }

    @Test(arguments: [0.1, 0.5])
    func trainingSeesSmoothedLabels(smoothing: Double) throws {
        let found = try loss(smoothing, Pass(tape: Tape()))
        let expected = try expected(smoothing)
        #expect(abs(found - expected) < 1e-6 * expected)
        // The control: the plain loss is another one.
        #expect(try abs(found - loss(0, Pass(tape: Tape()))) > 1e-4 * expected)
    }

    @Test func anEvaluationSeesThePlainOnes() throws {
        let plain = try loss(0, Pass())
        #expect(try loss(0.1, Pass()) == plain)
        #expect(try loss(0, Pass(tape: Tape())) == plain)
        #expect(try loss(0.1, Pass(tape: Tape())) != plain)
    }
}
