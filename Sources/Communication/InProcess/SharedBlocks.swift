import Synchronization

/// Memory that ranks of one process share: what a window is to processes.
final class SharedBlocks: @unchecked Sendable {
    struct Key: Hashable, Sendable {
        let tag: Int
        /// The first of the members on this host, by rank in the world.
        let first: Int
    }

    let blocks: [UnsafeMutableRawPointer]
    fileprivate var takers = 0

    init(count: Int, byteCount: Int) {
        blocks = (0..<count).map { _ in
            let block = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 4096)
            block.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
            return block
        }
    }

    deinit { for block in blocks { block.deallocate() } }
}

extension PostOffice {
    /// The first member to ask makes the blocks, and the last takes them out of the office.
    func shareMemory(_ wish: SharedMemoryWish, hostSize: Int) -> SharedMemoryOffer {
        let room = wish.options.pretendedRoom ?? Int.max
        let grid: HostGrid
        switch HostGrid.arrange(
            hosts: wish.members.map { $0 / hostSize }, rank: wish.rank,
            room: wish.members.map { _ in room },
            needed: wish.members.map { _ in wish.blockBytes * wish.members.count })
        {
        case .failure(let refusal): return .refusal(refusal)
        case .success(let found): grid = found
        }
        let start = grid.host * grid.hostSize
        let members = Array(wish.members[start..<start + grid.hostSize])
        let key = SharedBlocks.Key(tag: wish.tag, first: members[0])
        let shared = sharedBlocks.withLock { all in
            let shared =
                all[key] ?? SharedBlocks(count: grid.hostSize, byteCount: wish.blockBytes)
            shared.takers += 1
            all[key] = shared.takers == grid.hostSize ? nil : shared
            return shared
        }
        return .memory(
            SharedMemory(
                blocks: shared.blocks, grid: grid, members: members, chunkBytes: wish.chunkBytes,
                owner: shared
            ) { [weak self] in self?.reasonForClosure })
    }
}
