import Kernels
import Synchronization
import Tensors

/// The operations of a rank that go through shared memory. They move on when the rank's thread submits one
/// and while it waits for any operation at all, so that ranks may wait in different orders.
final class SharedWork: @unchecked Sendable {
    private let lock = Mutex(())
    // Under the lock.
    private var busy: [SharedQueue] = []
    private var failure: CommunicationError?

    private let busyCount = Atomic(0)

    /// Whether operations are not complete.
    var isBusy: Bool { busyCount.load(ordering: .relaxed) > 0 }

    /// The names of the operations that are under way.
    var namesUnderWay: [String] { lock.withLock { _ in busy.compactMap(\.current?.name) } }

    func submit(_ operation: SharedOperation, to queue: SharedQueue) -> PendingOperation {
        let span = Trace.begin(.communication, operation.kind.name, bytes: operation.byteCount)
        defer { span.end() }
        lock.withLock { _ in
            if let failure = failure ?? queue.engine.knownFailure {
                return operation.finish(failure)
            }
            queue.append(operation)
            if !busy.contains(where: { $0 === queue }) { busy.append(queue) }
            advance(queue)
        }
        return PendingOperation { [self] () throws(CommunicationError) in
            try wait(operation, queue)
        }
    }

    /// Moves every group on; whether anything changed.
    func advance() -> Bool {
        lock.withLock { _ in
            var progressed = false
            for queue in busy where advance(queue) { progressed = true }
            return progressed
        }
    }

    /// Moves a group on, under the lock.
    @discardableResult
    private func advance(_ queue: SharedQueue) -> Bool {
        defer {
            if queue.current == nil { busy.removeAll { $0 === queue } }
            busyCount.store(busy.count, ordering: .relaxed)
        }
        do {
            return try queue.advance()
        } catch {
            fail(error, by: queue.engine)
            return true
        }
    }

    private func fail(_ error: CommunicationError, by engine: Engine) {
        failure = failure ?? error
        engine.report(error)
        for queue in busy { queue.fail(error) }
        busy = []
        busyCount.store(0, ordering: .relaxed)
    }

    // MARK: Waiting

    private func wait(
        _ operation: SharedOperation, _ queue: SharedQueue
    ) throws(CommunicationError) {
        if !lock.withLock({ _ in operation.isDone }) {
            let span = Trace.begin(.communication, operation.kind.awaitedName)
            defer { span.end() }
            queue.engine.waiterCount.add(1, ordering: .relaxed)
            defer { queue.engine.waiterCount.subtract(1, ordering: .relaxed) }
            var patience = queue.engine.makePatience()
            while let progressed = moveOn(operation, queue) {
                if progressed || (!patience.isSpinning && advance()) {
                    patience.reset()
                } else {
                    rest(&patience, queue)
                }
            }
            patience.reset()
            queue.engine.count(waited: patience.waited)
        }
        if let error = operation.error { throw error }
    }

    /// Whether anything changed; nil when the operation is complete.
    private func moveOn(_ operation: SharedOperation, _ queue: SharedQueue) -> Bool? {
        lock.withLock { _ in
            if operation.isDone { return nil }
            let progressed = advance(queue)
            return operation.isDone ? nil : progressed
        }
    }

    /// Passes a little time, and from time to time looks whether there is still hope.
    private func rest(_ patience: inout Patience, _ queue: SharedQueue) {
        let engine = queue.engine
        guard let ticket = lock.withLock({ _ in queue.current?.ticket }) else {
            patience.rest()
            if patience.isNapping { giveUp(queue, after: patience.silence) }
            return
        }
        // Between hosts the engine sees to the deadline.
        patience.rest { engine.sleep(until: ticket) }
        if patience.isNapping { giveUp(queue, after: patience.silence) }
    }

    /// Ends everything where the other ranks will not come any more.
    private func giveUp(_ queue: SharedQueue, after silence: UInt64) {
        lock.withLock { _ in
            if let error = queue.engine.knownFailure ?? queue.fault(after: silence) {
                fail(error, by: queue.engine)
            }
        }
    }
}
