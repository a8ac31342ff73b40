import CMPI
import Glibc

/// A window that is open, with the communicator of those who share it.
struct MPIWindow {
    var window: MPI_Win?
    var host: MPI_Comm?
}

extension MPITransport {
    /// Opens a window for the members of a group on this host (MPI 4.1 § 7.4.2, § 7.4.4, § 12.2.3).
    ///
    /// Every member comes to the same answer: they decide from one table.
    func shareMemory(_ wish: SharedMemoryWish) throws(CommunicationError) -> SharedMemoryOffer {
        var all = try communicator(of: wish)
        var host = try hostCommunicator(of: all, wish)
        var first = Int64(wish.rank)
        try check(
            MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT64_T, MPI_MIN, host), "MPI_Allreduce")
        let room = wish.options.pretendedRoom ?? freeBytes()
        // Groups that are disjoint open their windows at the same time: all ranks of the host count.
        let needed = 2 * (wish.blockBytes + MPITransport.alignment) * localSize
        let row = [first, Int64(room), Int64(needed)]
        var table = [Int64](repeating: 0, count: row.count * wish.members.count)
        try check(
            MPI_Allgather(
                row, Int32(row.count), MPI_INT64_T, &table, Int32(row.count), MPI_INT64_T, all),
            "MPI_Allgather")
        func column(_ index: Int) -> [Int] {
            stride(from: index, to: table.count, by: row.count).map { Int(table[$0]) }
        }
        let arrangement = HostLayout.arrange(
            hosts: column(0), rank: wish.rank, room: column(1), needed: column(2))
        defer { MPI_Comm_free(&all) }
        switch arrangement {
        case .failure(let refusal):
            MPI_Comm_free(&host)
            return .refusal(refusal)
        case .success(let layout):
            return try open(wish, layout, all: all, host: host)
        }
    }

    private func communicator(of wish: SharedMemoryWish) throws(CommunicationError) -> MPI_Comm? {
        var (everybody, group): (MPI_Group?, MPI_Group?)
        try check(MPI_Comm_group(world, &everybody), "MPI_Comm_group")
        try check(
            MPI_Group_incl(
                everybody, Int32(wish.members.count), wish.members.map(Int32.init), &group),
            "MPI_Group_incl")
        var all: MPI_Comm?
        try check(
            MPI_Comm_create_group(world, group, Int32(wish.tag), &all), "MPI_Comm_create_group")
        MPI_Group_free(&group)
        MPI_Group_free(&everybody)
        return all
    }

    private func hostCommunicator(
        of all: MPI_Comm?, _ wish: SharedMemoryWish
    ) throws(CommunicationError) -> MPI_Comm? {
        var host: MPI_Comm?
        try check(
            MPI_Comm_split_type(
                all, Int32(bitPattern: UInt32(MPI_COMM_TYPE_SHARED)), Int32(wish.rank),
                MPI_INFO_NULL, &host),
            "MPI_Comm_split_type")
        guard let size = wish.options.pretendedHostSize else { return host }
        var part: MPI_Comm?
        try check(
            MPI_Comm_split(host, Int32(rank / size), Int32(wish.rank), &part), "MPI_Comm_split")
        MPI_Comm_free(&host)
        return part
    }

    /// Free bytes where Open MPI keeps windows; 0 where there is no such place.
    private func freeBytes() -> Int {
        var information = statvfs()
        guard statvfs("/dev/shm", &information) == 0 else { return 0 }
        return Int(information.f_bavail) * Int(information.f_frsize)
    }

    private func open(
        _ wish: SharedMemoryWish, _ layout: HostLayout, all: MPI_Comm?, host: MPI_Comm?
    ) throws(CommunicationError) -> SharedMemoryOffer {
        var (base, window): (UnsafeMutableRawPointer?, MPI_Win?)
        // Each block in pages of its own, near the core that fills it.
        var information: MPI_Info?
        try check(MPI_Info_create(&information), "MPI_Info_create")
        try check(
            MPI_Info_set(information, "alloc_shared_noncontig", "true"), "MPI_Info_set")
        let status = MPI_Win_allocate_shared(
            wish.blockBytes + MPITransport.alignment, 1, information, host, &base, &window)
        MPI_Info_free(&information)
        var hasAll: Int32 = status == MPI_SUCCESS ? 1 : 0
        try check(
            MPI_Allreduce(MPI_IN_PLACE, &hasAll, 1, MPI_INT32_T, MPI_MIN, all), "MPI_Allreduce")
        guard hasAll == 1, let base else {
            return .refusal(HostLayout.Refusal(description: "a message library without windows"))
        }
        let blocks = try blocks(wish, base: base, window: window, host: host, layout.members.count)
        windows.append(MPIWindow(window: window, host: host))
        return .memory(
            SharedMemory(
                blocks: blocks, layout: layout, group: wish.members,
                chunkBytes: wish.chunkBytes, owner: nil))
    }

    /// Where every member's block begins: the library gives memory that is aligned to 8 bytes, and its owner
    /// begins at a page's border in it.
    private func blocks(
        _ wish: SharedMemoryWish, base: UnsafeMutableRawPointer, window: MPI_Win?,
        host: MPI_Comm?, _ size: Int
    ) throws(CommunicationError) -> [UnsafeMutableRawPointer] {
        let own = base.alignedUp(toMultipleOf: MPITransport.alignment)
        // Nobody reads a flag before its owner has cleared it: the gather comes after.
        memset(own, 0, wish.blockBytes)
        var offsets = [Int64](repeating: 0, count: size)
        try check(
            MPI_Allgather([Int64(own - base)], 1, MPI_INT64_T, &offsets, 1, MPI_INT64_T, host),
            "MPI_Allgather")
        var blocks: [UnsafeMutableRawPointer] = []
        for place in 0..<size {
            var (byteCount, unit, start): (MPI_Aint, Int32, UnsafeMutableRawPointer?) = (0, 0, nil)
            try check(
                MPI_Win_shared_query(window, Int32(place), &byteCount, &unit, &start),
                "MPI_Win_shared_query")
            guard let start else {
                throw CommunicationError(
                    .library, "MPI_Win_shared_query: expected memory of member \(place), found none"
                )
            }
            blocks.append(start + Int(offsets[place]))
        }
        return blocks
    }

    private static let alignment = 4096

    /// Gives the windows back in the order in which all their members opened them.
    func closeWindows() throws(CommunicationError) {
        for var window in windows {
            try check(MPI_Win_free(&window.window), "MPI_Win_free")
            try check(MPI_Comm_free(&window.host), "MPI_Comm_free")
        }
        windows = []
    }
}
