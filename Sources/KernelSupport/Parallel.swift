// Threads. A process has one pool of pthreads; `parallelFor` hands it numbered pieces of work. What a
// piece computes depends on its number alone, so the count of threads never shows in a result.

import COpenBLAS
import Glibc
import Synchronization

/// The size of the process-wide thread pool.
package enum Threads {
    /// Sets the number of threads that `parallelFor` uses, the calling one included (at least 1).
    ///
    /// The next `parallelFor` that finds the pool free brings it to that size, so a call never waits,
    /// not even from inside a body.
    ///
    /// - Parameter ownProcessors: whether each thread has a processor to itself. A worker then waits for
    ///   the next job in a loop for about a millisecond before it sleeps, so that a small model's jobs
    ///   find it awake (waking a thread takes as long as half of such a job); otherwise for some tens of
    ///   microseconds, since it would take the time of those it waits for.
    package static func start(_ count: Int, ownProcessors: Bool = false) {
        precondition(count >= 1, "Threads.start: expected at least 1 thread, got \(count)")
        BLAS.useOneThread()
        ThreadPool.shared.spins.store(
            ownProcessors ? ThreadPool.longWait : ThreadPool.shortWait, ordering: .relaxed)
        ThreadPool.shared.wantedCount.store(count, ordering: .relaxed)
    }

    /// The number of threads asked for, the calling one included; 1 until `start` is called.
    /// In a dry log, the number that is planned.
    package static var count: Int {
        WorkLog.dry?.threads ?? ThreadPool.shared.wantedCount.load(ordering: .relaxed)
    }

    /// Elements of a run of cheap work: some microseconds, well above the cost of taking a piece.
    package static let runLength = 1 << 13
}

/// Calls `body(0)` … `body(count - 1)` once each, on the pool, in no particular order.
///
/// A nested call, and a call while another thread uses the pool, runs inline on the caller. Everything
/// written by the bodies is visible when the call returns. In a dry log (`WorkLog`) no body is called.
/// - Parameters:
///   - scratch: floats that a body asks `withScratch` for, where it does.
///   - label: the name in a trace: the kernel that calls.
package func parallelFor(
    _ count: Int, scratch: Int = 0, label: StaticString = #function, _ body: (Int) -> Void
) {
    if let log = WorkLog.dry { return log.share(scratch: count > 0 ? scratch : 0) }
    let span = Trace.begin(.kernel, label)
    defer { span.end() }
    let pool = ThreadPool.shared
    if count > 1 && pool.wantedCount.load(ordering: .relaxed) > 1
        && pool.run(count, label, body)
    {
        return
    }
    for index in 0..<max(count, 0) { body(index) }
}

/// Calls `body` once, on the calling thread, and in a dry log (`WorkLog`) not at all: what reads or writes
/// elements outside of `parallelFor` stands in it.
package func serially(_ body: () -> Void) {
    if WorkLog.dry == nil { body() }
}

/// Cuts the elements 0 ..< `count` into runs of `length`, the last shorter, and calls `body` for each, as
/// `parallelFor` does; only for work in which no element's result depends on another's run.
package func parallelRuns(
    of count: Int, length: Int = Threads.runLength, label: StaticString = #function,
    _ body: (Range<Int>) -> Void
) {
    parallelFor((count + length - 1) / length, label: label) { index in
        body(index * length..<min(count, (index + 1) * length))
    }
}

/// `parallelRuns` over several lists of elements at once: `body` gets the list's number too.
package func parallelRuns(
    of counts: [Int], length: Int = Threads.runLength, label: StaticString = #function,
    _ body: (Int, Range<Int>) -> Void
) {
    let runs = counts.enumerated().flatMap { list, count in
        stride(from: 0, to: count, by: length).map { (list, $0..<min(count, $0 + length)) }
    }
    parallelFor(runs.count, label: label) { body(runs[$0].0, runs[$0].1) }
}

/// `parallelRuns` over rows of `width` elements.
package func parallelRows(
    _ rows: Int, width: Int, label: StaticString = #function, _ body: (Range<Int>) -> Void
) {
    parallelRuns(
        of: rows, length: max(1, Threads.runLength / 2 / max(width, 1)), label: label, body)
}

/// Workers spin after a job (`Threads.start` says for how long), then sleep. A job does not wait for workers
/// that are late: it is *open* while pieces may remain, a worker takes part by joining while it is open,
/// and the caller, out of pieces itself, closes it and waits only for those that joined.
private final class ThreadPool: @unchecked Sendable {
    static let shared = ThreadPool()

    let wantedCount = Atomic<Int>(1)

    /// Held by the one caller whose job the pool runs; it alone touches the fields below it.
    private let taken = Atomic<Bool>(false)
    private var startedCount = 1
    private var workers: [pthread_t] = []

    /// The job: written while the gate is closed and nobody is inside.
    private var body: UnsafePointer<(Int) -> Void>?
    private var count = 0
    private var label: StaticString = ""
    private let next = Atomic<Int>(0)

    /// Bits 0–31: workers inside the job; bit 32: open; above: the job's number.
    private let gate = Atomic<UInt64>(0)
    private static let open: UInt64 = 1 << 32
    private static let number: UInt64 = 1 << 33

    private let sleepers = Atomic<Int>(0)
    private let callerSleeps = Atomic<Bool>(false)
    private let ending = Atomic<Bool>(false)
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let jobOpened = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let jobLeft = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    /// Some 30 µs: a pause is 40 to 140 cycles.
    static let shortWait = 1_000
    static let longWait = 40_000
    let spins = Atomic<Int>(shortWait)

