/// A fault of the network, of a peer or of MPI.
public struct CommunicationError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        /// A peer stayed silent for longer than `CommunicationOptions.deadline`.
        case deadline
        /// The message library, or a peer, reported a fault; or two ranks disagree about a message.
        case library
        /// The world could not be entered or left.
        case setUp
    }

    public let kind: Kind
    /// What happened: the operation, the peer, the bytes; expected and found.
    public let message: String

    public init(_ kind: Kind, _ message: String) { (self.kind, self.message) = (kind, message) }

    public var description: String { message }
}
