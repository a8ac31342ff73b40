import CMPI

/// Messages over MPI. Every call is made on the engine's thread, which is MPI's main thread (FUNNELED).
final class MPITransport: Transport {
    let rank: Int
    let size: Int
    let tagUpperBound: Int
    /// Where this rank stands within its host.
    let localRank: Int
    let localSize: Int
    let hostLeader: Int
    let hosts: [String]

    let world: MPI_Comm
    /// Open ones, in the order in which they were opened.
    var windows: [MPIWindow] = []
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []

    private struct Slot {
        var request: MPI_Request?
        let isSend: Bool
        let peer: Int
        let count: Int
    }

    /// Enters the world: MPI_Init_thread, and what is worth knowing about it (MPI 4.1 § 11.6, § 9.1.2).
    init() throws(CommunicationError) {
        var provided: Int32 = 0
        let wanted = Int32(bitPattern: UInt32(MPI_THREAD_FUNNELED))
        try check(MPI_Init_thread(nil, nil, wanted, &provided), "MPI_Init_thread")
        guard provided >= wanted else {
            throw CommunicationError(
                .setUp,
                "MPI_Init_thread: expected thread level \(wanted) (FUNNELED), found \(provided)")
        }
        world = MPI_COMM_WORLD
        try check(MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler")
        var (rank, size): (Int32, Int32) = (0, 0)
        try check(MPI_Comm_rank(world, &rank), "MPI_Comm_rank")
        try check(MPI_Comm_size(world, &size), "MPI_Comm_size")
        (self.rank, self.size) = (Int(rank), Int(size))
        tagUpperBound = try MPITransport.tagUpperBound(world)
        (localRank, localSize, hostLeader) = try MPITransport.placement(world, rank: rank)
        hosts = try MPITransport.hosts(world, size: Int(size))
    }

    private static func tagUpperBound(_ world: MPI_Comm) throws(CommunicationError) -> Int {
        var value: UnsafeMutablePointer<Int32>?
        var isSet: Int32 = 0
        try check(
            MPI_Comm_get_attr(world, Int32(bitPattern: UInt32(MPI_TAG_UB)), &value, &isSet),
            "MPI_Comm_get_attr")
        guard isSet != 0, let value else { return TagSpace.smallestLimit }
        return Int(value.pointee)
    }

    private static func placement(_ world: MPI_Comm, rank: Int32) throws(CommunicationError) -> (
        Int, Int, Int
    ) {
        var host: MPI_Comm? = MPI_COMM_NULL
        try check(
            MPI_Comm_split_type(
                world, Int32(bitPattern: UInt32(MPI_COMM_TYPE_SHARED)), rank, MPI_INFO_NULL, &host),
            "MPI_Comm_split_type")
        var (localRank, localSize): (Int32, Int32) = (0, 0)
        try check(MPI_Comm_rank(host, &localRank), "MPI_Comm_rank")
        try check(MPI_Comm_size(host, &localSize), "MPI_Comm_size")
        var leader = rank
        try check(MPI_Bcast(&leader, 1, MPI_INT32_T, 0, host), "MPI_Bcast")
        try check(MPI_Comm_free(&host), "MPI_Comm_free")
        return (Int(localRank), Int(localSize), Int(leader))
    }

    /// Every rank's host name, so that a rank that falls silent can be told where.
    private static func hosts(_ world: MPI_Comm, size: Int) throws(CommunicationError) -> [String] {
        let length = 64
        let own = Array(HostPlacement.thisHost.utf8.prefix(length))
        var all = [UInt8](repeating: 0, count: size * length)
        let padded = own + Array(repeating: 0, count: length - own.count)
        try check(
            MPI_Allgather(
                padded, Int32(length), MPI_BYTE, &all, Int32(length), MPI_BYTE, world),
            "MPI_Allgather")
        return (0..<size).map { rank in
            String(
                decoding: all[(rank * length)...].prefix(length).prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    func send(_ bytes: UnsafeRawPointer, count: Int, to peer: Int, tag: Int)
        throws(CommunicationError) -> TransportRequest
    {
        try start(Slot(isSend: true, peer: peer, count: count)) { request in
            MPI_Isend(bytes, Int32(count), MPI_BYTE, Int32(peer), Int32(tag), world, &request)
        }
    }

    func receive(_ bytes: UnsafeMutableRawPointer, count: Int, from peer: Int, tag: Int)
        throws(CommunicationError) -> TransportRequest
    {
        try start(Slot(isSend: false, peer: peer, count: count)) { request in
            MPI_Irecv(bytes, Int32(count), MPI_BYTE, Int32(peer), Int32(tag), world, &request)
        }
    }

    private func start(
        _ slot: Slot, _ call: (inout MPI_Request?) -> Int32
    ) throws(CommunicationError) -> TransportRequest {
        var slot = slot
        let name = slot.isSend ? "MPI_Isend" : "MPI_Irecv"
        try check(call(&slot.request), "\(name) of \(describe(slot))")
        return keep(slot)
    }

    private func keep(_ slot: Slot) -> TransportRequest {
        if let number = freeSlots.popLast() {
            slots[number] = slot
            return TransportRequest(number: number)
        }
        slots.append(slot)
        return TransportRequest(number: slots.count - 1)
    }

    func isComplete(_ request: TransportRequest) throws(CommunicationError) -> Bool {
        var (isComplete, received): (Int32, Int32) = (0, 0)
        var status = MPI_Status()
        let code = MPI_Test(&slots[request.number].request, &isComplete, &status)
        let slot = slots[request.number]
        guard !isTruncation(code) else { throw mismatch(slot, found: "more") }
        try check(code, "MPI_Test of \(describe(slot))")
        guard isComplete != 0 else { return false }
        freeSlots.append(request.number)
        if !slot.isSend {
            try check(MPI_Get_count(&status, MPI_BYTE, &received), "MPI_Get_count")
            guard Int(received) == slot.count else {
                throw mismatch(slot, found: "\(received)")
            }
        }
        return true
    }

    private func mismatch(_ slot: Slot, found: String) -> CommunicationError {
        CommunicationError(
            .library,
            "message from rank \(slot.peer) to rank \(rank): expected \(slot.count) bytes, "
                + "found \(found); the ranks' buffers or operations differ")
    }

    private func describe(_ slot: Slot) -> String {
        slot.isSend
            ? "\(slot.count) bytes from rank \(rank) to rank \(slot.peer)"
            : "\(slot.count) bytes from rank \(slot.peer) to rank \(rank)"
    }

    func close() throws(CommunicationError) {
        try closeWindows()
        try check(MPI_Finalize(), "MPI_Finalize")
    }

    func abort(code: Int32) { MPI_Abort(world, code) }
}

/// Throws what MPI says about `status`, unless that is success.
func check(_ status: Int32, _ call: String) throws(CommunicationError) {
    if status != MPI_SUCCESS { throw fault(status, call) }
}

/// Whether a message was longer than its receiver expected.
private func isTruncation(_ status: Int32) -> Bool {
    var kind: Int32 = 0
    return status != MPI_SUCCESS && MPI_Error_class(status, &kind) == MPI_SUCCESS
        && kind == MPI_ERR_TRUNCATE
}

private func fault(_ status: Int32, _ call: String) -> CommunicationError {
    var text = [CChar](repeating: 0, count: Int(MPI_MAX_ERROR_STRING) + 1)
    var length: Int32 = 0
    let isKnown = MPI_Error_string(status, &text, &length) == MPI_SUCCESS
    let reason =
        isKnown
        ? String(decoding: text.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        : "error \(status)"
    return CommunicationError(.library, "\(call): expected MPI_SUCCESS, found \(reason)")
}
