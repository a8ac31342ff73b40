/// The operations of one group that shares memory (under the lock of `SharedWork`), which are carried out in the order of their submission.
final class SharedQueue: @unchecked Sendable {
    let channel: SharedChannel
    let engine: Engine
    private var operations: [SharedOperation] = []
    private var first = 0

    init(_ channel: SharedChannel, engine: Engine) {
        (self.channel, self.engine) = (channel, engine)
    }

    var current: SharedOperation? { first < operations.count ? operations[first] : nil }

    func append(_ operation: SharedOperation) { operations.append(operation) }

    /// Does what can be done without waiting; whether anything changed.
    func advance() throws(CommunicationError) -> Bool {
        var progressed = false
        while let operation = current {
            if try !advance(operation, &progressed) { break }
            operation.finish()
            first += 1
            progressed = true
        }
        if first == operations.count {
            operations.removeAll(keepingCapacity: true)
            first = 0
        }
        return progressed
    }

    /// Whether the operation is complete.
    private func advance(
        _ operation: SharedOperation, _ progressed: inout Bool
    ) throws(CommunicationError) -> Bool {
        while let stage = operation.stages.first {
            switch stage {
            case .pass(let pass):
                let outcome = try advance(operation, pass)
                progressed = progressed || outcome.progressed
                if !outcome.isOver { return false }
            case .messages(let make):
                if operation.ticket == nil {
                    let ticket = make()
                    engine.enqueue(ticket)
                    operation.ticket = ticket
                    progressed = true
                }
                guard let ticket = operation.ticket, ticket.isDone.load(ordering: .acquiring)
                else { return false }
                if let error = ticket.error { throw error }
                operation.ticket = nil
            }
            operation.stages.removeFirst()
        }
        return true
    }

    private func advance(
        _ operation: SharedOperation, _ pass: any SharedPass
    ) throws(CommunicationError) -> (progressed: Bool, isOver: Bool) {
        do {
            return try channel.advance(pass, operation.signature)
        } catch {
            let pieces = "\(error.expected)" == "\(error.found)" ? " in other pieces" : ""
            throw CommunicationError(
                .library,
                "\(operation.name): expected \(error.expected) on rank \(error.rank), found "
                    + "\(error.found)\(pieces); the ranks' buffers or operations differ")
        }
    }

    /// Why the others will not come any more, after a silence of so many nanoseconds.
    func fault(after silence: UInt64) -> CommunicationError? {
        if let reason = channel.memory.reasonForEnd() {
            return CommunicationError(.library, reason)
        }
        let deadline = engine.options.deadline
        guard let operation = current, let stage = operation.stages.first else { return nil }
        guard case .pass(let pass) = stage else {
            return silence > engine.patience ? engine.stuck(operation.name) : nil
        }
        // A member that works is waited for.
        let now = MonotonicClock.now
        let sinceWork = now - min(now, engine.workSeenAt.load(ordering: .relaxed))
        guard min(silence, sinceWork) > deadline.nanoseconds else { return nil }
        let (ranks, chunks) = channel.silent(pass)
        let bytes = min(operation.byteCount, chunks * channel.memory.chunkBytes)
        return .silence(
            operation.name, deadline, "\(bytes) bytes outstanding from",
            engine.describe(ranks: ranks))
    }

    /// Ends what is left.
    func fail(_ error: CommunicationError) {
        while let operation = current {
            operation.finish(error)
            first += 1
        }
    }
}
