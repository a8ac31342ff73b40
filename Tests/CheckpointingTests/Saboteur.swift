import Checkpointing
import Synchronization

/// Stops a save before one file operation of one rank (nil: of any); as a kill it stops all ranks for good, as
/// the end of one rank ends a run.
final class Saboteur: Sendable {
    private struct State: Sendable {
        var log: [FileOperations.Operation] = []
        var isDead = false
    }

    private let state = Mutex(State())
    private let target: Int
    private let victim: Int?
    private let isKill: Bool
    private let kind: FileOperations.Operation?

    /// - Parameter kind: which operations are counted and stopped; nil: all.
    init(
        before target: Int, of victim: Int? = nil, isKill: Bool = false,
        only kind: FileOperations.Operation? = nil
    ) {
        (self.target, self.victim, self.isKill, self.kind) = (target, victim, isKill, kind)
    }

    /// What the victim did or tried to do.
    var log: [FileOperations.Operation] { state.withLock { $0.log } }

    @Sendable func operations(of rank: Int) -> FileOperations {
        FileOperations { [self] (operation, path) throws(CheckpointError) in
            let isStopped = state.withLock { state in
                guard victim == nil || rank == victim, kind == nil || operation == kind else {
                    return state.isDead
                }
                state.log.append(operation)
                let isHit = state.log.count - 1 == target
                if isHit && isKill { state.isDead = true }
                return isHit || state.isDead
            }
            if isStopped { throw CheckpointError(.io, "\(path): sabotaged") }
        }
    }
}
