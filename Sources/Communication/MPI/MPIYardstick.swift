import CMPI
import Tensors

extension MPIEnvironment {
    /// How fast the library's own all-reduce (MPI_Allreduce, in place; it promises no order) is on the same
    /// ranks: seconds of each of `rounds` calls. What ours is measured against, and used for nothing else.
    ///
    /// Collective over all processes of the job, and blocking.
    package func timeLibraryAllReduce(
        _ buffer: Buffer, rounds: Int
    ) throws(CommunicationError) -> [Double] {
        try engine.perform("MPI_Allreduce") { transport throws(CommunicationError) in
            guard let transport = transport as? MPITransport else {
                preconditionFailure("MPI_Allreduce: expected a transport over MPI")
            }
            return try transport.timeAllReduce(buffer, rounds: rounds)
        }
    }
}

extension MPITransport {
    fileprivate func timeAllReduce(
        _ buffer: Buffer, rounds: Int
    ) throws(CommunicationError) -> [Double] {
        var seconds: [Double] = []
        seconds.reserveCapacity(rounds)
        for _ in 0..<rounds {
            let start = MonotonicClock.now
            let status = MPI_Allreduce(
                MPI_IN_PLACE, buffer.floats, Int32(buffer.count), MPI_FLOAT, MPI_SUM, world)
            seconds.append(Double(MonotonicClock.now - start) * 1e-9)
            try check(status, "MPI_Allreduce")
        }
        return seconds
    }
}
