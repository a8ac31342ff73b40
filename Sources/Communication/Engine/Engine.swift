import Glibc
import Kernels
import Synchronization

/// Moves the operations of one rank forward, on a thread of its own that alone calls the transport.
///
/// Operations start in the order of their submission, and all that are under way make progress at each
/// turn of the loop, awaited ones first. While somebody waits the loop polls; otherwise it sleeps.
final class Engine: @unchecked Sendable {
    typealias MakeTransport = @Sendable () throws(CommunicationError) -> any Transport

    private enum Command {
        case run, close
        case abort(Int32)
    }

    /// What the thread has reached.
    private enum Phase { case opening, running, closed }

    let options: CommunicationOptions

    // Shared, under the monitor.
    let monitor = Monitor()
    private var inbox: [Ticket] = []
    private var command = Command.run
    private var phase = Phase.opening
    private(set) var failure: CommunicationError?
    /// A fault that the rank's thread has met in shared memory.
    var report: CommunicationError?
    private(set) var world: World?
    private var nextGroupIdentifier = 1
    private var thread: NativeThread?

    // Shared, without it.
    let hasMail = Atomic(false)
    let awaitedCount = Atomic(0)
    /// Threads of this rank that wait for an operation, by messages or in memory.
    let waiterCount = Atomic(0)
    /// When a rank was last known to work while all were known to be there; 0: never.
    let workSeenAt = Atomic<UInt64>(0)
    let hasFailed = Atomic(false)
    let localSize = Atomic(1)
    let sharedWork = SharedWork()
    private let turns = Atomic<UInt64>(0)
    let waitedNanoseconds = Atomic<UInt64>(0)

    // The engine's thread only.
    private var active: [Ticket] = []
    private var queue: [Ticket] = []

    struct World: Sendable {
        let rank: Int
        let size: Int
        let localRank: Int
        let localSize: Int
        let hostLeader: Int
        /// By rank in the world.
        let hosts: [String]
        let tags: TagSpace
    }

    init(options: CommunicationOptions) {
        options.validate()
        self.options = options
    }

    /// Starts the thread, which makes the transport; returns when the world has been entered. Every
    /// `options.entryReminder` until then it calls `remind`.
    func start(
        remind: () -> Void = {}, _ makeTransport: @escaping MakeTransport
    ) throws(CommunicationError) -> World {
        let thread = try NativeThread("communication") { self.run(makeTransport) }
        monitor.withLock { self.thread = thread }
        try reach(
            .running, within: max(options.deadline, options.entryDeadline),
            what: "entering the world", remind: remind)
        guard let world = monitor.withLock({ self.world }) else {
            preconditionFailure("Engine: expected a world once it runs, got none")
        }
        return world
    }

    /// Leaves the world and ends the thread. After a failure, or where an operation is incomplete, it
    /// only ends the thread, since leaving would wait for ranks that are lost, and throws.
    func close() throws(CommunicationError) {
        let started = monitor.withLock { () -> NativeThread? in
            defer { self.thread = nil }
            return self.thread
        }
        guard let thread = started else { return }
        refuseToLeaveSharedWork()
        order(.close)
        try reach(.closed, within: options.deadline, what: "leaving the world")
        thread.join()
        if let failure = monitor.withLock({ self.failure }) { throw failure }
    }

    /// Has the thread end the world with `code`; returns when it has, or after ten seconds.
    func abort(code: Int32) {
        order(.abort(code))
        let end = MonotonicClock.now + 10_000_000_000
        monitor.withLock {
            while phase != .closed {
                let now = MonotonicClock.now
                guard now < end else { return }
                monitor.wait(for: .news, nanoseconds: end - now)
            }
        }
    }

    private func order(_ command: Command) {
        monitor.withLock {
            self.command = command
            hasMail.store(true, ordering: .releasing)
            monitor.signal(.work)
        }
    }

    /// Blocks until the thread reaches `wanted` or fails to.
    private func reach(
        _ wanted: Phase, within deadline: Duration, what: String, remind: () -> Void = {}
    ) throws(CommunicationError) {
        let end = MonotonicClock.now + deadline.nanoseconds
        let interval = options.entryReminder.nanoseconds
        var next = MonotonicClock.now + interval
        while !hasReached(wanted, until: min(next, end)) {
            guard MonotonicClock.now < end else {
                throw CommunicationError(
                    .deadline,
                    "\(what): expected all ranks within \(deadline), found some missing")
            }
            next += interval
            remind()
        }
        if let fault = monitor.withLock({ phase == wanted ? nil : failure }) { throw fault }
    }

