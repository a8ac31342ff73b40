import Synchronization
import Tensors

/// A group whose collectives go through the memory that its members on a host share, on the calling
/// thread. Messages carry what passes between hosts, what is rounded on its way, and all the rest.
final class SharedGroup: Communicator {
    private let inner: Group
    /// The members with this one's place on each host; nil where some host has none.
    private let column: Group?
    private let memory: SharedMemory
    private let queue: SharedQueue
    private let work: SharedWork
    private let options: SharedMemoryOptions
    private let sequence = Atomic(0)

    init(_ inner: Group, column: Group?, memory: SharedMemory) {
        (self.inner, self.column, self.memory) = (inner, column, memory)
        work = inner.engine.sharedWork
        options = inner.engine.options.sharedMemory
        queue = SharedQueue(SharedChannel(memory), engine: inner.engine)
    }

    var rank: Int { inner.rank }
    var size: Int { inner.size }
    var secondsWaited: Double { inner.secondsWaited }

    var path: String {
        if isOneHost { return "shared memory" }
        let sizes = layout.hosts.map(\.count)
        let (least, most) = (sizes.min()!, sizes.max()!)
        return
            "shared memory of \(least == most ? "\(most)" : "\(least) to \(most)") ranks on each "
            + "of \(sizes.count) hosts, messages between them"
    }

    private var layout: HostLayout { memory.layout }
    private var isOneHost: Bool { layout.hosts.count == 1 }

    // MARK: Collectives

    func reduceScatter(_ buffer: Buffer, counts: [Int], wire: DType) -> PendingOperation {
        guard wire == .float32 else {
            return inner.reduceScatter(buffer, counts: counts, wire: wire)
        }
        inner.check("reduce-scatter", buffer, counts: counts)
        inner.check("reduce-scatter", isFloat32: buffer)
        let blocks = blocks(of: buffer, counts)
        let passes = blocks.map { block, counts in
            ScatteredSharedReduction(block, counts: counts, by: .sum, in: memory)
        }
        var stages = passes.map { SharedOperation.Stage.pass($0) }
        let own = layout.host
        stages += messages("reduce-scatter between hosts") { context in
            ScatteredReduction(
                passes.map(\.results), into: passes[own].piece, by: .sum, in: context)
        }
        if !layout.isEven { stages.append(gathering(blocks[own].buffer, blocks[own].counts)) }
        return submit(.reduceScatter, buffer, counts, stages)
    }

    func allGather(_ buffer: Buffer, counts: [Int]) -> PendingOperation {
        inner.check("all-gather", buffer, counts: counts)
        let blocks = blocks(of: buffer, counts)
        var stages: [SharedOperation.Stage] = []
        if !layout.isEven {
            stages.append(gathering(blocks[layout.host].buffer, Array(counts[layout.members])))
        }
        let place = layout.place
        stages += messages("all-gather between hosts") { context in
            context.allGather(blocks.map { pieces(of: $0.buffer, counts: $0.counts)[place] })
        }
        for (host, block) in blocks.enumerated() where layout.isEven || host != layout.host {
            stages.append(gathering(block.buffer, block.counts))
        }
        return submit(.allGather, buffer, counts, stages)
    }

    func allReduce(_ buffer: Buffer) -> PendingOperation {
        allReduce(buffer, by: .sum, .allReduce)
    }

    func allReduceMaximum(_ buffer: Buffer) -> PendingOperation {
        allReduce(buffer, by: .maximum, .allReduceMaximum)
    }

    private func allReduce(
        _ buffer: Buffer, by reduction: Reduction, _ kind: SharedOperation.Kind
    ) -> PendingOperation {
        inner.check("\(kind.name)", isFloat32: buffer)
        guard isOneHost else {
            let counts = columnCounts(of: buffer.count)
            let scatter = ScatteredSharedReduction(
                buffer, counts: counts, by: reduction, in: memory)
            let between = messages("all-reduce between hosts") {
                $0.allReduce(scatter.results, into: scatter.piece, by: reduction)
            }
            return submit(
                kind, buffer, [], [.pass(scatter)] + between + [gathering(buffer, counts)])
        }
        let chunks = ChunkedBuffer(buffer, chunkBytes: memory.chunkBytes)
        let isWhole =
            buffer.byteCount <= (size == 2 ? options.directBytesOfTwo : options.directBytes)
        let pass: any SharedPass =
            isWhole
            ? WholeReduction(chunks, by: reduction) : PiecewiseReduction(chunks, by: reduction)
        return submit(kind, buffer, [], [.pass(pass)])
    }

    func barrier() -> PendingOperation {
        let pass = SharedOperation.Stage.pass(SharedBarrier())
        let stages =
            isOneHost
            ? [pass] : [pass] + messages("barrier between hosts") { $0.barrier() } + [pass]
        return submit(.barrier, nil, [], stages)
    }

    func beginWork(_ name: String) -> LongWork { inner.beginWork(name) }

    func broadcast(_ buffer: Buffer, from root: Int) -> PendingOperation {
        inner.broadcast(buffer, from: root)
    }

    private func submit(
        _ kind: SharedOperation.Kind, _ buffer: Buffer?, _ counts: [Int],
        _ stages: [SharedOperation.Stage]
    ) -> PendingOperation {
        let number = sequence.add(1, ordering: .relaxed).oldValue
        return work.submit(
            SharedOperation(
                kind, number: number, group: inner.identifier, byteCount: buffer?.byteCount ?? 0,
                counts: counts, stages: stages),
            to: queue)
    }

    // MARK: Hosts

    /// The pieces of each host's members, a block of the buffer, and how the members of this host share the
    /// block: as the host's members have it, or evenly over the columns where hosts are not alike.
    private func blocks(of buffer: Buffer, _ counts: [Int]) -> [(buffer: Buffer, counts: [Int])] {
        let perHost = layout.hosts.map { Array(counts[$0]) }
        let buffers = pieces(of: buffer, counts: perHost.map { $0.reduce(0, +) })
        return zip(buffers, perHost).map { block, counts in
            (block, layout.isEven ? counts : columnCounts(of: block.count))
        }
    }

    /// Elements shared out over the columns; members that are in none have nothing.
    private func columnCounts(of count: Int) -> [Int] {
        let columnCount = layout.columnCount
        let others = layout.members.count - columnCount
        return evenCounts(count, over: columnCount) + Array(repeating: 0, count: others)
    }

    private func gathering(_ buffer: Buffer, _ counts: [Int]) -> SharedOperation.Stage {
        .pass(SharedGathering(buffer, counts: counts, chunkBytes: memory.chunkBytes))
    }

    /// An exchange in the column, if this member is in one, which takes its number when its turn comes.
    private func messages(
        _ name: String, _ make: @escaping (ExchangeContext) -> any Exchange
    ) -> [SharedOperation.Stage] {
        guard let column, !isOneHost else { return [] }
        return [.messages { column.ticket(name, nil, make) }]
    }

    // MARK: The rest goes by messages

    func send(_ buffer: Buffer, to peer: Int, tag: Int) -> PendingOperation {
        inner.send(buffer, to: peer, tag: tag)
    }

    func receive(_ buffer: Buffer, from peer: Int, tag: Int) -> PendingOperation {
        inner.receive(buffer, from: peer, tag: tag)
    }

    func split(
        color: Int, key: Int, sharesMemory: Bool
    ) throws(CommunicationError) -> any Communicator {
        try inner.split(color: color, key: key, sharesMemory: sharesMemory)
    }
}
