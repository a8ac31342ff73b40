import Synchronization
import Tensors

/// A group whose collectives go through the memory that its members on a host share, on the calling
/// thread. Messages carry what passes between hosts, what is rounded on its way, and all the rest.
final class SharedGroup: Communicator {
    private let inner: Group
    /// The members with this one's place on each host.
    private let column: Group
    private let memory: SharedMemory
    private let queue: SharedQueue
    private let work: SharedWork
    private let options: SharedMemoryOptions
    private let sequence = Atomic(0)

    init(_ inner: Group, column: Group, memory: SharedMemory) {
        (self.inner, self.column, self.memory) = (inner, column, memory)
        work = inner.engine.sharedWork
        options = inner.engine.options.sharedMemory
        queue = SharedQueue(SharedChannel(memory), engine: inner.engine)
    }

    var rank: Int { inner.rank }
    var size: Int { inner.size }
    var secondsWaited: Double { inner.secondsWaited }

    var path: String {
        memory.grid.hostCount == 1
            ? "shared memory"
            : "shared memory of \(memory.grid.hostSize) ranks on each of "
                + "\(memory.grid.hostCount) hosts, messages between them"
    }

    private var isOneHost: Bool { memory.grid.hostCount == 1 }

    // MARK: Collectives

    func reduceScatter(_ buffer: Buffer, counts: [Int], wire: DType) -> PendingOperation {
        guard wire == .float32 else {
            return inner.reduceScatter(buffer, counts: counts, wire: wire)
        }
        inner.check("reduce-scatter", buffer, counts: counts)
        inner.check("reduce-scatter", isFloat32: buffer)
        var stages = perHost(buffer, counts).map { block, counts in
            SharedOperation.Stage.pass(
                ScatteredSharedReduction(
                    block, counts: counts, by: .sum, chunkBytes: memory.chunkBytes))
        }
        if !isOneHost {
            let pieces = columnPieces(buffer, counts)
            stages.append(
                messages("reduce-scatter between hosts") { context in
                    ScatteredReduction(pieces, by: .sum, in: context)
                })
        }
        return submit(.reduceScatter, buffer, counts, stages)
    }

    func allGather(_ buffer: Buffer, counts: [Int]) -> PendingOperation {
        inner.check("all-gather", buffer, counts: counts)
        var stages: [SharedOperation.Stage] = []
        if !isOneHost {
            let pieces = columnPieces(buffer, counts)
            stages.append(messages("all-gather between hosts") { $0.allGather(pieces) })
        }
        stages += perHost(buffer, counts).map { block, counts in
            .pass(SharedGathering(block, counts: counts, chunkBytes: memory.chunkBytes))
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
            let counts = evenCounts(buffer.count, over: memory.grid.hostSize)
            let piece = pieces(of: buffer, counts: counts)[memory.place]
            let scatter = ScatteredSharedReduction(
                buffer, counts: counts, by: reduction, chunkBytes: memory.chunkBytes)
            let gather = SharedGathering(buffer, counts: counts, chunkBytes: memory.chunkBytes)
            let between = messages("all-reduce between hosts") {
                $0.allReduce(piece, by: reduction)
            }
            return submit(kind, buffer, [], [.pass(scatter), between, .pass(gather)])
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
            isOneHost ? [pass] : [pass, messages("barrier between hosts") { $0.barrier() }, pass]
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

    /// The pieces of each host's members: consecutive, so a part of the buffer.
    private func perHost(_ buffer: Buffer, _ counts: [Int]) -> [(Buffer, [Int])] {
        var start = 0
        return (0..<memory.grid.hostCount).map { host in
            let first = host * memory.grid.hostSize
            let counts = Array(counts[first..<first + memory.grid.hostSize])
            let end = start + counts.reduce(0, +)
            defer { start = end }
            return (buffer[start..<end], counts)
        }
    }

    /// The pieces of the members in this one's column, by host.
    private func columnPieces(_ buffer: Buffer, _ counts: [Int]) -> [Buffer] {
        let all = pieces(of: buffer, counts: counts)
        return memory.grid.column.map { all[$0] }
    }

    /// An exchange in the column, which takes its number when its turn comes.
    private func messages(
        _ name: String, _ make: @escaping (ExchangeContext) -> any Exchange
    ) -> SharedOperation.Stage {
        .messages { [column] in column.ticket(name, nil, make) }
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
