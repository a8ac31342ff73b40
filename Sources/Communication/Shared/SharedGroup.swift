import Glibc
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
    /// Of the buffers that were made here and still are.
    private let regions = Mutex<[Weak]>([])
    /// Whether memory was wished that some member could not see.
    private let isApart = Atomic(false)

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
        let apart =
            isApart.load(ordering: .relaxed)
            ? ", by chunks, because some rank can give none or see none of another's (memfd_create, /proc/PID/fd)"
            : ""
        if isOneHost { return "shared memory\(apart)" }
        let sizes = layout.hosts.map(\.count)
        let (least, most) = (sizes.min()!, sizes.max()!)
        return
            "shared memory of \(least == most ? "\(most)" : "\(least) to \(most)") ranks on each "
            + "of \(sizes.count) hosts, messages between them\(apart)"
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
        let targets = blocks.map { ReductionTarget($0.buffer, counts: $0.counts, in: memory) }
        let region = region(of: buffer)
        var stages = zip(blocks, targets).map { block, target in
            SharedOperation.Stage.pass(
                self.reduction(of: block, in: region, into: target, by: .sum))
        }
        let own = layout.host
        stages += messages("reduce-scatter between hosts") { context in
            ScatteredReduction(
                targets.map(\.results), into: targets[own].piece, by: .sum, in: context)
        }
        if !layout.isEven { stages.append(gathering(blocks[own].buffer, blocks[own].counts)) }
        return submit(.reduceScatter, buffer, counts, stages)
    }

    func allGather(_ buffer: Buffer, counts: [Int]) -> PendingOperation {
        inner.check("all-gather", buffer, counts: counts)
        let blocks = blocks(of: buffer, counts)
        let isCommon = region(of: buffer)?.sharing == .common
        let meeting = SharedOperation.Stage.pass(SharedBarrier())
        var stages: [SharedOperation.Stage] = []
        if !layout.isEven {
            let own = blocks[layout.host].buffer
            stages.append(isCommon ? meeting : gathering(own, Array(counts[layout.members])))
        }
        let place = layout.place
        stages += messages("all-gather between hosts") { context in
            context.allGather(blocks.map { pieces(of: $0.buffer, counts: $0.counts)[place] })
        }
        if isCommon { return submit(.allGather, buffer, counts, stages + [meeting]) }
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
            let target = ReductionTarget(buffer, counts: counts, in: memory)
            let scatter = self.reduction(
                of: (buffer, counts), in: region(of: buffer), into: target, by: reduction)
            let between = messages("all-reduce between hosts") {
                $0.allReduce(target.results, into: target.piece, by: reduction)
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

    /// Of common memory, the first members of the hosts send and receive for all.
    func broadcast(_ buffer: Buffer, from root: Int) -> PendingOperation {
        guard region(of: buffer)?.sharing == .common,
            let host = layout.hosts.firstIndex(where: { $0.contains(root) })
        else { return inner.broadcast(buffer, from: root) }
        let meeting = SharedOperation.Stage.pass(SharedBarrier())
        guard !isOneHost else { return submit(.broadcast, buffer, [], [meeting]) }
        let between =
            layout.place == 0
            ? messages("broadcast between hosts") { $0.broadcast(buffer, from: host) } : []
        return submit(.broadcast, buffer, [], [meeting] + between + [meeting])
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

    // MARK: Memory that all members of the host see

    func makeBuffer(
        count: Int, dtype: DType, _ sharing: BufferSharing
    ) throws(CommunicationError) -> Buffer {
        guard count > 0,
            let region = try makeRegion(byteCount: count * dtype.size, sharing)
        else { return Buffer.cleared(count: count, dtype: dtype) }
        regions.withLock { regions in
            regions.removeAll { $0.region == nil }
            regions.append(Weak(region: region))
        }
        let storage = Storage(region.own, byteCount: region.byteCount, owner: region)
        return Buffer(storage: storage, count: count, dtype: dtype)
    }

    /// Nil on all members of the group where some member cannot see the memory of another of its host.
    private func makeRegion(
        byteCount: Int, _ sharing: BufferSharing
    ) throws(CommunicationError) -> SharedRegion? {
        let (place, size) = (layout.place, layout.members.count)
        let given =
            sharing == .readable || place == 0 ? AnonymousMemory(byteCount: byteCount) : nil
        let decoy = options.mistakenRank == rank ? AnonymousMemory(byteCount: byteCount) : nil
        let words = 2 + MemoryHandle.wordCount
        let table = Buffer(count: words * size, dtype: .float64)
        let handle = given?.handle(descriptor: decoy?.descriptor) ?? .none
        for (index, word) in ([byteCount, sharing.rawValue] + handle.words).enumerated() {
            table.doubles[words * place + index] = Double(
                bitPattern: UInt64(bitPattern: Int64(word)))
        }
        try gatherOnHost(table)
        let rows = (0..<size).map { other in
            (0..<words).map { Int(Int64(bitPattern: table.doubles[words * other + $0].bitPattern)) }
        }
        for (other, row) in rows.enumerated()
        where row[0] != byteCount || row[1] != sharing.rawValue {
            throw CommunicationError(
                .library,
                "memory of group \(inner.identifier): expected \(byteCount) bytes, \(sharing), found "
                    + "\(row[0]), \(BufferSharing(rawValue: row[1]).map { "\($0)" } ?? "something else"), "
                    + "on rank \(memory.members[other]); the ranks' buffers or operations differ")
        }
        let blocks = (0..<(sharing == .common ? 1 : size)).map { other in
            if other == place { return given?.map() }
            return options.blindRank == rank
                ? nil : AnonymousMemory(MemoryHandle(words: rows[other][2...]))?.map()
        }
        let verdicts = Buffer(count: self.size, dtype: .int32)
        verdicts.integers[rank] = blocks.contains(nil) ? 0 : 1
        // Whoever has given memory keeps its descriptor until the others have opened it.
        try withExtendedLifetime((given, decoy)) { () throws(CommunicationError) in
            try inner.allGather(verdicts, counts: Array(repeating: 1, count: self.size)).wait()
        }
        let found = blocks.compactMap { $0 }
        guard (0..<self.size).allSatisfy({ verdicts.integers[$0] == 1 }) else {
            for block in found { munmap(block, byteCount) }
            isApart.store(true, ordering: .relaxed)
            return nil
        }
        return SharedRegion(
            sharing == .common ? Array(repeating: found[0], count: size) : found, place: place,
            byteCount: byteCount, sharing: sharing)
    }

    /// As many elements of each member of this host.
    private func gatherOnHost(_ table: Buffer) throws(CommunicationError) {
        let size = layout.members.count
        let counts = Array(repeating: table.count / size, count: size)
        try submit(.allGather, table, counts, [gathering(table, counts)]).wait()
    }

    private func region(of buffer: Buffer) -> SharedRegion? {
        regions.withLock { regions in
            regions.lazy.compactMap(\.region).first { $0.offset(of: buffer) != nil }
        }
    }

    private struct Weak {
        weak var region: SharedRegion?
    }

    /// A part of the reduction that members of this host make.
    ///
    /// - Parameter region: in which the whole buffer lies: of a block, which may be empty, members might find others.
    private func reduction(
        of block: (buffer: Buffer, counts: [Int]), in region: SharedRegion?,
        into target: ReductionTarget, by reduction: Reduction
    ) -> any SharedPass {
        guard let region, region.sharing == .readable,
            let offset = region.offset(of: target.piece)
        else {
            return ScatteredSharedReduction(
                block.buffer, into: target, counts: block.counts, by: reduction, in: memory)
        }
        let parts = region.blocks.map {
            UnsafePointer(($0 + offset).assumingMemoryBound(to: Float.self))
        }
        return ReductionInPlace(target, parts: parts, by: reduction)
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
