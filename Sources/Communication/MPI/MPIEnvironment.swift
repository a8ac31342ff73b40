import CMPI
import Glibc
import Synchronization

/// This process as a rank of a job that `mpirun` or `srun` has started.
///
/// It ends in exactly one of two ways: `finish()` when all is well, `abort(code:)` when it is not.
public final class MPIEnvironment: Sendable {
    /// All ranks of the job.
    public let world: any Communicator
    public let placement: HostPlacement
    let engine: Engine
    private static let hasStarted = Atomic(false)

    private init(engine: Engine, world: Engine.World, placement: HostPlacement) {
        (self.engine, self.placement) = (engine, placement)
        self.world = Group(engine: engine, world: world)
    }

    /// Whether a launcher started this process: where none did, MPI is never initialised.
    public static func isLaunched(environment: [String: String]) -> Bool {
        ["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"].contains { environment[$0] != nil }
    }

    /// Enters the world, at most once a process. From here on the process dies with its launcher.
    ///
    /// Collective over all processes of the job.
    /// - Parameter remind: called every `CommunicationOptions.entryReminder` until all have entered.
    public static func start(
        options: CommunicationOptions = CommunicationOptions(), remind: () -> Void = {}
    ) throws(CommunicationError) -> MPIEnvironment {
        precondition(
            !hasStarted.exchange(true, ordering: .relaxed),
            "MPIEnvironment: expected one start a process, got a second")
        try followLauncher()
        let engine = Engine(options: options)
        let world = try engine.start(remind: remind) { () throws(CommunicationError) in
            try MPITransport()
        }
        if world.localRank == 0 { SharedMemoryFiles.removeAbandoned() }
        return MPIEnvironment(
            engine: engine, world: world,
            placement: HostPlacement(
                localRank: world.localRank, localSize: world.localSize,
                hostLeader: world.hostLeader))
    }

    /// Leaves the world. Every operation has been waited for; nothing may be called afterwards.
    ///
    /// Collective over all processes of the job. Throws what a former operation has thrown, or
    /// `.deadline` when other ranks do not come to leave.
    public func finish() throws(CommunicationError) { try engine.close() }

    /// Ends every process of the job; the launcher exits with `code`.
    ///
    /// Not collective: for the rank that has met an error which the others do not know of.
    public func abort(code: Int32) -> Never {
        engine.abort(code: code)
        // The library did not answer; the launcher ends the others when this process is gone.
        _exit(code)
    }

    /// A launcher that is killed cannot end its ranks, so the kernel does.
    private static func followLauncher() throws(CommunicationError) {
        let launcher = getppid()
        guard dieWithParent() == 0 else {
            throw CommunicationError(
                .setUp, "prctl: expected a signal at the launcher's end, found error \(errno)")
        }
        guard getppid() == launcher else {
            throw CommunicationError(
                .setUp, "launcher: expected process \(launcher), found it gone")
        }
    }
}
