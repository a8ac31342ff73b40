import Models
import Optimizers
import Parallelism
import Tensors
import Testing
import Training

/// Loss scaling, skipped steps and the end of a run that diverged, on ranks of this process.
@Suite struct TrainingStepsTests {
    // MARK: Scaling

    /// A scale is a power of two, so with Float32 storage it changes no bit of any update. (With Float16
    /// storage that holds where no conversion loses a number; a test of it counts those.)
    @Test(
        arguments: [1, 2],
        [(.static, 1), (.static, 1 << 11), (.static, 1 << 24), (.dynamic, 1)]
            as [(LossScale.Policy, Int)])
    func aScaleChangesNoBit(ranks: Int, scaling: (LossScale.Policy, Int)) throws {
        let plain = try StepRun(ranks: ranks).take(20)
        var run = StepRun(ranks: ranks)
        (run.policy, run.staticScale) = scaling
        let scaled = try run.take(20)
        for (rank, seen) in scaled.enumerated() {
            #expect(seen.states == plain[rank].states && seen.states.count == 21)
            #expect(seen.outcomes.map(\.gradientNorm) == plain[rank].outcomes.map(\.gradientNorm))
            #expect(seen.outcomes.map(\.loss) == plain[rank].outcomes.map(\.loss))
            #expect(seen.outcomes.allSatisfy { !$0.isSkipped })
        }
        #expect(Set(scaled[0].states.map { $0["wte.weight"] }).count == 21, "control: it learns")
        run.seed = 2
        #expect(try run.take(1)[0].states[1] != plain[0].states[1], "control: another seed")
    }

    // MARK: Skipped steps

