import Synchronization

/// An operation under way. It must be waited for exactly once.
public final class PendingOperation: @unchecked Sendable {
    private let finish: () throws(CommunicationError) -> Void
    private let isWaited = Atomic(false)

    package init(finish: @escaping () throws(CommunicationError) -> Void) { self.finish = finish }

    /// One that was complete when it was submitted.
    package static var completed: PendingOperation { PendingOperation {} }

    /// Returns when the operation is complete on this rank and its buffer may be used again.
    ///
    /// Throws `.deadline` when a peer stays silent for too long, naming the operation, its number, the
    /// peer and the bytes outstanding. After any error no operation of this rank completes any more.
    public func wait() throws(CommunicationError) {
        precondition(
            !isWaited.exchange(true, ordering: .relaxed),
            "PendingOperation: expected one wait(), got a second")
        try finish()
    }
}
