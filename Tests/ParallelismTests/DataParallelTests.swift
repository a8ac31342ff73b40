import Layers
import Models
import Parallelism
import Tensors
import Testing
import Training

@Suite struct DataParallelTests {
    private static let reference = Result { try ReplicaRun().train(0..<5) }
    private static let halfReference = Result { try ReplicaRun(storage: .float16).train(0..<5) }

    /// With Float16 storage: the same bits however it is laid out, other bits than with Float32 (the
    /// control), and a result that differs by rounding alone.
    @Test(arguments: [1, 2, 4], [Recompute.none, .attention, .block])
    func halvesAreAsInvariant(ranks: Int, recompute: Recompute) throws {
        let replica = ReplicaRun(
            ranks: ranks, bucketBytes: 20_000, recompute: recompute, storage: .float16)
        let reference = try Self.halfReference.get()
        #expect(try replica.train(0..<5) == reference)
        let floats = try Self.reference.get()
        #expect(floats.state["wte.weight"] != reference.state["wte.weight"])
        let norms = zip(floats.norms, reference.norms).map {
            (Double(bitPattern: $0), Double(bitPattern: $1))
        }
        #expect(norms.allSatisfy { abs($0 - $1) <= 0.02 * $0 && $0 != $1 }, "\(norms)")
    }

    @Test(arguments: [(1, 4), (4, 2), (2, 1)])
    func aStateOfHalvesGoesOnInAnotherLayout(before: Int, after: Int) throws {
        let saved = try ReplicaRun(ranks: before, bucketBytes: 20_000, storage: .float16)
            .train(0..<3)
        let resumed = try ReplicaRun(ranks: after, storage: .float16).train(
            3..<5, from: saved.state)
        #expect(try resumed.state == Self.halfReference.get().state)
        let other = try ReplicaRun(ranks: after).train(3..<5, from: saved.state)
        #expect(other.state != resumed.state, "control: Float32 from the same masters")
    }

    @Test(arguments: [1, 2, 4], [1024, 20_000, 1 << 30])
    func ranksAndBucketsChangeNoBit(ranks: Int, bucketBytes: Int) throws {
        let outcome = try ReplicaRun(ranks: ranks, bucketBytes: bucketBytes).train(0..<5)
        let reference = try Self.reference.get()
        #expect(outcome == reference)
        let names = try ReplicaRun().shapes
        #expect(names.allSatisfy { reference.state[$0.name]?.count == $0.count })
        #expect(names.contains { $0.name == "optimizer.second_moment.h.1.mlp.c_fc.weight" })
    }

    @Test(arguments: [Recompute.attention, .block], [1, 2, 4])
    func recomputationChangesNoBit(recompute: Recompute, ranks: Int) throws {
        for bucketBytes in [1024, 20_000] {
            let replica = ReplicaRun(ranks: ranks, bucketBytes: bucketBytes, recompute: recompute)
            #expect(try replica.train(0..<5) == Self.reference.get())
        }
        let other = try ReplicaRun(ranks: ranks, seed: 2, recompute: recompute).train(0..<5)
        #expect(try other != Self.reference.get(), "control: another seed")
    }

    @Test(arguments: [
        ReplicaRun(ranks: 2, seed: 2), ReplicaRun(ranks: 1, groups: 1),
        ReplicaRun(ranks: 4, microBatches: 4),
    ])
    func otherArithmeticGivesOtherBits(replica: ReplicaRun) throws {
        let (outcome, reference) = (try replica.train(0..<5), try Self.reference.get())
        #expect(outcome.state["wte.weight"] != reference.state["wte.weight"])
        #expect(outcome.norms != reference.norms)
    }

