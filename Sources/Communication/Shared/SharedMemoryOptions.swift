/// How groups that share memory use it. The same on all ranks; no value changes a bit of a result.
package struct SharedMemoryOptions: Sendable {
    /// Whether memory is shared at all.
    package var isEnabled = true

    /// Bytes of a slot: few, so that slots stay in the caches, and enough that one hand-over a chunk costs
    /// little.
    package var chunkBytes = 256 << 10

    /// An all-reduce of so many bytes is reduced whole by every rank, in one step; a longer one in pieces,
    /// one a rank, which the others then copy.
    package var directBytes = 16 << 10

    /// The same on two ranks, where pieces make less traffic only between the caches of one's own core.
    package var directBytesOfTwo = 256 << 10

    /// Ranks of each of the hosts that the world is made to believe it runs on; nil: the true ones.
    package var pretendedHostSize: Int?

    /// Bytes that /dev/shm is made to have free; nil: the true number.
    package var pretendedRoom: Int?

    /// A rank that is made to see no memory of other processes; nil: there is none.
    package var blindRank: Int?

    /// A rank that is made to name something else than the memory that it gives; nil: there is none.
    package var mistakenRank: Int?

    package init() {}

    /// Bytes that a rank maps in a group of so many: a block of each.
    package func mappedBytes(groupSize: Int) -> Int {
        groupSize * SharedMemory.blockBytes(chunkBytes: chunkBytes)
    }
}
