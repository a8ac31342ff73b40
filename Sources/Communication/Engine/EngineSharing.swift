import Synchronization

/// What operations through shared memory need of the engine.
extension Engine {
    /// Why no operation of this rank completes any more.
    var knownFailure: CommunicationError? {
        hasFailed.load(ordering: .acquiring) ? monitor.withLock { failure } : nil
    }

    /// Nanoseconds in which the thread should have seen a deadline by itself.
    var patience: UInt64 { options.deadline.nanoseconds + 5_000_000_000 }

    func stuck(_ name: String) -> CommunicationError {
        CommunicationError(
            .deadline,
            "\(name): expected the message library to return within \(options.deadline), found it "
                + "stuck inside a call")
    }

    /// Has every operation fail from now on.
    func report(_ error: CommunicationError) {
        monitor.withLock {
            report = report ?? error
            hasMail.store(true, ordering: .releasing)
            monitor.signal(.work)
        }
    }

    func makePatience() -> Patience {
        Patience(neighbours: localSize.load(ordering: .relaxed))
    }

    func count(waited nanoseconds: UInt64) {
        waitedNanoseconds.add(nanoseconds, ordering: .relaxed)
    }

    func describe(ranks: [Int]) -> String {
        let hosts = monitor.withLock { world }?.hosts ?? []
        return Communication.describe(ranks: ranks, hosts: hosts)
    }

    /// Runs `body` on the engine's thread, in its turn, and waits for it. What it calls may block.
    func perform<Result>(
        _ name: String,
        _ body: @escaping (any Transport) throws(CommunicationError) -> Result
    ) throws(CommunicationError) -> Result {
        let call = TransportCall(body)
        let ticket = Ticket(name: name, exchange: call, exclusiveTag: nil)
        enqueue(ticket)
        try wait(ticket)
        guard let result = call.result else {
            preconditionFailure("\(name): expected a result of a call that is over, got none")
        }
        return result
    }

    /// Sleeps until the ticket is done, at most for so long, while the engine polls for it.
    func sleep(until ticket: Ticket, nanoseconds: UInt64 = 1_000_000) {
        awaitedCount.add(1, ordering: .sequentiallyConsistent)
        ticket.isAwaited.store(true, ordering: .sequentiallyConsistent)
        defer { awaitedCount.subtract(1, ordering: .sequentiallyConsistent) }
        monitor.withLock {
            monitor.signal(.work)
            if !ticket.isDone.load(ordering: .acquiring) {
                monitor.wait(for: .news, nanoseconds: nanoseconds)
            }
        }
    }

    /// While the rank's thread waits for messages, what it has submitted in shared memory goes on, because
    /// other ranks may be waiting for it.
    func progressSharedWork(until ticket: Ticket) {
        guard sharedWork.isBusy else { return }
        var patience = makePatience()
        while sharedWork.isBusy && !ticket.isDone.load(ordering: .acquiring)
            && patience.silence < options.deadline.nanoseconds
        {
            if sharedWork.advance() { patience.reset() } else { patience.rest() }
        }
        patience.reset()
    }

    /// An operation that nobody has waited for would read memory that is given back.
    func refuseToLeaveSharedWork() {
        guard sharedWork.isBusy else { return }
        report(
            CommunicationError(
                .setUp,
                "leaving the world: expected every operation complete, found "
                    + sharedWork.namesUnderWay.joined(separator: "; ")))
    }
}

/// A call of the transport as an exchange of a single turn.
private final class TransportCall<Result>: Exchange {
    private let body: (any Transport) throws(CommunicationError) -> Result
    private(set) var result: Result?

    init(_ body: @escaping (any Transport) throws(CommunicationError) -> Result) {
        self.body = body
    }

    var lanes: [Lane] { [] }
    var isComplete: Bool { result != nil }

    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
        result = try body(transport)
        return true
    }
}
