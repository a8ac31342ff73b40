import Models
import Optimizers
import Parallelism
import Tensors
import Testing
import Training

/// Faults on one of the ranks that hold a copy of the model together: all ranks do the same about them.
@Suite struct TensorStepsTests {
    /// Ranks in all, tensor degree, whether tokens are scattered.
    struct Layout: Sendable, CustomTestStringConvertible {
        let ranks: Int
        let tensor: Int
        let scattersTokens: Bool

        var testDescription: String {
            "\(ranks / tensor) x \(tensor)\(scattersTokens ? ", scattered" : "")"
        }

        func run(storage: DType = .float32, policy: LossScale.Policy = .none) -> StepRun {
            StepRun(
                ranks: ranks, tensor: tensor, scattersTokens: scattersTokens, storage: storage,
                policy: policy)
        }
    }

    /// These, one process, and ranks that are data-parallel alone.
    private static let allLayouts =
        [1, 2].map { Layout(ranks: $0, tensor: 1, scattersTokens: false) } + layouts

    private static let layouts = [
        Layout(ranks: 2, tensor: 2, scattersTokens: false),
        Layout(ranks: 2, tensor: 2, scattersTokens: true),
        Layout(ranks: 4, tensor: 4, scattersTokens: true),
        Layout(ranks: 4, tensor: 2, scattersTokens: false),
    ]

    /// Losses, norms and scales of one process.
    @Test(arguments: layouts, [DType.float32, .float16, .bfloat16])
    func everyRankSeesTheStepsOfOneProcess(layout: Layout, storage: DType) throws {
        let alone = try StepRun(storage: storage, policy: .dynamic).take(5)[0]
        for seen in try layout.run(storage: storage, policy: .dynamic).take(5) {
            #expect(seen.outcomes.map(\.loss) == alone.outcomes.map(\.loss))
            #expect(seen.outcomes.map(\.gradientNorm) == alone.outcomes.map(\.gradientNorm))
            #expect(seen.scales == alone.scales && seen.updates == alone.updates)
        }
        var other = layout.run(storage: storage, policy: .dynamic)
        other.seed = 2
        #expect(try other.take(1)[0].outcomes[0].loss != alone.outcomes[0].loss, "control")
    }

    /// A rank whose data fail in the last micro-batch of a step, when gradients are on their way.
    @Test(arguments: layouts, [0, 1])
    func aDataErrorOnOneRankEndsAll(layout: Layout, failing: Int) throws {
        var run = layout.run()
        run.dataError = { rank, step in
            rank == layout.ranks - 1 - failing && step == 2
                ? RunError(.data, "train.tokens: checksum of block 3: expected 1, found 2") : nil
        }
        for seen in try run.take(5) {
            let error = try #require(seen.error)
            #expect(error.kind == .data && error.isShared, "\(error)")
            #expect(error.rank == layout.ranks - 1 - failing && error.step == 2, "\(error)")
            #expect(error.message == "train.tokens: checksum of block 3: expected 1, found 2")
            #expect(seen.outcomes.count == 2 && seen.updates.last == 2)
        }
        run.dataError = { _, _ in nil }
        #expect(try run.take(3).allSatisfy { $0.error == nil && $0.step == 3 }, "control")
    }

