/// A fault of the network, of a peer or of MPI.
public struct CommunicationError: Error, Sendable {
    public enum Kind: Sendable { case deadline, library, setUp }

    public let kind: Kind
    /// What happened: the operation, the peer, the bytes; expected and found.
    public let message: String

    public init(_ kind: Kind, _ message: String) { (self.kind, self.message) = (kind, message) }
}
