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
    public static func enter(timeout: Double) throws(RunError) -> World {
        let variables = ProcessInfo.processInfo.environment
        guard MPIEnvironment.isLaunched(environment: variables) else {
            if let tasks = variables["SLURM_NTASKS"].flatMap({ Int($0) }), tasks > 1 {
                throw RunError(
                    .usage,
                    "launch: expected PMIx from srun for \(tasks) tasks, found none; "
                        + "use srun --mpi=pmix -n \(tasks) murmur …")
            }
            return World(communicator: InProcess.alone(), placement: .alone, environment: nil)
        }
        do throws(CommunicationError) {
            var options = CommunicationOptions()
            options.deadline = .seconds(timeout)
            let environment = try MPIEnvironment.start(options: options)
            return World(
                communicator: environment.world, placement: environment.placement,
                environment: environment)
        } catch {
            throw RunError(error)
        }
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

    /// Runs `body` on every rank; throws on *every* rank the error of the lowest one that has any, so that
    /// all leave in the same place with the same code. Collective: `body` is not, unless it says so.
    func together<Result>(
        _ host: String, _ body: () throws(RunError) -> Result
    ) throws(RunError) -> Result {
        let outcome: Swift.Result<Result, RunError>
        do throws(RunError) {
            outcome = .success(try body())
        } catch {
            outcome = .failure(error)
        }
        try shareFailure(host) { () throws(RunError) in _ = try outcome.get() }
        return try outcome.get()
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
            kind, String(parts[3]), rank: size > 1 ? rank : nil,
            host: size > 1 ? String(parts[1]) : nil, step: Int(parts[2]), isShared: true)
    }
}
