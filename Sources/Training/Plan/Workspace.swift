import Communication

/// Memory of a rank outside the pool, but for the kernels' scratch.
enum Workspace {
    /// The program with its libraries, before it does anything; measured.
    static let process = 27 << 20

    /// What Open MPI takes for a rank and for each of its peers on the host; measured on 2 and 4 ranks.
    private static let messageLibrary = (rank: 9 << 20, peer: 1 << 19)

    /// Chunks of gradients on their way between ranks, and the message library itself.
    static func communicationBytes(_ layout: FlatEstimate, ranks: Int, tensor: Int) -> Int {
        guard ranks > 1 else { return 0 }
        return messageLibrary.rank + (ranks - 1) * messageLibrary.peer + layout.arrivingBytes
            + tensorSumBytes(degree: tensor)
    }

    /// The memory that ranks of the tensor dimension share for their sums: a block of each, all of which count
    /// as memory of every one. (Over several hosts: rings of chunks, about as many bytes.)
    private static func tensorSumBytes(degree: Int) -> Int {
        guard degree > 1 else { return 0 }
        return CommunicationOptions().sharedMemory.mappedBytes(groupSize: degree)
    }
}
