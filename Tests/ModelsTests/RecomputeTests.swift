import Layers
import Models
import Tensors
import Testing

/// What of a block is made again in the backward pass changes no bit of any gradient, with dropout.
@Suite struct RecomputeTests {
    private struct Outcome: Equatable {
        var loss: UInt64
        var gradients: [[UInt32]?]
        /// Names, in the order in which they are complete.
        var announced: [String]
    }

    private func train(
        _ recompute: Recompute, step: Int = 3, frozen: Set<String> = []
    ) throws -> Outcome {
        let reference = try Reference()
        var shape = Reference.shape
        shape.dropout = 0.2
        let model = GPT(shape, numerics: Numerics(slices: 4), recompute: recompute)
        try reference.fill(model, bind: true)
        for parameter in model.parameters where frozen.contains(parameter.name) {
            parameter.leaf.isTrainable = false
        }
        var outcome = Outcome(loss: 0, gradients: [], announced: [])
        // Two passes: contributions of the second are added.
        for micro in 0..<2 {
            let tape = Tape()
            let randomness = Pass.Randomness(seed: 5, step: step, firstSequence: 3 * micro)
            let loss = causalLoss(
                model, of: try reference.input(), Pass(tape: tape, randomness: randomness))
            outcome.loss = loss.buffer.doubles[0].bitPattern
            outcome.announced = []
            tape.backward(from: [(loss, Tensor([1.0 / 39], shape: []))]) { leaf in
                outcome.announced += model.parameters.filter { $0.leaf === leaf }.map(\.name)
            }
        }
        outcome.gradients = model.parameters.map { $0.leaf.gradient?.array.map(\.bitPattern) }
        return outcome
    }

    @Test(arguments: [Recompute.attention, .block])
    func everyGradientHasItsBits(recompute: Recompute) throws {
        let expected = try train(.none)
        #expect(expected.announced.count == expected.gradients.count)
        #expect(try train(recompute) == expected)
        // The control: other dropout.
        #expect(try train(recompute, step: 4).gradients != expected.gradients)
    }

    @Test(arguments: [Recompute.attention, .block])
    func frozenParametersAreLeftOut(recompute: Recompute) throws {
        let frozen: Set = ["h.0.ln_1.weight", "h.1.attn.c_attn.weight", "h.1.mlp.c_proj.bias"]
        let found = try train(recompute, frozen: frozen)
        #expect(try found == train(.none, frozen: frozen))
        #expect(frozen.isDisjoint(with: found.announced))
        #expect(try found != train(.none), "control: nothing is frozen")
    }
}
