import Communication
import Parallelism
import Tensors
import Testing

/// A model over several ranks has the bits of a model on one: states, norms and losses.
@Suite struct TensorParallelTests {
    /// Data × tensor degrees.
    static let layouts = [(1, 2), (1, 4), (2, 2), (4, 1), (2, 1)]

    private static func replica(_ storage: DType) -> Replica {
        var replica = Replica()
        (replica.isOdd, replica.storage) = (true, storage)
        return replica
    }

    @Test(arguments: layouts, [DType.float32, .float16])
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
}
