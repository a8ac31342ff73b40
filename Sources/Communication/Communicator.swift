import Tensors

/// A group of ranks and what they do together.
///
/// Every method is collective over the group unless it says otherwise: all ranks of the group call the
/// same ones in the same order. A call submits the operation and returns; by messages it makes progress while the
/// caller computes, and `PendingOperation.wait()` ends it. Until then the buffer belongs to the
/// operation. Sums are Float32, added in one order that depends on the number of ranks alone: the
/// perfect binary tree over ranks in rank order, halving from the top while the count is even, then in
/// order. Messages of any size are cut into chunks; no chunk border changes a bit.
///
/// One thread of a rank submits. Buffers and counts must have the same sizes on all ranks. Faults come
/// out of `wait()`, where a peer is named by its rank in the world.
public protocol Communicator: AnyObject, Sendable {
    var rank: Int { get }
    var size: Int { get }

    /// Sums `buffer` over the ranks; piece r, of `counts[r]` elements, is complete on rank r, in place.
    /// The other pieces are undefined afterwards. `counts` is the same on all ranks and sums to
    /// `buffer.count` (MPI 4.1 § 6.10, MPI_Reduce_scatter, with an order).
    ///
    /// With a `wire` of Float16 what each rank gives, itself included, is rounded to Float16 once, so that
    /// half as many bytes travel; the sum is still Float32, in the same order. What is beyond 65,504 becomes
    /// infinite. A group of one rounds nothing.
    func reduceScatter(_ buffer: Buffer, counts: [Int], wire: DType) -> PendingOperation

    /// Rank r gives piece r, of `counts[r]` elements of any type, and receives the others, in place
    /// (MPI 4.1 § 6.7, MPI_Allgatherv).
    func allGather(_ buffer: Buffer, counts: [Int]) -> PendingOperation

    /// Sums a Float32 buffer over the ranks, in place; the same bits on every rank.
    func allReduce(_ buffer: Buffer) -> PendingOperation

    /// Element-wise maximum of a Float32 buffer over the ranks, in place; not a number where any is.
    func allReduceMaximum(_ buffer: Buffer) -> PendingOperation

    /// `buffer` of rank `root` to all.
    func broadcast(_ buffer: Buffer, from root: Int) -> PendingOperation

    /// Returns when every rank has called it.
    func barrier() -> PendingOperation

    /// Begins work that every rank does by itself, or together with others, for as long as it takes each.
    /// Until `LongWork.end` the communication thread of each rank tells the others that it is there: a rank that
    /// works is waited for, in the operations of the work too, and one that falls silent is named.
    ///
    /// - Parameter name: what it is called in an error.
    func beginWork(_ name: String) -> LongWork

    /// To rank `peer`, another one; matched by its `receive` with the same tag (0 or more) and size, in
    /// the order they were submitted. Not collective.
    func send(_ buffer: Buffer, to peer: Int, tag: Int) -> PendingOperation

    /// From rank `peer`, another one. Not collective.
    func receive(_ buffer: Buffer, from peer: Int, tag: Int) -> PendingOperation

    /// The ranks that give the same `color`, ordered by `key`, then by rank here (MPI 4.1 § 7.4.2).
    /// Operations of the new group are independent of this one's. Blocks.
    ///
    /// With `sharesMemory`, members on one host reduce and gather through memory that they share: on the
    /// thread that submits and waits, so that it goes on when that thread submits the next operation or waits for
    /// one, and takes no core from it meanwhile. The bits are the same. Where memory cannot be shared (`path` says
    /// why), messages do it all.
    func split(
        color: Int, key: Int, sharesMemory: Bool
    ) throws(CommunicationError) -> any Communicator

    /// What the group's collectives go through, in words for a log.
    var path: String { get }

    /// Memory for what the group exchanges at every step, cleared. Collective, and blocks.
    ///
    /// Where the group shares memory and the members of a host see each other's, what is exchanged is not copied
    /// there: `reduceScatter` of a range of `readable` memory adds the members' pieces where they lie, `allGather` and
    /// `broadcast` of a range of `common` memory only wait for each other. Elsewhere it is memory as any other.
    func makeBuffer(
        count: Int, dtype: DType, _ sharing: BufferSharing
    ) throws(CommunicationError) -> Buffer

    /// Seconds the calling threads have spent in `wait()` so far, over all groups of this rank.
    var secondsWaited: Double { get }
}

/// How a group's members on one host see a buffer of `Communicator.makeBuffer`.
public enum BufferSharing: Int, Sendable {
    /// Each has its own, which the others may read.
    case readable
    /// There is one for all. A member writes what it is going to give in a gathering or broadcast, and nothing while
    /// another may still read it from the time before: an operation of the group lies between.
    case common
}

extension Communicator {
    /// Memory of this rank's own.
    public func makeBuffer(
        count: Int, dtype: DType, _ sharing: BufferSharing
    ) throws(CommunicationError) -> Buffer {
        Buffer.cleared(count: count, dtype: dtype)
    }

    /// The ranks that give the same `color`, by messages. Blocks.
    public func split(color: Int, key: Int) throws(CommunicationError) -> any Communicator {
        try split(color: color, key: key, sharesMemory: false)
    }

    /// Sums over the ranks what travels as Float32.
    public func reduceScatter(_ buffer: Buffer, counts: [Int]) -> PendingOperation {
        reduceScatter(buffer, counts: counts, wire: .float32)
    }
}