    /// Three ranks divide six micro-batches, not two groups: their own bits, every time, and a result
    /// that differs from one rank's by rounding alone.
    @Test func ranksThatDoNotDivideTheGroupsRepeatTheirOwnBits() throws {
        let three = ReplicaRun(ranks: 3, microBatches: 6, groups: 2)
        let outcome = try three.train(0..<5)
        var otherBuckets = three
        otherBuckets.bucketBytes = 1024
        #expect(try otherBuckets.train(0..<5) == outcome)

        let one = try ReplicaRun(microBatches: 6, groups: 2).train(0..<5)
        #expect(outcome.state != one.state)
        func norms(_ outcome: ReplicaRun.Outcome) -> [Double] {
            outcome.norms.map(Double.init(bitPattern:))
        }
        #expect(zip(norms(outcome), norms(one)).allSatisfy { abs($0 - $1) <= 1e-4 * $1 })
        let other = try Self.reference.get()
        #expect(!zip(norms(other), norms(one)).allSatisfy { abs($0 - $1) <= 1e-4 * $1 }, "control")
    }

    @Test(arguments: [(1, 4), (4, 2), (2, 1)])
    func aStateGoesOnInAnotherLayout(before: Int, after: Int) throws {
        let saved = try ReplicaRun(ranks: before, bucketBytes: 20_000).train(0..<3)
        let resumed = try ReplicaRun(ranks: after).train(3..<5, from: saved.state)
        let reference = try Self.reference.get()
        #expect(resumed.state == reference.state)
        #expect(resumed.norms == Array(reference.norms.suffix(2)))

        var damaged = saved.state
        damaged["optimizer.first_moment.wpe.weight"]![7] ^= 1 << 20
        let other = try ReplicaRun(ranks: after).train(3..<5, from: damaged)
        #expect(other.state != reference.state, "control: a flipped bit is not seen")
    }

    @Test(arguments: [1, 2, 4], [DType.float32, .float16, .bfloat16])
    func frozenParametersStayAndHaveNoMoments(ranks: Int, storage: DType) throws {
        let frozen: Set = ["wpe.weight", "h.0.ln_1.weight", "ln_f.bias"]
        let start = try ReplicaRun(frozen: frozen, storage: storage).train(0..<0)
        let outcome = try ReplicaRun(ranks: ranks, frozen: frozen, storage: storage).train(0..<5)
        for name in frozen {
            #expect(outcome.state[name] == start.state[name])
            #expect(outcome.state["optimizer.first_moment.\(name)"] == nil)
        }
        #expect(outcome.state["wte.weight"] != start.state["wte.weight"])
        #expect(try outcome == ReplicaRun(frozen: frozen, storage: storage).train(0..<5))
        let resumed = try ReplicaRun(
            ranks: 5 - ranks, microBatches: 8, frozen: frozen, storage: storage
        )
        .train(5..<5, from: outcome.state)
        #expect(resumed.state == outcome.state)
    }

    // MARK: Groups

    private static let groupings: [(Int, Int, Int, [[Range<Int>]])] = [
        (8, 4, 1, [[0..<2, 2..<4, 4..<6, 6..<8]]),
        (8, 4, 2, [[0..<2, 2..<4], [4..<6, 6..<8]]),
        (8, 4, 4, [[0..<2], [2..<4], [4..<6], [6..<8]]),
        (8, 2, 4, [[0..<1, 1..<2], [2..<3, 3..<4], [4..<5, 5..<6], [6..<7, 7..<8]]),
        (6, 2, 3, [[0..<1, 1..<2], [2..<3, 3..<4], [4..<5, 5..<6]]),
        (
            12, 4, 3,
            [
                [0..<1, 1..<2, 2..<3, 3..<4], [4..<5, 5..<6, 6..<7, 7..<8],
                [8..<9, 9..<10, 10..<11, 11..<12],
            ]
        ),
        (6, 2, 6, [[0..<1], [1..<2], [2..<3], [3..<4], [4..<5], [5..<6]]),
        (5, 1, 5, [[0..<1], [1..<2], [2..<3], [3..<4], [4..<5]]),
    ]

    @Test(arguments: groupings)
    func microBatchesFormGroups(
        count: Int, groups: Int, ranks: Int, expected: [[Range<Int>]]
    ) {
        let found = (0..<ranks).map {
            microBatchGroups(count: count, groups: groups, rank: $0, ranks: ranks)
        }
        #expect(found == expected)
    }
}