    /// One element of the slices of one rank: the loss of all is not a number, and the element is named
    /// as a checkpoint has it.
    @Test(
        arguments: layouts,
        [
            ("h.1.mlp.c_fc.weight", 2303, -Float.infinity),
            ("h.0.attn.c_attn.weight", 575, .nan), ("h.0.attn.c_proj.weight", 23, .infinity),
            ("h.1.attn.c_attn.bias", 71, .nan), ("wte.weight", 1463, .nan),
        ])
    func aWeightOfOneRankIsNamed(layout: Layout, what: (String, Int, Float)) throws {
        let (name, element, value) = what
        var run = layout.run()
        run.plantWeights = { rank, model in
            // Its last rank holds the last head, column and symbol.
            if rank >= layout.ranks - layout.tensor {
                set(element, of: name, in: model, to: value)
            }
        }
        let number = value.isNaN ? "nan" : value > 0 ? "inf" : "-inf"
        for seen in try run.take(20) {
            #expect(seen.outcomes.count == 7 && seen.outcomes.allSatisfy(\.isSkipped))
            let error = try #require(seen.error)
            #expect(error.kind == .divergence && error.step == 8 && error.isShared)
            // The copies of a host have one memory: the first rank that holds the element names it.
            #expect(error.rank == layout.tensor - 1, "\(error)")
            #expect(
                error.message.hasPrefix(
                    "weight \(name): expected finite numbers, found \(number) at element "
                        + "\(element) in 8 steps in a row; "), "\(error.message)")
        }
    }

    /// Gradients of about 10²⁰ are finite, and their squares are not in Float32: without clipping the step is
    /// skipped like one that is not finite, whatever the layout and the scale.
    @Test(arguments: allLayouts, [LossScale.Policy.none, .static, .dynamic])
    func aGradientWhoseSquareOverflowsIsSkippedOnAll(
        layout: Layout, policy: LossScale.Policy
    ) throws {
        var run = layout.run(policy: policy)
        run.clipNorm = 0
        run.targetWeight = { _, step in (2...4).contains(step) ? 1e22 : 1 }
        let skipped = [false, false, true, true, true, false, false, false]
        for seen in try run.take(8) {
            #expect(seen.error == nil && seen.step == 8)
            #expect(seen.outcomes.map(\.isSkipped) == skipped)
            #expect(seen.outcomes.allSatisfy { $0.gradientNorm.isFinite && $0.loss.isFinite })
            #expect(seen.outcomes[2...4].allSatisfy { $0.gradientNorm > 1.8e19 })
            #expect(seen.states[2] == seen.states[5], "a skipped step changes no weight, no moment")
            #expect(seen.updates.last == 5 && isFinite(seen.states[8]))
            let scales = policy == .dynamic ? [65536, 65536, 65536, 65536, 32768, 16384] : nil
            #expect(scales.map { $0 == Array(seen.outcomes.map(\.lossScale).prefix(6)) } ?? true)
        }
        // What counts is what enters the moments: clipped, the same gradients do no harm.
        run.clipNorm = 1
        for seen in try run.take(8) {
            #expect(seen.outcomes.allSatisfy { !$0.isSkipped } && isFinite(seen.states[8]))
        }
        (run.clipNorm, run.targetWeight) = (0, { _, _ in 1e16 })
        for seen in try run.take(3) {
            #expect(
                seen.outcomes.allSatisfy { !$0.isSkipped } && isFinite(seen.states[3]), "control")
        }
    }

    /// Eight of them end the run, which names a parameter and what to set.
    @Test(arguments: allLayouts)
    func gradientsWhoseSquaresOverflowEndTheRun(layout: Layout) throws {
        var run = layout.run()
        run.clipNorm = 0
        run.targetWeight = { _, _ in 1e22 }
        for seen in try run.take(20) {
            let error = try #require(seen.error)
            #expect(error.kind == .divergence && error.step == 8 && error.isShared)
            #expect(
                error.message.wholeMatch(
                    of:
                        /gradient of \S+, summed over the ranks: expected numbers whose squares Float32 holds, below 1.8e19, found a norm of \S+e\+\d\d in 8 steps in a row; set optimizer.clip_norm, lower .*/
                ) != nil, "\(error.message)")
        }
    }

    private func isFinite(_ state: [String: [UInt32]]) -> Bool {
        state.values.allSatisfy { $0.allSatisfy { Float(bitPattern: $0).isFinite } }
    }

    /// A feature of a norm is 10³⁸, the weights that read it are 0, and so are those behind all ranks but the
    /// last: the loss is finite, and of all gradients only some that the last rank has are not.
    @Test(arguments: layouts)
    func anOverflowOnOneRankIsSkippedOnAll(layout: Layout) throws {
        var run = layout.run(policy: .static)
        run.staticScale = 1 << 24
        let first = 96 - 96 / layout.tensor
        run.plantWeights = { rank, model in
            set(5, of: "h.1.ln_2.weight", in: model, to: 1e38)
            for hidden in 0..<96 {
                set(hidden * 24 + 5, of: "h.1.mlp.c_fc.weight", in: model, to: 0)
                guard hidden < first else { continue }
                for output in 0..<24 {
                    set(output * 96 + hidden, of: "h.1.mlp.c_proj.weight", in: model, to: 0)
                }
            }
        }
        for seen in try run.take(20) {
            #expect(seen.outcomes.count == 7 && seen.outcomes.allSatisfy(\.isSkipped))
            #expect(seen.outcomes.allSatisfy { $0.loss.isFinite && !$0.gradientNorm.isFinite })
            #expect(seen.updates.last == 0 && seen.states.first == seen.states.last)
            let error = try #require(seen.error)
            #expect(error.rank.map { $0 % layout.tensor } == layout.tensor - 1, "\(error)")
            let found = error.message.firstMatch(
                of: /^gradient of h.1.mlp.c_fc.weight: expected .+ found \S+ at element (\d+) in/)
            let element = try #require(found.flatMap { Int($0.1) }, "\(error.message)")
            #expect(element % 24 == 5 && element / 24 >= first, "\(element)")
        }
    }
}