    /// Whether the thread is at `wanted`, or at its end, before a point in time.
    private func hasReached(_ wanted: Phase, until end: UInt64) -> Bool {
        monitor.withLock {
            while phase != wanted && phase != .closed {
                let now = MonotonicClock.now
                guard now < end else { return false }
                monitor.wait(for: .news, nanoseconds: end - now)
            }
            return true
        }
    }

    // MARK: Submitting and waiting

    /// A number for a new group that this rank has not used yet; `reserve` puts the next one above it.
    var freeGroupIdentifier: Int { monitor.withLock { nextGroupIdentifier } }

    func reserve(groupIdentifier: Int) {
        monitor.withLock { nextGroupIdentifier = max(nextGroupIdentifier, groupIdentifier + 1) }
    }

    var secondsWaited: Double { Double(waitedNanoseconds.load(ordering: .relaxed)) * 1e-9 }

    func enqueue(_ ticket: Ticket) {
        monitor.withLock {
            inbox.append(ticket)
            hasMail.store(true, ordering: .releasing)
            monitor.signal(.work)
        }
    }

    func submit(_ ticket: Ticket) -> PendingOperation {
        enqueue(ticket)
        return PendingOperation { [self] () throws(CommunicationError) in try wait(ticket) }
    }

    func wait(_ ticket: Ticket) throws(CommunicationError) {
        if !ticket.isDone.load(ordering: .acquiring) {
            let span = Trace.begin(.communication, "wait for communication")
            defer { span.end() }
            let start = MonotonicClock.now
            awaitedCount.add(1, ordering: .sequentiallyConsistent)
            waiterCount.add(1, ordering: .relaxed)
            ticket.isAwaited.store(true, ordering: .sequentiallyConsistent)
            defer {
                awaitedCount.subtract(1, ordering: .sequentiallyConsistent)
                waiterCount.subtract(1, ordering: .relaxed)
                waitedNanoseconds.add(MonotonicClock.now - start, ordering: .relaxed)
            }
            monitor.withLock { monitor.signal(.work) }
            progressSharedWork(until: ticket)
            try block(on: ticket)
        }
        if let error = ticket.error { throw error }
    }

    /// A short spin, for operations that are nearly there, then sleep until the engine has news.
    private func block(on ticket: Ticket) throws(CommunicationError) {
        for _ in 0..<200 where ticket.isDone.load(ordering: .acquiring) { return }
        let isStuck = monitor.withLock { () -> Bool in
            var (lastTurns, lastChange) = (turns.load(ordering: .relaxed), MonotonicClock.now)
            while !ticket.isDone.load(ordering: .acquiring) {
                monitor.wait(for: .news, nanoseconds: patience)
                let now = (turns.load(ordering: .relaxed), MonotonicClock.now)
                if now.0 != lastTurns {
                    (lastTurns, lastChange) = now
                } else if now.1 - lastChange >= patience {
                    return true
                }
            }
            return false
        }
        if isStuck { throw stuck(ticket.name) }
    }

    // MARK: The thread

    private func run(_ makeTransport: MakeTransport) {
        do {
            let transport = try makeTransport()
            enter(transport)
            loop(transport)
        } catch {
            monitor.withLock { failure = error }
        }
        monitor.withLock {
            phase = .closed
            monitor.signal(.news)
        }
    }

    private func enter(_ transport: any Transport) {
        localSize.store(transport.localSize, ordering: .relaxed)
        monitor.withLock {
            world = World(
                rank: transport.rank, size: transport.size, localRank: transport.localRank,
                localSize: transport.localSize, hostLeader: transport.hostLeader,
                hosts: transport.hosts,
                tags: TagSpace(upperBound: min(transport.tagUpperBound, options.tagLimit)))
            phase = .running
            monitor.signal(.news)
        }
    }

    private func loop(_ transport: any Transport) {
        var idleSince: UInt64 = 0  // 0: the last turn changed something
        while true {
            turns.add(1, ordering: .relaxed)
            if hasMail.load(ordering: .acquiring) {
                switch takeMail() {
                case .run: break
                case .close: return close(transport)
                case .abort(let code): return transport.abort(code: code)
                }
            }
            if turn(transport) {
                idleSince = 0
            } else {
                if idleSince == 0 { idleSince = MonotonicClock.now }
                rest(idleSince: idleSince)
            }
        }
    }

