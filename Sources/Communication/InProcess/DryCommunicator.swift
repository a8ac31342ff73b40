import Kernels
import Tensors

/// A rank of a group whose other ranks are not there: what it begins has ended, and moved nothing. For a dry
/// log (`WorkLog`), in which there is nothing to move.
package final class DryCommunicator: Communicator {
    package let rank: Int
    package let size: Int

    package init(rank: Int, size: Int) {
        precondition(
            rank >= 0 && rank < size, "DryCommunicator: expected a rank of \(size), got \(rank)")
        (self.rank, self.size) = (rank, size)
    }

    package func reduceScatter(_ buffer: Buffer, counts: [Int], wire: DType) -> PendingOperation {
        .completed
    }
    package func allGather(_ buffer: Buffer, counts: [Int]) -> PendingOperation { .completed }
    package func allReduce(_ buffer: Buffer) -> PendingOperation { .completed }
    package func allReduceMaximum(_ buffer: Buffer) -> PendingOperation { .completed }
    package func broadcast(_ buffer: Buffer, from root: Int) -> PendingOperation { .completed }
    package func barrier() -> PendingOperation { .completed }
    package func beginWork(_ name: String) -> LongWork { LongWork() }
    package func send(_ buffer: Buffer, to peer: Int, tag: Int) -> PendingOperation { .completed }
    package func receive(_ buffer: Buffer, from peer: Int, tag: Int) -> PendingOperation {
        .completed
    }

    /// The others' colors are not known: it stays in one group.
    package func split(
        color: Int, key: Int, sharesMemory: Bool
    ) throws(CommunicationError) -> any Communicator { self }

    package var path: String { "dry" }
    package var secondsWaited: Double { 0 }
}

extension Mesh {
    /// The last of so many ranks that hold one copy of a model: that which holds most, since of n units rank
    /// r has ⌊r·n/T⌋ ..< ⌊(r + 1)·n/T⌋.
    package init(dryTensor degree: Int) {
        let ranks = DryCommunicator(rank: degree - 1, size: degree)
        self.init(
            shape: MeshShape(data: 1, tensor: degree), world: ranks,
            data: DryCommunicator(rank: 0, size: 1), tensor: ranks)
    }
}
