// This process among the ranks of a run, and how ranks fail together.

import Communication
import Foundation

/// The ranks of a run: one process alone, or those that `mpirun` or `srun` started.
public struct World: Sendable {
    public let communicator: any Communicator
    public let placement: HostPlacement
    private let environment: MPIEnvironment?

    /// Enters MPI where a launcher started this process, and only there.
    ///
    /// Throws a usage error under Slurm without PMIx, where every task would otherwise train alone.
    /// - Parameter remind: called from time to time until all ranks have entered.
    public static func enter(
        timeout: Double, remind: () -> Void = {}
    ) throws(RunError) -> World {
        let variables = ProcessInfo.processInfo.environment
        guard MPIEnvironment.isLaunched(environment: variables) else {
            try requireLaunch(of: 1, environment: variables)
            return World(communicator: InProcess.alone(), placement: .alone, environment: nil)
        }
        let environment = try communicating { () throws(CommunicationError) in
            var options = CommunicationOptions()
            options.deadline = .seconds(timeout)
            return try MPIEnvironment.start(options: options, remind: remind)
        }
        do throws(RunError) {
            try requireLaunch(of: environment.world.size, environment: variables)
        } catch {
            // A process that knows of no other leaves nobody waiting.
            try? environment.finish()
            throw error
        }
        return World(
            communicator: environment.world, placement: environment.placement,
            environment: environment)
    }

    /// Throws where a launcher has started several processes, and this one is alone: each would train by
    /// itself. So it is under Slurm without PMIx, and where the launcher speaks another protocol than the
    /// message library: MPICH's `mpiexec`, or that of another Open MPI.
    package static func requireLaunch(
        of size: Int, environment: [String: String]
    ) throws(RunError) {
        guard size == 1 else { return }
        // The first of them that is there is the launcher's nearest to this process.
        let names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"]
        guard let tasks = names.lazy.compactMap({ environment[$0].flatMap { Int($0) } }).first,
            tasks > 1
        else { return }
        // No task knows of the others, but the first can speak for all.
        throw RunError(
            .usage,
            "launch: expected ranks that know of one another for \(tasks) tasks, found one alone; "
                + "start it with \(Launcher.advice(tasks: tasks, environment: environment))",
            isShared: true)
    }

    /// A world inside this process, for tests.
    package init(communicator: any Communicator) {
        self.init(communicator: communicator, placement: .alone, environment: nil)
    }

    private init(
        communicator: any Communicator, placement: HostPlacement, environment: MPIEnvironment?
    ) {
        (self.communicator, self.placement, self.environment) =
            (communicator, placement, environment)
    }

    public var rank: Int { communicator.rank }
    public var size: Int { communicator.size }
    /// Whether this rank writes to console and disk for all.
    public var isFirst: Bool { rank == 0 }

    /// What the first rank finds, on all of them; where it fails, all do. Collective.
    public func sharing(
        _ find: () throws(RunError) -> [String]
    ) throws(RunError) -> [String] {
        let own = try communicator.together(placement.hostName) { () throws(RunError) in
            isFirst ? try find() : []
        }
        // A text may hold anything.
        let text = own.map { Data($0.utf8).base64EncodedString() }.joined(separator: " ")
        return try communicator.gather(text)[0].split(
            separator: " ", omittingEmptySubsequences: false
        ).map { String(decoding: Data(base64Encoded: String($0)) ?? Data(), as: UTF8.self) }
    }

    /// Leaves MPI. Collective.
    public func leave() throws(RunError) {
        do throws(CommunicationError) {
            try environment?.finish()
        } catch {
            throw RunError(error)
        }
    }

    /// Ends the processes of all ranks with this exit code; returns where this process is alone.
    public func abort(code: Int32) {
        environment?.abort(code: code)
    }
}

extension Communicator {
    /// What each rank gives, a number or a text, by rank. Collective.
    func gather<Value: LosslessStringConvertible>(_ value: Value) throws(RunError) -> [Value] {
        let texts = try communicating { () throws(CommunicationError) in
            try gatherAll(value.description)
        }
        return texts.map { text in
            guard let value = Value(text) else {
                preconditionFailure("gather: expected a value of \(Value.self), got \(text)")
            }
            return value
        }
    }

    /// Runs `body` on every rank, for however long that takes; throws on *every* rank the error of the lowest
    /// one that has any, so that all leave in the same place with the same code. Collective: `body` is not,
    /// unless it says so.
    /// - Parameter what: what ranks are at, for those who wait.
    func together<Result>(
        _ host: String, on what: String = "work of its own",
        _ body: () throws(RunError) -> Result
    ) throws(RunError) -> Result {
        let outcome = try outcome(of: body, on: what) { _ in true }
        try shareFailure(host) { () throws(RunError) in _ = try outcome.get() }
        return try outcome.get()
    }

    /// Runs `body`, in which ranks work for long and communicate, and which throws the same on every rank.
    /// Collective.
    func patiently<Result>(
        on what: String, _ body: () throws(RunError) -> Result
    ) throws(RunError) -> Result {
        // Where the others do not know of an error, this rank ends them all.
        try outcome(of: body, on: what, waitingAfter: \.isShared).get()
    }

    /// What `body` comes to, once all ranks are done with theirs; an error after which this rank is not to wait
    /// for them is thrown at once.
    private func outcome<Result>(
        of body: () throws(RunError) -> Result, on what: String,
        waitingAfter waits: (RunError) -> Bool
    ) throws(RunError) -> Swift.Result<Result, RunError> {
        let work = beginWork(what)
        let outcome: Swift.Result<Result, RunError>
        do throws(RunError) {
            outcome = .success(try body())
        } catch {
            guard waits(error) else { throw error }
            outcome = .failure(error)
        }
        try finish(work, on: what)
        return outcome
    }

    /// Waits for the work of all; the first rank says for whom. Collective.
    func finish(_ work: LongWork, on what: String) throws(RunError) {
        let console = Console(isActive: rank == 0)
        try communicating { () throws(CommunicationError) in
            try work.end { console.note("waiting for rank \($0): \(what)") }
        }
    }

    private func shareFailure(
        _ host: String, _ outcome: () throws(RunError) -> Void
    ) throws(RunError) {
        var failure = ""
        do throws(RunError) {
            try outcome()
        } catch {
            let step = error.step.map(String.init) ?? ""
            failure = "\(error.kind.rawValue)\n\(error.host ?? host)\n\(step)\n\(error.message)"
        }
        let failures = try gather(failure)
        guard let rank = failures.firstIndex(where: { !$0.isEmpty }) else { return }
        let parts = failures[rank].split(
            separator: "\n", maxSplits: 3, omittingEmptySubsequences: false)
        let kind = Int32(parts[0]).flatMap { RunError.Kind(rawValue: $0) } ?? .inputOutput
        throw RunError(
            kind, problems: parts[3].split(separator: "\n").map(String.init),
            rank: size > 1 ? rank : nil,
            host: size > 1 ? String(parts[1]) : nil, step: Int(parts[2]), isShared: true)
    }
}