    /// One target of one rank counts 3·10³⁸: what overflows with a scale of thousands is finite with 1.
    @Test(arguments: [(1, 0), (2, 0), (2, 1)], [DType.float32, .float16, .bfloat16])
    func anOverflowOnOneRankIsSkippedOnAll(where place: (Int, Int), storage: DType) throws {
        let (ranks, planted) = place
        var run = StepRun(ranks: ranks, storage: storage, policy: .dynamic)
        run.targetWeight = { rank, step in rank == planted && (2...4).contains(step) ? 3e38 : 1 }
        for seen in try run.take(8) {
            #expect(seen.error == nil)
            #expect(
                seen.outcomes.map(\.isSkipped)
                    == [false, false, true, true, true, false, false, false])
            #expect(
                seen.outcomes.map(\.lossScale)
                    == [65536, 65536, 65536, 65536, 32768, 16384, 16384, 16384])
            #expect(seen.scales.map(\.goodSteps) == [1, 2, 0, 0, 0, 1, 2, 3])
            #expect(seen.updates == [1, 2, 2, 2, 2, 3, 4, 5])
            #expect(seen.states[2] == seen.states[5], "a skipped step changes no weight, no moment")
            #expect(seen.states[5] != seen.states[6])
            #expect(
                seen.outcomes.map(\.gradientNorm.isFinite) == seen.outcomes.map { !$0.isSkipped })
            #expect(seen.step == 8)
        }
        guard storage == .float32 else { return }
        run.policy = .none
        let unscaled = try run.take(8)
        #expect(unscaled.allSatisfy { $0.outcomes.allSatisfy { !$0.isSkipped } }, "control")
    }

    /// A static scale stays where it is.
    @Test(arguments: [1, 2])
    func aStaticScaleSkipsAndStays(ranks: Int) throws {
        var run = StepRun(ranks: ranks, policy: .static, staticScale: 1 << 20)
        run.targetWeight = { _, step in step < 7 ? 3e38 : 1 }
        for seen in try run.take(9) {
            #expect(
                seen.outcomes.map(\.isSkipped) == Array(repeating: true, count: 7) + [false, false])
            #expect(seen.outcomes.allSatisfy { $0.lossScale == 1 << 20 } && seen.error == nil)
            #expect(seen.updates.last == 2)
        }
    }

    /// The logits of half the vocabulary overflow Float16 to −∞: the loss is infinite and every gradient is finite.
    @Test(arguments: [1, 2])
    func aLossThatIsNotFiniteIsABadStep(ranks: Int) throws {
        var run = StepRun(ranks: ranks, storage: .float16)
        run.plantWeights = { _, model in
            // The final norm gives its bias alone; these rows of the tied head answer it with −∞.
            for element in 0..<24 {
                set(element, of: "ln_f.weight", in: model, to: 0)
                set(element, of: "ln_f.bias", in: model, to: 1e3)
                for row in 0..<30 {
                    set(row * 24 + element, of: "wte.weight", in: model, to: -1e3)
                }
            }
        }
        for seen in try run.take(20) {
            #expect(seen.outcomes.count == 7 && seen.outcomes.allSatisfy(\.isSkipped))
            #expect(seen.outcomes.allSatisfy { $0.loss == .infinity && $0.gradientNorm.isFinite })
            #expect(seen.updates.last == 0 && seen.states.first == seen.states.last)
            let error = try #require(seen.error)
            #expect(error.kind == .divergence && error.step == 8)
            #expect(
                error.message.hasPrefix("loss: expected a finite number, found inf in 8 steps"),
                "\(error.message)")
        }
        run.plantWeights = { _, _ in }
        #expect(try run.take(2)[0].outcomes.allSatisfy { !$0.isSkipped }, "control")
    }

    // MARK: The end

    /// From a small scale on: 2, 1 and eight times 1.
    @Test(arguments: [1, 2])
    func eightBadStepsAtTheFloorEndTheRun(ranks: Int) throws {
        var run = StepRun(ranks: ranks, policy: .dynamic)
        run.start = LossScale(savedScale: 2, goodSteps: 7, hysteresis: 2)
        run.targetWeight = { rank, _ in rank == ranks - 1 ? .nan : 1 }
        for seen in try run.take(100) {
            #expect(seen.outcomes.map(\.lossScale) == [2, 2] + Array(repeating: 1, count: 7))
            #expect(seen.step == 10 && seen.updates.last == 0)
            let error = try #require(seen.error)
            #expect(error.kind == .divergence && error.step == 10 && error.isShared)
            #expect(error.rank == (ranks == 1 ? nil : 1) && (error.host == nil) == (ranks == 1))
            #expect(
                error.message
                    == "loss: expected a finite number, found nan in 8 steps in a row with the "
                    + "loss scale at 1; lower optimizer.learning_rate, or go on from an earlier "
                    + "checkpoint")
        }
    }

    /// The elements are where a checkpoint has them: c_attn is kept slice by slice in memory. Ranks of a host have one
    /// copy of the weights, so that the first names what any of them did.
    @Test(
        arguments: [
            ("h.1.mlp.c_fc.weight", 17), ("h.0.attn.c_attn.weight", 800), ("wte.weight", 5),
            ("ln_f.bias", 23),
        ], [DType.float32, .float16, .bfloat16])
    func aWeightIsNamed(place: (name: String, element: Int), storage: DType) throws {
        let (name, element) = place
        for (ranks, planted) in [(1, 0), (2, 0), (2, 1)] {
            var run = StepRun(ranks: ranks, storage: storage)
            run.plantWeights = { rank, model in
                if rank == planted { set(element, of: name, in: model, to: -.infinity) }
            }
            for seen in try run.take(20) {
                let error = try #require(seen.error)
                #expect(error.kind == .divergence && error.step == 8)
                #expect(error.rank == (ranks == 1 ? nil : 0))
                #expect(
                    error.message.hasPrefix(
                        "weight \(name): expected finite numbers, found -inf at element "
                            + "\(element) in 8 steps in a row; "), "\(error.message)")
            }
        }
    }

    /// A feature of a norm is 10³⁸ and the weights that read it are 0: the forward pass is finite, and so
    /// is every gradient but one.
    @Test(arguments: [(1, 0), (2, 0), (2, 1)])
    func aGradientIsNamed(ranks: Int, planted: Int) throws {
        var run = StepRun(ranks: ranks, policy: .static, staticScale: 1 << 24)
        run.plantWeights = { rank, model in
            guard rank == planted else { return }
            set(5, of: "h.1.ln_2.weight", in: model, to: 1e38)
            for output in 0..<96 {
                set(output * 24 + 5, of: "h.1.mlp.c_fc.weight", in: model, to: 0)
            }
        }
        for seen in try run.take(20) {
            let error = try #require(seen.error)
            #expect(error.rank == (ranks == 1 ? nil : 0) && error.step == 8)
            #expect(
                error.message.hasPrefix(
                    "gradient of h.1.mlp.c_fc.weight: expected finite numbers, found "),
                "\(error.message)")
            #expect(error.message.contains("; lower precision.static_scale; "))
        }
    }

    /// The activations overflow in the first block.
    @Test(arguments: [1, 2], [DType.float32, .float16, .bfloat16])
    func aBlockIsNamed(ranks: Int, storage: DType) throws {
        var run = StepRun(ranks: ranks, storage: storage)
        let large: Float = storage == .float16 ? 3e4 : 3e38
        run.plantWeights = { _, model in
            for element in 0..<96 { set(element, of: "h.0.mlp.c_fc.bias", in: model, to: large) }
            for element in 0..<100 { set(element, of: "h.0.mlp.c_proj.weight", in: model, to: 1e3) }
        }
        for seen in try run.take(20) {
            let error = try #require(seen.error)
            #expect(
                error.message.hasPrefix("output of block 0: expected finite numbers, found "),
                "\(error.message)")
        }
    }

    /// Two ranks make the same gradients. Where they are within a factor of two of overflowing, each is
    /// finite and the sum is not: no rank is named.
    @Test func aSumThatOverflowsIsNamed() throws {
        var factor: Float = 1e38
        var messages: [String] = []
        for _ in 0..<40 {
            var run = StepRun(ranks: 2, policy: .static, staticScale: 1 << 11)
            run.repeatsBatches = true
            let weight = factor
            run.targetWeight = { _, _ in weight }
            let error = try run.take(8)[0].error
            if let error {
                messages.append(error.message)
                if error.message.contains("summed over the ranks") {
                    #expect(error.rank == nil && error.isShared)
                }
            }
            factor /= 1.3
        }
        #expect(messages.contains { $0.contains("summed over the ranks: expected finite") })
        #expect(messages.contains { !$0.contains("summed over the ranks") }, "control")
    }

    /// Seven bad steps are no end, wherever they stop.
    @Test func aGoodStepInBetweenGoesOn() throws {
        var run = StepRun(ranks: 2)
        run.targetWeight = { rank, step in rank == 1 && step % 8 != 7 ? .nan : 1 }
        for seen in try run.take(24) {
            #expect(seen.error == nil && seen.step == 24 && seen.updates.last == 3)
        }
    }

    /// The number of targets that ranks add up is that which arithmetic gives, on any layout; and it is the weights
    /// that are added.
    @Test(arguments: [(1, 1), (2, 1), (4, 1), (4, 2)])
    func weightsThatAreReadGiveTheSameBits(ranks: Int, tensor: Int) throws {
        func outcomes(_ weight: Float, reads: Bool, _ ranks: Int, _ tensor: Int) throws
            -> [[Double]]
        {
            var run = StepRun(ranks: ranks, tensor: tensor)
            (run.readsWeights, run.targetWeight) = (reads, { _, _ in weight })
            return try run.take(3)[0].outcomes.map { [$0.loss, $0.gradientNorm, $0.targets] }
        }
        let known = try outcomes(1, reads: false, 1, 1)
        #expect(try outcomes(1, reads: true, ranks, tensor) == known)
        // Half of a target less in each of the four micro-batches.
        let lighter = try outcomes(0.5, reads: true, ranks, tensor)
        #expect(try lighter == outcomes(0.5, reads: true, 1, 1))
        #expect(lighter[0][2] == known[0][2] - 2)
        #expect(lighter[0][0] != known[0][0], "control")
    }
}