    private func takeMail() -> Command {
        var reported: CommunicationError?
        defer { if let reported, failure == nil { fail(reported) } }
        return monitor.withLock {
            hasMail.store(false, ordering: .relaxed)
            queue += inbox
            inbox.removeAll(keepingCapacity: true)
            reported = report
            return command
        }
    }

    private func close(_ transport: any Transport) {
        guard failure == nil else { return }
        let pending = active + queue
        guard pending.isEmpty else {
            return fail(
                CommunicationError(
                    .setUp,
                    "leaving the world: expected every operation complete, found "
                        + pending.map(\.name).joined(separator: "; ")))
        }
        do { try transport.close() } catch { monitor.withLock { failure = error } }
    }

    /// One round over all operations; whether anything changed.
    private func turn(_ transport: any Transport) -> Bool {
        if let failure {
            let refused = queue
            queue.removeAll()
            for ticket in refused { finish(ticket, failure) }
            return !refused.isEmpty
        }
        var progressed = startQueued()
        do {
            if try advance(transport, awaited: true) { progressed = true }
            if try advance(transport, awaited: false) { progressed = true }
        } catch {
            fail(error)
            return true
        }
        return progressed
    }

    /// Takes operations in order of submission, up to the first whose tag is still in use.
    private func startQueued() -> Bool {
        var started = 0
        for ticket in queue {
            if let tag = ticket.exclusiveTag, active.contains(where: { $0.exclusiveTag == tag }) {
                break
            }
            ticket.lastProgress = MonotonicClock.now
            active.append(ticket)
            started += 1
        }
        queue.removeFirst(started)
        return started > 0
    }

    private func advance(_ transport: any Transport, awaited: Bool) throws(CommunicationError)
        -> Bool
    {
        var (progressed, completed) = (false, false)
        for ticket in active where ticket.isAwaited.load(ordering: .relaxed) == awaited {
            if try ticket.advance(transport) {
                progressed = true
                ticket.lastProgress = MonotonicClock.now
            } else if awaited {
                try checkDeadline(ticket, transport)
            }
            if ticket.isComplete {
                finish(ticket, nil)
                completed = true
            }
        }
        if completed { active.removeAll { $0.isDone.load(ordering: .relaxed) } }
        return progressed || completed
    }

    private func checkDeadline(_ ticket: Ticket, _ transport: any Transport)
        throws(CommunicationError)
    {
        let now = MonotonicClock.now
        if !ticket.wasAwaited {
            ticket.wasAwaited = true
            ticket.lastProgress = now
        }
        // A peer that works is waited for; one that is lost, its heartbeats tell.
        let lastSign = max(ticket.lastProgress, workSeenAt.load(ordering: .relaxed))
        if now - lastSign > options.deadline.nanoseconds {
            throw ticket.silence(options.deadline, hosts: transport.hosts)
        }
    }

    private func finish(_ ticket: Ticket, _ error: CommunicationError?) {
        Trace.record(
            TraceEvent(.made(ticket.name), .communication, start: ticket.submission),
            from: ticket.submission)
        ticket.error = error
        monitor.withLock {
            ticket.isDone.store(true, ordering: .releasing)
            monitor.signal(.news)
        }
    }

    private func fail(_ error: CommunicationError) {
        // What is under way is kept for good: the library, or a peer that is a thread, may write into its
        // memory even when this engine is gone.
        for ticket in active { _ = Unmanaged.passRetained(ticket) }
        monitor.withLock { failure = error }
        hasFailed.store(true, ordering: .releasing)
        for ticket in active where !ticket.isDone.load(ordering: .relaxed) { finish(ticket, error) }
    }

    /// Nothing moved. Polls while somebody waits, giving up the core at each turn, and after a
    /// millisecond for so long that ranks which share this core get on; sleeps otherwise. Heartbeats
    /// alone make no haste.
    private func rest(idleSince: UInt64) {
        let isAwaited = awaitedCount.load(ordering: .sequentiallyConsistent) > 0 && failure == nil
        if isAwaited && MonotonicClock.now - idleSince < 1_000_000 {
            sched_yield()
            return
        }
        monitor.withLock {
            guard !hasMail.load(ordering: .relaxed) else { return }
            if failure == nil && !active.isEmpty {
                if isAwaited || awaitedCount.load(ordering: .relaxed) == 0 {
                    let isCalm =
                        active.allSatisfy(\.isHeartbeats)
                        && (!isAwaited || MonotonicClock.now - idleSince > 1_000_000_000)
                    monitor.wait(for: .work, nanoseconds: isCalm ? 5_000_000 : 50_000)
                }
            } else {
                monitor.wait(for: .work)
            }
        }
    }
}
