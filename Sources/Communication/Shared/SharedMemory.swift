import Synchronization

/// What the members of a group on one host have in common: a block of memory each, which the others read.
///
/// A block is a page of flags and `slotCount` slots. Chunk k of what a member gives goes into its slot
/// k mod `slotCount`; its flag `posted` then says k + 1. A member posts chunk k after it has finished chunk
/// k − 2, for which it saw everybody's chunk k − 2, posted when they had finished chunk k − 4: so a slot is
/// free when its turn comes again, and no third flag tells.
final class SharedMemory: @unchecked Sendable {
    /// By place on this host.
    let blocks: [UnsafeMutableRawPointer]
    /// This member's place.
    let place: Int
    let layout: HostLayout
    /// What of a reduction is done by the members of this host, and what is left.
    let orderWithinHost: ReductionOrder
    let orderBetweenHosts: ReductionOrder
    /// Members on this host by their ranks in the world.
    let members: [Int]
    let chunkBytes: Int
    /// Why the others will not come any more; nil where nobody knows of anything.
    let reasonForEnd: @Sendable () -> String?
    /// Keeps the memory, where this process owns it.
    private let owner: AnyObject?

    /// Chunks posted and not finished by this member.
    static let ahead = 2
    static let slotCount = 2 * ahead
    private static let pageBytes = 4096

    /// - Parameters:
    ///   - blocks: cleared, each in pages of its own.
    ///   - group: the group's members by their ranks in the world.
    init(
        blocks: [UnsafeMutableRawPointer], layout: HostLayout, group: [Int], chunkBytes: Int,
        owner: AnyObject?, reasonForEnd: @escaping @Sendable () -> String? = { nil }
    ) {
        (self.blocks, self.layout, members) = (blocks, layout, Array(group[layout.members]))
        (self.chunkBytes, self.owner) = (chunkBytes, owner)
        (place, self.reasonForEnd) = (layout.place, reasonForEnd)
        let orders = ReductionOrder(size: group.count).split(over: layout.hosts)
        (orderWithinHost, orderBetweenHosts) = (orders.within[layout.host], orders.between)
    }

    /// A slot's bytes in a group of `size`: at least an element for each pair of members.
    static func chunkBytes(_ wanted: Int, size: Int) -> Int {
        (max(wanted, 4 * size) + 63) / 64 * 64
    }

    static func blockBytes(chunkBytes: Int) -> Int {
        (pageBytes + slotCount * chunkBytes + pageBytes - 1) / pageBytes * pageBytes
    }

    func slot(_ place: Int, chunk: Int) -> UnsafeMutableRawPointer {
        blocks[place] + SharedMemory.pageBytes + chunk % SharedMemory.slotCount * chunkBytes
    }

    /// The words of a block's first cache line. A cleared word is a valid atomic 0.
    enum Word {
        /// Chunks that the member has posted.
        case posted
        /// Chunks of which the member has combined its part in its slot.
        case combined
        /// What the member takes the operation to be that begins with this chunk.
        case signature(chunk: Int)

        fileprivate var offset: Int {
            switch self {
            case .posted: 0
            case .combined: 8
            case .signature(let chunk): 16 + 8 * (chunk % SharedMemory.slotCount)
            }
        }
    }

    func load(_ word: Word, of place: Int) -> Int {
        atomic(word, place).pointee.load(ordering: .acquiring)
    }

    func store(_ value: Int, in word: Word) {
        atomic(word, place).pointee.store(value, ordering: .releasing)
    }

    private func atomic(_ word: Word, _ place: Int) -> UnsafeMutablePointer<Atomic<Int>> {
        (blocks[place] + word.offset).assumingMemoryBound(to: Atomic<Int>.self)
    }
}

/// What comes of the wish to share memory; the same on all members.
enum SharedMemoryOffer {
    case memory(SharedMemory)
    case refusal(HostLayout.Refusal)
}

/// What a group wishes.
struct SharedMemoryWish {
    /// World ranks by rank in the group.
    let members: [Int]
    let rank: Int
    /// A tag that no other operation of the members uses.
    let tag: Int
    let options: SharedMemoryOptions

    var chunkBytes: Int { SharedMemory.chunkBytes(options.chunkBytes, size: members.count) }
    var blockBytes: Int { SharedMemory.blockBytes(chunkBytes: chunkBytes) }
}
