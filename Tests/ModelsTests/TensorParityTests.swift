import Communication
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import Testing

/// The checks of `ParityTests`, at the same tolerances, on a model that 1, 2 or 4 ranks hold together.
@Suite struct TensorParityTests {
    /// Tensor degree, and whether tokens are scattered between the split parts.
    private static let layouts = [(1, false), (2, false), (2, true), (4, false), (4, true)]

    private let reference: Reference

    init() throws { reference = try Reference("gpt_reference_four_heads") }

    /// Runs `body` on the ranks that hold the fixture's model together.
    private func onRanks<Result: Sendable>(
        _ layout: (tensor: Int, scattersTokens: Bool), weightDecay: Double = 0.1,
        _ body: @escaping @Sendable (Replica, ModelInput) throws -> Result
    ) throws -> [Result] {
        let reference = reference
        return try InProcess.run(ranks: layout.tensor) { world in
            let mesh = try Mesh(world, tensor: layout.tensor)
            let model = GPT(Reference.fourHeads, numerics: Numerics(slices: 4))
            let group = parallelize(model, on: mesh, scattersTokens: layout.scattersTokens)
            let replica = try Replica(
                model, objective: CausalLanguageModelling(),
                optimizer: AdamW(beta2: 0.95, weightDecay: weightDecay), mesh: mesh,
                tensorGroup: group, bucketBytes: 4096)
            try reference.fill(model, bind: false)
            return try body(replica, try reference.input())
        }
    }

    /// A rank has the logits of its part of the vocabulary.
    @Test(arguments: layouts)
    func logitsWithinOneInTenThousand(tensor: Int, scattersTokens: Bool) throws {
        let parts = try onRanks((tensor, scattersTokens)) { replica, input in
            let logits = replica.model.logits(input)
            return (width: logits.shape.width, values: logits.array)
        }
        let logits = (0..<39).flatMap { row in
            parts.flatMap { $0.values[row * $0.width..<(row + 1) * $0.width] }
        }
        try reference.expectLogits(logits, other: 60)
    }

    @Test(arguments: layouts)
    func lossAndEveryGradient(tensor: Int, scattersTokens: Bool) throws {
        let ranks = try onRanks((tensor, scattersTokens)) { replica, input in
            try replica.beginStep()
            replica.beginGroup()
            let loss = try replica.accumulate(
                input, randomness: nil, scale: 1.0 / 39, isLast: false)
            let gradients = replica.model.parameters.map {
                (range: $0.heldRange, values: $0.leaf.gradient!.array)
            }
            return (mean: loss / 39, gradients: gradients)
        }
        for mean in ranks.map(\.mean) { try reference.expectLoss(mean) }
        let model = GPT(Reference.fourHeads, numerics: Numerics(slices: 4))
        let gradients = model.parameters.enumerated().map { index, parameter in
            var memory = [Float](repeating: .nan, count: parameter.count)
            for rank in ranks {
                let (range, values) = rank.gradients[index]
                memory.replaceSubrange(range, with: values)
                // What every rank holds has one gradient.
                #expect(
                    range.count < parameter.count
                        || values.map(\.bitPattern)
                            == ranks[0].gradients[index].values.map(\.bitPattern),
                    "\(parameter.name)")
            }
            return memory
        }
        try reference.expectGradients(gradients, of: model)
    }

    @Test(arguments: layouts, [true, false])
    func tenOptimizerSteps(layout: (Int, Bool), decays: Bool) throws {
        let losses = try onRanks(layout, weightDecay: decays ? 0.1 : 0) { replica, input in
            try Reference.train(replica, on: input)
        }
        for losses in losses { try reference.expectLosses(losses, agree: decays) }
    }
}
