import Tensors

/// A collective under way on this rank, as a state machine over non-blocking messages.
protocol Exchange: AnyObject {
    /// Everything it sends and receives.
    var lanes: [Lane] { get }
    var isComplete: Bool { get }

    /// Does what can be done without waiting; whether anything changed.
    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool
}

/// Lanes that do not depend on one another: all-gather, barrier, send, receive.
final class IndependentLanes: Exchange {
    let lanes: [Lane]

    init(_ lanes: [Lane]) { self.lanes = lanes }

    var isComplete: Bool { lanes.allSatisfy(\.isComplete) }

    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
        try advanceAll(lanes, transport)
    }
}

/// One exchange, then another.
final class Succession: Exchange {
    private let first: any Exchange
    private let second: any Exchange

    init(_ first: any Exchange, then second: any Exchange) {
        (self.first, self.second) = (first, second)
    }

    var lanes: [Lane] { first.lanes + second.lanes }
    var isComplete: Bool { first.isComplete && second.isComplete }

    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
        guard first.isComplete else { return try first.advance(transport) }
        return try second.advance(transport)
    }
}

func advanceAll(_ lanes: [Lane], _ transport: any Transport) throws(CommunicationError) -> Bool {
    var progressed = false
    for lane in lanes where !lane.isComplete {
        if try lane.advance(transport) { progressed = true }
    }
    return progressed
}

/// What an exchange knows about its group and its messages.
struct ExchangeContext {
    /// World ranks of the group's members, by rank in the group.
    let members: [Int]
    /// This process's rank in the group.
    let rank: Int
    let tag: Int
    /// In which the members' parts are reduced.
    let order: ReductionOrder
    let options: CommunicationOptions

    var size: Int { members.count }

    /// The other ranks of the group, the next one first, so that not all ranks begin with rank 0.
    var others: [Int] { (1..<size).map { (rank + $0) % size } }

    /// The same group in the second phase of an operation.
    var secondPhase: ExchangeContext {
        ExchangeContext(
            members: members, rank: rank, tag: tag + 1, order: order, options: options)
    }

    func send(_ buffer: Buffer, to peer: Int) -> Lane {
        Lane(
            .send, buffer, peer: members[peer], tag: tag, chunkBytes: options.chunkBytes)
    }

    func receive(_ buffer: Buffer, from peer: Int) -> Lane {
        Lane(
            .receive, buffer, peer: members[peer], tag: tag, chunkBytes: options.chunkBytes)
    }
}

/// The piece of each rank: consecutive ranges of a buffer.
func pieces(of buffer: Buffer, counts: [Int]) -> [Buffer] {
    var start = 0
    return counts.map { count in
        defer { start += count }
        return buffer[start..<start + count]
    }
}

/// `count` elements shared out over `size` ranks: piece r ends at ⌊(r+1)·count/size⌋.
func evenCounts(_ count: Int, over size: Int) -> [Int] {
    (0..<size).map { ($0 + 1) * count / size - $0 * count / size }
}
