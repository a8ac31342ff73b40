import Synchronization
import Tensors

/// A group of ranks over an engine, whatever the transport.
final class Group: Communicator {
    let rank: Int
    let engine: Engine
    /// What its collectives go through, in words.
    let path: String
    /// World ranks by rank in the group.
    private let members: [Int]
    private let order: ReductionOrder
    /// Differs from that of every other group that shares a member.
    let identifier: Int
    private let tags: TagSpace
    private let sequence = Atomic(0)

    /// - Parameter order: of what members bring to a reduction; nil: the canonical one, with a part each.
    init(
        engine: Engine, members: [Int], rank: Int, identifier: Int, tags: TagSpace,
        path: String = "messages", order: ReductionOrder? = nil
    ) {
        (self.engine, self.members, self.rank) = (engine, members, rank)
        self.order = order ?? ReductionOrder(size: members.count)
        (self.identifier, self.tags, self.path) = (identifier, tags, path)
    }

    /// All ranks of a world that the engine has entered.
    convenience init(engine: Engine, world: Engine.World) {
        self.init(
            engine: engine, members: Array(0..<world.size), rank: world.rank, identifier: 0,
            tags: world.tags)
    }

    var size: Int { members.count }
    var secondsWaited: Double { engine.secondsWaited }

    // MARK: Collectives

    func reduceScatter(_ buffer: Buffer, counts: [Int], wire: DType) -> PendingOperation {
        check("reduce-scatter", buffer, counts: counts)
        check("reduce-scatter", isFloat32: buffer)
        precondition(
            wire == .float32 || wire == .float16,
            "reduce-scatter: expected a wire of float32 or float16, got \(wire)")
        let name = wire == .float32 ? "reduce-scatter" : "reduce-scatter as \(wire)"
        return collective(name, buffer) { context in
            let pieces = pieces(of: buffer, counts: counts)
            return ScatteredReduction(
                pieces.map { [$0] }, into: pieces[context.rank], by: .sum, wire: wire, in: context)
        }
    }

    func allGather(_ buffer: Buffer, counts: [Int]) -> PendingOperation {
        check("all-gather", buffer, counts: counts)
        return collective("all-gather", buffer) { context in
            context.allGather(pieces(of: buffer, counts: counts))
        }
    }

    func allReduce(_ buffer: Buffer) -> PendingOperation {
        check("all-reduce", isFloat32: buffer)
        return collective("all-reduce", buffer) { $0.allReduce([buffer], into: buffer, by: .sum) }
    }

    func allReduceMaximum(_ buffer: Buffer) -> PendingOperation {
        check("all-reduce (maximum)", isFloat32: buffer)
        return collective("all-reduce (maximum)", buffer) {
            $0.allReduce([buffer], into: buffer, by: .maximum)
        }
    }

    func broadcast(_ buffer: Buffer, from root: Int) -> PendingOperation {
        precondition(
            members.indices.contains(root), "broadcast: expected a root in 0..<\(size), got \(root)"
        )
        return collective("broadcast", buffer) { $0.broadcast(buffer, from: root) }
    }

    func barrier() -> PendingOperation {
        collective("barrier", nil) { $0.barrier() }
    }

    func beginWork(_ name: String) -> LongWork {
        if size == 1 { return LongWork() }
        var beats: Heartbeats?
        let ticket = ticket(name, nil) { context in
            let made = Heartbeats(name, in: context, engine: engine)
            beats = made
            return made
        }
        guard let beats else { preconditionFailure("\(name): expected an exchange, got none") }
        engine.enqueue(ticket)
        return LongWork(beats, ticket: ticket, engine: engine)
    }

    private func collective(
        _ name: String, _ buffer: Buffer?, _ make: (ExchangeContext) -> any Exchange
    ) -> PendingOperation {
        if size == 1 { return .completed }
        return engine.submit(ticket(name, buffer, make))
    }

    /// The group's next operation.
    func ticket(
        _ name: String, _ buffer: Buffer?, _ make: (ExchangeContext) -> any Exchange
    ) -> Ticket {
        let number = sequence.add(1, ordering: .relaxed).oldValue
        let tag = tags.collective(group: identifier, sequence: number)
        let context = ExchangeContext(
            members: members, rank: rank, tag: tag, order: order, options: engine.options)
        let bytes = buffer.map { ", \($0.byteCount) bytes" } ?? ""
        return Ticket(
            name: "\(name) \(number) of group \(identifier)\(bytes)", exchange: make(context),
            exclusiveTag: tag)
    }

