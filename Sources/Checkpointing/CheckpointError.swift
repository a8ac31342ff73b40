import Communication

/// A fault met while a checkpoint is written, read or compared with the state that asks for it.
public struct CheckpointError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// A checkpoint, or a safetensors file, is damaged or not one at all.
        case unusable
        /// The disk failed to give it back (EIO): nobody knows what it is.
        case unreadable
        /// A sound checkpoint of another model or another run.
        case mismatch
        /// The file system refused an operation.
        case io
        /// The network or a peer failed while ranks saved or loaded together.
        case communication(CommunicationError)
    }

    public let kind: Kind
    /// Whether another checkpoint may be taken in its place.
    public var isOfOneCheckpoint: Bool {
        switch kind {
        case .unusable, .unreadable: true
        case .mismatch, .io, .communication: false
        }
    }
    /// `file: tensor: expected …, found …; hint`.
    public let message: String

    public init(_ kind: Kind, _ message: String) { (self.kind, self.message) = (kind, message) }

    /// What is wrong with one checkpoint in several places, of which ten are named; nil where there is none.
    init?(joining problems: [CheckpointError]) {
        guard let first = problems.first else { return nil }
        let unreadable = problems.first { if case .unreadable = $0.kind { true } else { false } }
        let more = problems.count > 10 ? ["and \(problems.count - 10) more"] : []
        self.init(
            (unreadable ?? first).kind,
            (problems.prefix(10).map(\.message) + more).joined(separator: "; "))
    }

    init(_ error: CommunicationError) { self.init(.communication(error), error.message) }

    public var description: String { message }
}
