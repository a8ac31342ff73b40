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
        let layout: HostLayout
        switch HostLayout.arrange(
            hosts: wish.members.map { $0 / hostSize }, rank: wish.rank,
            room: wish.members.map { _ in room },
            needed: wish.members.map { _ in wish.blockBytes * wish.members.count })
        {
        case .failure(let refusal): return .refusal(refusal)
        case .success(let found): layout = found
        }
        let count = layout.members.count
        let key = SharedBlocks.Key(tag: wish.tag, first: wish.members[layout.members.lowerBound])
        let shared = sharedBlocks.withLock { all in
            let shared = all[key] ?? SharedBlocks(count: count, byteCount: wish.blockBytes)
            shared.takers += 1
            all[key] = shared.takers == count ? nil : shared
            return shared
        }
        return .memory(
            SharedMemory(
                blocks: shared.blocks, layout: layout, group: wish.members,
                chunkBytes: wish.chunkBytes, owner: shared
            ) { [weak self] in self?.reasonForClosure })
    }
}
