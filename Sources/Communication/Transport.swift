/// Non-blocking messages between the ranks of a world, which is all that a backend provides.
///
/// Messages of one sender, receiver and tag arrive in the order in which they were sent and meet the
/// receives in the order in which those were posted (MPI 4.1 § 3.5). Only the engine's thread calls it.
protocol Transport: AnyObject {
    var rank: Int { get }
    var size: Int { get }
    /// Place among the ranks of this host, and their number.
    var localRank: Int { get }
    var localSize: Int { get }
    /// The lowest rank of this host.
    var hostLeader: Int { get }
    /// The host name of every rank.
    var hosts: [String] { get }
    /// The largest tag a message may carry.
    var tagUpperBound: Int { get }

    /// Starts to send `count` bytes, which stay untouched until the request is complete.
    func send(_ bytes: UnsafeRawPointer, count: Int, to peer: Int, tag: Int)
        throws(CommunicationError) -> TransportRequest

    /// Starts to receive exactly `count` bytes; a message of another length is an error.
    func receive(_ bytes: UnsafeMutableRawPointer, count: Int, from peer: Int, tag: Int)
        throws(CommunicationError) -> TransportRequest

    /// Lets the request make progress; true means that it is complete and forgotten.
    func isComplete(_ request: TransportRequest) throws(CommunicationError) -> Bool

    /// Memory that the members of a group on this host have in common. Collective over the members; may
    /// block until all have asked. It stays until the world is left.
    func shareMemory(_ wish: SharedMemoryWish) throws(CommunicationError) -> SharedMemoryOffer

    /// Leaves the world.
    func close() throws(CommunicationError)

    /// Ends the processes of all ranks with exit code `code`, as far as the backend can.
    func abort(code: Int32)
}

/// A message under way: the backend's number for it.
struct TransportRequest {
    let number: Int
}