    // MARK: Point to point

    func send(_ buffer: Buffer, to peer: Int, tag: Int) -> PendingOperation {
        pointToPoint(.send, buffer, peer, tag)
    }

    func receive(_ buffer: Buffer, from peer: Int, tag: Int) -> PendingOperation {
        pointToPoint(.receive, buffer, peer, tag)
    }

    /// All chunks are started at once, so that those of two operations with one tag keep their order.
    private func pointToPoint(
        _ direction: Lane.Direction, _ buffer: Buffer, _ peer: Int, _ tag: Int
    ) -> PendingOperation {
        let name = direction == .send ? "send to" : "receive from"
        precondition(
            members.indices.contains(peer) && peer != rank,
            "\(name): expected another rank in 0..<\(size), got \(peer) on rank \(rank)")
        let lane = Lane(
            direction, buffer, peer: members[peer],
            tag: tags.pointToPoint(group: identifier, tag: tag),
            chunkBytes: engine.options.chunkBytes, window: Int.max)
        return engine.submit(
            Ticket(
                name: "\(name) rank \(peer) of group \(identifier), tag \(tag), "
                    + "\(buffer.byteCount) bytes",
                exchange: IndependentLanes([lane]), exclusiveTag: nil))
    }

    // MARK: Groups

    func split(
        color: Int, key: Int, sharesMemory: Bool
    ) throws(CommunicationError) -> any Communicator {
        let answers = try gatherAll(encoded([color, key, engine.freeGroupIdentifier])).map(decoded)
        let identifier = answers.map { $0[2] }.max() ?? 0
        let wantsMemory = sharesMemory && engine.options.sharedMemory.isEnabled
        // A group that shares memory has a second number, for what passes between its hosts.
        let last = wantsMemory ? identifier + 1 : identifier
        guard last < tags.groupCount else {
            throw CommunicationError(
                .setUp,
                "split: expected at most \(tags.groupCount) groups a rank, found one more")
        }
        engine.reserve(groupIdentifier: last)
        let mine = answers.indices.filter { answers[$0][0] == color }
            .sorted { (answers[$0][1], $0) < (answers[$1][1], $1) }
        let group = Group(
            engine: engine, members: mine.map { members[$0] }, rank: mine.firstIndex(of: rank)!,
            identifier: identifier, tags: tags)
        return wantsMemory && group.size > 1 ? try group.sharingMemory() : group
    }

    /// The same group through shared memory, where its members can have it. Collective and blocking; the
    /// first operation of the group.
    private func sharingMemory() throws(CommunicationError) -> any Communicator {
        let number = sequence.add(1, ordering: .relaxed).oldValue
        let wish = SharedMemoryWish(
            members: members, rank: rank,
            tag: tags.collective(group: identifier, sequence: number),
            options: engine.options.sharedMemory)
        let offer = try engine.perform("shared memory of group \(identifier)") {
            transport throws(CommunicationError) in try transport.shareMemory(wish)
        }
        switch offer {
        case .refusal(let refusal):
            return Group(
                engine: engine, members: members, rank: rank, identifier: identifier, tags: tags,
                path: "messages, because of \(refusal)")
        case .memory(let memory):
            let column = memory.layout.column.map { column in
                Group(
                    engine: engine, members: column.map { members[$0] }, rank: memory.layout.host,
                    identifier: identifier + 1, tags: tags, order: memory.orderBetweenHosts)
            }
            return SharedGroup(self, column: column, memory: memory)
        }
    }

    // MARK: Our own invariants

    func check(_ name: String, _ buffer: Buffer, counts: [Int]) {
        precondition(
            counts.count == size && counts.allSatisfy { $0 >= 0 }
                && counts.reduce(0, +) == buffer.count,
            "\(name): expected \(size) counts with a sum of \(buffer.count), got \(counts)")
    }

    func check(_ name: String, isFloat32 buffer: Buffer) {
        precondition(
            buffer.dtype == .float32, "\(name): expected float32, got \(buffer.dtype)")
    }
}

private func encoded(_ integers: [Int]) -> [UInt8] {
    integers.flatMap { integer in (0..<8).map { UInt8(truncatingIfNeeded: integer >> ($0 * 8)) } }
}

private func decoded(_ bytes: [UInt8]) -> [Int] {
    stride(from: 0, to: bytes.count, by: 8).map { start in
        (0..<8).reduce(0) { $0 | Int(bytes[start + $1]) << ($1 * 8) }
    }
}