    private init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(jobOpened, nil)
        pthread_cond_init(jobLeft, nil)
    }

    // MARK: The caller

    /// Runs a job; false, with nothing done, where the pool is in use.
    func run(_ count: Int, _ label: StaticString, _ body: (Int) -> Void) -> Bool {
        guard !taken.exchange(true, ordering: .acquiring) else { return false }
        defer { taken.store(false, ordering: .releasing) }
        let wanted = wantedCount.load(ordering: .relaxed)
        if wanted != startedCount { resize(wanted) }
        withoutActuallyEscaping(body) { body in
            withUnsafePointer(to: body) { pointer in
                self.body = pointer
                self.count = count
                self.label = label
                next.store(0, ordering: .relaxed)
                let job = gate.load(ordering: .relaxed) & ~(Self.number - 1)
                gate.store((job &+ Self.number) | Self.open, ordering: .sequentiallyConsistent)
                wake(atMost: count - 1)
                _ = drain()
                let inside = gate.bitwiseAnd(~Self.open, ordering: .sequentiallyConsistent)
                if UInt32(truncatingIfNeeded: inside.newValue) != 0 { awaitLeavers() }
            }
        }
        return true
    }

    private func wake(atMost limit: Int) {
        guard sleepers.load(ordering: .sequentiallyConsistent) > 0 else { return }
        pthread_mutex_lock(mutex)
        for _ in 0..<min(limit, sleepers.load(ordering: .relaxed)) {
            pthread_cond_signal(jobOpened)
        }
        pthread_mutex_unlock(mutex)
    }

    private var isEmpty: Bool {
        UInt32(truncatingIfNeeded: gate.load(ordering: .sequentiallyConsistent)) == 0
    }

    private func awaitLeavers() {
        for _ in 0..<spins.load(ordering: .relaxed) {
            if isEmpty { return }
            spin_pause()
        }
        pthread_mutex_lock(mutex)
        callerSleeps.store(true, ordering: .sequentiallyConsistent)
        while !isEmpty { pthread_cond_wait(jobLeft, mutex) }
        callerSleeps.store(false, ordering: .relaxed)
        pthread_mutex_unlock(mutex)
    }

    /// Replaces the workers. No job runs, so each is spinning or asleep and ends at once. Where the
    /// system gives fewer threads than asked for, those there are share the work.
    private func resize(_ count: Int) {
        pthread_mutex_lock(mutex)
        ending.store(true, ordering: .sequentiallyConsistent)
        pthread_cond_broadcast(jobOpened)
        pthread_mutex_unlock(mutex)
        for worker in workers { pthread_join(worker, nil) }
        workers.removeAll()
        ending.store(false, ordering: .sequentiallyConsistent)

        // Signals belong to the threads that were there before: a handler may expect the main one.
        var all = sigset_t()
        var previous = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, &previous)
        defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
        for number in 1..<count {
            var thread = pthread_t()
            let status = pthread_create(
                &thread, nil,
                { number in
                    ThreadPool.shared.work(Int(bitPattern: number))
                    return nil
                }, UnsafeMutableRawPointer(bitPattern: number))
            if status != 0 { break }
            workers.append(thread)
        }
        startedCount = count
    }

    // MARK: Pieces

    /// Whether there were any for this thread. Never inlined, so that no reference to the body outlives
    /// the stay in the job.
    @inline(never)
    private func drain() -> Bool {
        guard let body else { return false }
        var hasWorked = false
        while true {
            let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
            if index >= count { return hasWorked }
            hasWorked = true
            body.pointee(index)
        }
    }

    // MARK: A worker

    private func work(_ number: Int) {
        Trace.nameThread("worker \(number)")
        var last: UInt64 = 0
        while awaitJob(after: &last) {
            let span = Trace.begin(.kernel, label)
            if drain() { span.end() }
            leave()
        }
    }

    /// Joins the next job; false at the end of the pool.
    private func awaitJob(after last: inout UInt64) -> Bool {
        while true {
            for _ in 0..<spins.load(ordering: .relaxed) {
                if ending.load(ordering: .acquiring) { return false }
                if join(after: &last) { return true }
                spin_pause()
            }
            pthread_mutex_lock(mutex)
            sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
            while !ending.load(ordering: .sequentiallyConsistent) && openJob(after: last) == nil {
                pthread_cond_wait(jobOpened, mutex)
            }
            sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            pthread_mutex_unlock(mutex)
        }
    }

    /// The gate's value, if a job is open that the worker has not been in.
    private func openJob(after last: UInt64) -> UInt64? {
        let value = gate.load(ordering: .sequentiallyConsistent)
        return value & Self.open != 0 && value / Self.number != last ? value : nil
    }

    private func join(after last: inout UInt64) -> Bool {
        guard let value = openJob(after: last) else { return false }
        let (joined, _) = gate.compareExchange(
            expected: value, desired: value + 1, ordering: .sequentiallyConsistent)
        if joined { last = value / Self.number }
        return joined
    }

    private func leave() {
        let value = gate.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue
        guard value & Self.open == 0, UInt32(truncatingIfNeeded: value) == 0,
            callerSleeps.load(ordering: .sequentiallyConsistent)
        else { return }
        pthread_mutex_lock(mutex)
        pthread_cond_signal(jobLeft)
        pthread_mutex_unlock(mutex)
    }
}
