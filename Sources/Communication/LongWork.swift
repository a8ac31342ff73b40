import Synchronization

/// Work that every rank of a group does by itself: from `Communicator.beginWork` to `end`.
public final class LongWork: Sendable {
    private struct Beating: Sendable {
        let engine: Engine
        let ticket: Ticket
        let beats: Unchecked
    }

    /// What it offers to this thread is safe from any.
    private struct Unchecked: @unchecked Sendable { let value: Heartbeats }

    private let beating: Beating?

    /// A rank without others.
    init() { beating = nil }

    init(_ beats: Heartbeats, ticket: Ticket, engine: Engine) {
        beating = Beating(engine: engine, ticket: ticket, beats: Unchecked(value: beats))
    }

    /// This rank's part is done; returns when every rank's is. It must be called exactly once, wherever the
    /// work ends.
    ///
    /// Throws `.deadline` where the process of a rank gives no sign of life, naming the rank; a rank that works
    /// is waited for.
    /// - Parameter remind: called every `CommunicationOptions.reminder` with the ranks that still work and
    ///   their hosts, as they stand in a sentence.
    public func end(
        remind: (_ ranks: String) -> Void = { _ in }
    ) throws(CommunicationError) {
        guard let beating else { return }
        let (engine, ticket, beats) = (beating.engine, beating.ticket, beating.beats.value)
        beats.finish()
        let start = MonotonicClock.now
        let interval = engine.options.reminder.nanoseconds
        var next = start + interval
        // For work around this one it only waits here, like a rank in an operation.
        engine.waiterCount.add(1, ordering: .relaxed)
        defer { engine.waiterCount.subtract(1, ordering: .relaxed) }
        while !ticket.isDone.load(ordering: .acquiring) {
            let isBusy = engine.sharedWork.isBusy
            if isBusy && engine.sharedWork.advance() { continue }
            engine.sleep(until: ticket, nanoseconds: isBusy ? 1_000_000 : 100_000_000)
            guard MonotonicClock.now >= next else { continue }
            next += interval
            let late = beats.unfinished
            if !late.isEmpty { remind(engine.describe(ranks: late)) }
        }
        engine.count(waited: MonotonicClock.now - start)
        try engine.wait(ticket)
    }
}
