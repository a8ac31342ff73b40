import Synchronization

/// Ranks that are threads of this process: for tests, and for a run of a single process.
public enum InProcess {
    /// A world of one rank. It has no thread of its own: every operation is complete when submitted.
    public static func alone() -> any Communicator {
        Group(
            engine: Engine(options: CommunicationOptions()), members: [0], rank: 0, identifier: 0,
            tags: TagSpace(upperBound: Int(Int32.max)))
    }

    /// Runs `body` on `ranks` threads, each with its communicator, and returns what they return, by rank.
    ///
    /// Throws the first error that a rank throws; the operations of the others then fail as well, so
    /// that none waits for a rank that has left.
    @discardableResult
    public static func run<Result: Sendable>(
        ranks: Int, options: CommunicationOptions = CommunicationOptions(),
        _ body: @escaping @Sendable (any Communicator) throws -> Result
    ) throws -> [Result] {
        precondition(ranks > 0, "InProcess.run: expected at least one rank, got \(ranks)")
        let office = PostOffice(size: ranks, watchMessage: options.watchMessage)
        let outcome = Outcome<Result>(ranks: ranks)
        var engines: [Engine] = []
        var threads: [NativeThread] = []
        defer {
            for thread in threads { thread.join() }
            for engine in engines { try? engine.close() }
        }
        do {
            for rank in 0..<ranks {
                let engine = Engine(options: options)
                engines.append(engine)
                let world = try engine.start {
                    InProcessTransport(
                        rank: rank, office: office,
                        hostSize: options.sharedMemory.pretendedHostSize)
                }
                let communicator = Group(engine: engine, world: world)
                threads.append(
                    try NativeThread("rank \(rank)") {
                        do {
                            outcome.set(try body(communicator), rank: rank)
                        } catch {
                            outcome.fail(error)
                            office.close("rank \(rank): expected to finish, found \(error)")
                        }
                    })
            }
        } catch {
            office.close("\(error)")
            throw error
        }
        for thread in threads { thread.join() }
        threads = []
        return try outcome.results()
    }

    private final class Outcome<Result: Sendable>: Sendable {
        private struct State: Sendable {
            var results: [Result?]
            var firstError: (any Error)?
        }

        private let state: Mutex<State>

        init(ranks: Int) { state = Mutex(State(results: Array(repeating: nil, count: ranks))) }

        func set(_ result: Result, rank: Int) { state.withLock { $0.results[rank] = result } }

        func fail(_ error: any Error) {
            state.withLock { $0.firstError = $0.firstError ?? error }
        }

        func results() throws -> [Result] {
            let state = state.withLock { $0 }
            if let error = state.firstError { throw error }
            return state.results.compactMap { $0 }
        }
    }
}
