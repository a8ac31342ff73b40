import Communication
import Tensors

/// An order in which the tensor dimension may add what its ranks give.
enum SumOrder: Sendable {
    /// The canonical one, (0+1)+(2+3), here by other means than the communicator's own.
    case tree
    /// ((0+1)+2)+3: as good a sum, and not the canonical one.
    case chain

    /// The sum of what four ranks have of an element.
    fileprivate func sum(_ parts: [Float]) -> Float {
        switch self {
        case .tree: (parts[0] + parts[1]) + (parts[2] + parts[3])
        case .chain: ((parts[0] + parts[1]) + parts[2]) + parts[3]
        }
    }
}

/// A world whose groups of four ranks add in an order of their own. All else is the world's.
final class Reordered: Communicator {
    private let base: any Communicator
    private let order: SumOrder

    init(_ base: any Communicator, _ order: SumOrder) { (self.base, self.order) = (base, order) }

    var rank: Int { base.rank }
    var size: Int { base.size }
    var secondsWaited: Double { base.secondsWaited }
    var path: String { base.path }

    /// Brings what every rank has to every rank, and adds it here.
    func allReduce(_ buffer: Buffer) -> PendingOperation {
        precondition(size == 4, "SumOrder: expected 4 ranks, got \(size)")
        let (count, rank, order) = (buffer.count, rank, order)
        let all = Buffer(count: 4 * count)
        all[rank * count..<(rank + 1) * count].copyBytes(from: buffer)
        let gather = base.allGather(all, counts: Array(repeating: count, count: 4))
        return PendingOperation { () throws(CommunicationError) in
            try gather.wait()
            for index in 0..<count {
                buffer.floats[index] = order.sum((0..<4).map { all.floats[$0 * count + index] })
            }
        }
    }

    func reduceScatter(_ buffer: Buffer, counts: [Int], wire: DType) -> PendingOperation {
        allReduce(buffer)
    }

    func split(
        color: Int, key: Int, sharesMemory: Bool
    ) throws(CommunicationError) -> any Communicator {
        let group = try base.split(color: color, key: key, sharesMemory: sharesMemory)
        return group.size == 4 ? Reordered(group, order) : group
    }

    // MARK: As it is

    func allGather(_ buffer: Buffer, counts: [Int]) -> PendingOperation {
        base.allGather(buffer, counts: counts)
    }

    func allReduceMaximum(_ buffer: Buffer) -> PendingOperation { base.allReduceMaximum(buffer) }

    func broadcast(_ buffer: Buffer, from root: Int) -> PendingOperation {
        base.broadcast(buffer, from: root)
    }

    func barrier() -> PendingOperation { base.barrier() }
    func beginWork(_ name: String) -> LongWork { base.beginWork(name) }

    func send(_ buffer: Buffer, to peer: Int, tag: Int) -> PendingOperation {
        base.send(buffer, to: peer, tag: tag)
    }

    func receive(_ buffer: Buffer, from peer: Int, tag: Int) -> PendingOperation {
        base.receive(buffer, from: peer, tag: tag)
    }
}
