import Tensors

/// How a world of ranks communicates. No value here changes a bit of any result; the sizes must be the
/// same on all ranks.
public struct CommunicationOptions: Sendable {
    /// How long `PendingOperation.wait()` puts up with silence: the time since the wait began or since
    /// the operation's last progress, whichever is later.
    public var deadline: Duration = .seconds(120)

    /// How long entering the world may take: MPI_Init of a large job is slow, and the launcher sees to ranks
    /// that die in it. Never less than `deadline`.
    public var entryDeadline: Duration = .seconds(600)

    /// How often a rank that waits for others to enter the world says so.
    public var entryReminder: Duration = .seconds(10)

    /// How often a rank that waits for the others' work says so.
    public var reminder: Duration = .seconds(30)

    /// Bytes of the longest message: everything longer is cut, so that counts fit MPI's `int`, receive
    /// buffers stay small and operations make progress side by side.
    public var chunkBytes = 512 << 10

    /// An all-reduce in which a rank sends at most so many bytes goes directly to every rank, in one
    /// step; a longer one is a reduce-scatter and an all-gather.
    public var directBytes = 128 << 10

    /// The largest message tag used, where the library's own limit is higher.
    package var tagLimit = Int(Int32.max)

    /// Told of each message between ranks that are threads: sender, receiver, bytes.
    package var watchMessage: (@Sendable (Int, Int, Int) -> Void)?

    /// How groups use the memory that they share.
    package var sharedMemory = SharedMemoryOptions()

    /// Bytes of rings that one reduce-scatter may take, however many ranks there are.
    static let scratchBytes = 8 << 20

    public init() {}

    func validate() {
        precondition(
            deadline > .zero, "CommunicationOptions: expected a deadline above 0, got \(deadline)")
        precondition(
            (1...Int(Int32.max)).contains(chunkBytes),
            "CommunicationOptions: expected chunkBytes in 1...\(Int32.max), got \(chunkBytes)")
        precondition(
            (TagSpace.smallestLimit...Int(Int32.max)).contains(tagLimit),
            "CommunicationOptions: expected tagLimit of at least \(TagSpace.smallestLimit), got \(tagLimit)"
        )
    }

    /// Elements of one message of a reduce-scatter over `size` ranks. What is rounded on its way goes
    /// through a ring on both sides.
    package func reductionChunk(size: Int, wire: DType = .float32) -> Int {
        let rings = max(1, size - 1) * (wire == .float32 ? 1 : 2)
        let share = CommunicationOptions.scratchBytes / (Lane.window * rings)
        return max(1, min(chunkBytes, share) / wire.size)
    }
}
