import Tensors

extension ExchangeContext {
    /// Every rank sends its piece to every other one; all pieces arrive in place.
    func allGather(_ pieces: [Buffer]) -> IndependentLanes {
        IndependentLanes(
            others.flatMap { peer in
                [receive(pieces[peer], from: peer), send(pieces[rank], to: peer)]
            })
    }

    /// Every rank hears from every other one: directly, so that a silent rank is known by name.
    func barrier() -> IndependentLanes {
        let messages = Buffer(count: size, dtype: .int32)
        return IndependentLanes(
            others.flatMap { peer in
                [
                    receive(messages[peer..<peer + 1], from: peer),
                    send(messages[rank..<rank + 1], to: peer),
                ]
            })
    }

    /// A binomial tree with its root at `root`.
    func broadcast(_ buffer: Buffer, from root: Int) -> Broadcast {
        // The root is at 0; a parent's position is its child's without the highest bit.
        let position = (rank - root + size) % size
        let highestBit = position == 0 ? 0 : 1 << (Int.bitWidth - 1 - position.leadingZeroBitCount)
        var children: [Lane] = []
        var bit = max(1, highestBit << 1)
        while position + bit < size {
            children.append(send(buffer, to: (position + bit + root) % size))
            bit <<= 1
        }
        guard position > 0 else { return Broadcast(from: nil, to: children) }
        let parent = (position - highestBit + root) % size
        return Broadcast(from: receive(buffer, from: parent), to: children)
    }
}

/// Passes each chunk on as soon as it is here.
final class Broadcast: Exchange {
    let lanes: [Lane]
    private let parent: Lane?
    private let children: [Lane]

    init(from parent: Lane?, to children: [Lane]) {
        (self.parent, self.children) = (parent, children)
        lanes = (parent.map { [$0] } ?? []) + children
    }

    var isComplete: Bool { lanes.allSatisfy(\.isComplete) }

    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
        if let parent {
            for child in children { child.allowed = parent.completed }
        }
        return try advanceAll(lanes, transport)
    }
}
