import Communication
import Parallelism
import Tensors
import Testing

/// A model over several ranks has the bits of a model on one: states, norms and losses.
@Suite struct TensorParallelTests {
    /// Data × tensor degrees.
    static let layouts = [(1, 2), (1, 4), (2, 2), (4, 1), (2, 1)]

    private static func replica(_ storage: DType) -> ReplicaRun {
        var replica = ReplicaRun()
        (replica.isOdd, replica.storage) = (true, storage)
        return replica
    }

    @Test(arguments: layouts, [DType.float32, .float16, .bfloat16])
    func everyLayoutGivesTheSameBits(layout: (Int, Int), storage: DType) throws {
        let alone = try Self.replica(storage).train(0..<3)
        var spread = Self.replica(storage)
        (spread.ranks, spread.tensor) = layout
        #expect(try spread.train(0..<3) == alone)
        spread.scattersTokens = true
        #expect(try spread.train(0..<3) == alone)
        spread.recompute = .block
        #expect(try spread.train(0..<3) == alone)
    }

    /// Four ranks that add in another order: as good a sum, other bits. The same by the canonical order, so
    /// that it is the order which is seen.
    @Test(arguments: [false, true], [DType.float32, .float16, .bfloat16])
    func anotherOrderGivesOtherBits(scattersTokens: Bool, storage: DType) throws {
        let alone = try Self.replica(storage).train(0..<3)
        var spread = Self.replica(storage)
        (spread.tensor, spread.scattersTokens) = (4, scattersTokens)
        spread.order = .tree
        #expect(try spread.train(0..<3) == alone)
        spread.order = .chain
        let other = try spread.train(0..<3)
        #expect(other.losses != alone.losses)
        // Eight digits may round the two sums to one.
        #expect(other.state != alone.state || storage == .bfloat16)
        let pairs = zip(other.losses, alone.losses)
            .map { (Double(bitPattern: $0), Double(bitPattern: $1)) }
        let tolerance = storage == .float32 ? 1e-5 : storage == .float16 ? 1e-2 : 8e-2
        #expect(pairs.allSatisfy { abs($0 - $1) <= tolerance * $1 }, "\(pairs)")
    }

    /// `train` puts the state of all ranks together and stops at an element that two of them have saved; one
    /// that none has is missing from the counts.
    @Test func everyTensorIsSavedOnce() throws {
        for (ranks, tensor) in [(2, 2), (1, 4), (4, 1)] {
            var spread = Self.replica(.float32)
            (spread.ranks, spread.tensor) = (ranks, tensor)
            spread.frozen = ["wpe.weight", "h.0.mlp.c_fc.weight"]
            let state = try spread.train(0..<1).state
            for (name, count) in try spread.shapes {
                #expect(state[name]?.count == count, "\(name)")
            }
        }
    }
}
