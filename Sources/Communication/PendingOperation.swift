/// An operation under way. It must be waited for exactly once.
public final class PendingOperation: @unchecked Sendable {
    private let finish: () throws(CommunicationError) -> Void

    package init(finish: @escaping () throws(CommunicationError) -> Void) { self.finish = finish }

    /// Returns when the operation is complete on this rank and its buffer may be used again.
    public func wait() throws(CommunicationError) { try finish() }
}
