import Files
import Tokenizers

/// What ended a run, or kept it from starting: the kind that becomes the exit code, the message, and
/// where it happened as far as that is known.
///
/// Libraries throw it; only the command line turns it into `line`s on standard error and an exit code.
public struct RunError: Error, Sendable, Equatable {
    /// The raw value is the exit code of the process, and of `mpirun` above it.
    public enum Kind: Int32, Sendable, CaseIterable {
        /// Usage or configuration.
        case usage = 2
        case data = 3
        /// A checkpoint that is damaged, or of another model.
        case checkpoint = 4
        /// The file system: no space, read-only, an error of the device.
        case inputOutput = 5
        /// The numbers diverged.
        case divergence = 6
        case replicasDiffer = 7
        /// A peer did not answer within the communication time-out.
        case deadline = 8
        case outOfMemory = 9
        /// Stopped from outside after a committed checkpoint: start me again.
        case preempted = 75
    }

    public var kind: Kind
    /// `what: expected …, found …`, and `; hint` where there is one: one line each, whatever they quote. Several
    /// are found at once in configuration and data.
    public let problems: [String]
    public var rank: Int?
    public var host: String?
    /// Completed steps.
    public var step: Int?
    /// Whether every rank has this same error in the same place: the first one tells it for all, and all
    /// leave in order.
    public var isShared: Bool

    public init(
        _ kind: Kind, _ problem: String, rank: Int? = nil, host: String? = nil, step: Int? = nil,
        isShared: Bool = false
    ) {
        self.init(
            kind, problems: [problem], rank: rank, host: host, step: step, isShared: isShared)
    }

    public init(
        _ kind: Kind, problems: [String], rank: Int? = nil, host: String? = nil, step: Int? = nil,
        isShared: Bool = false
    ) {
        (self.kind, self.problems) = (kind, problems.map(\.printableMessage))
        (self.rank, self.host, self.step) = (rank, host, step)
        self.isShared = isShared
    }

    public var exitCode: Int32 { kind.rawValue }

    /// The problems, a line each.
    public var message: String { problems.joined(separator: "\n") }

    /// `error: rank R host H step S: message`, parts that are not known left out, one line a problem;
    /// `stopped:` where the run was only interrupted.
    public var lines: [String] {
        let places = [
            rank.map { "rank \($0)" }, host.map { "host \($0)" }, step.map { "step \($0)" },
        ].compactMap(\.self)
        let prefix = ([kind == .preempted ? "stopped:" : "error:"] + places).joined(separator: " ")
        return problems.map { "\(prefix)\(places.isEmpty ? "" : ":") \($0)" }
    }

    /// The same error with the places it does not name yet filled in.
    public func located(rank: Int? = nil, host: String? = nil, step: Int? = nil) -> RunError {
        RunError(
            kind, problems: problems, rank: self.rank ?? rank, host: self.host ?? host,
            step: self.step ?? step, isShared: isShared)
    }
}

extension RunError {
    public init(_ error: ConfigurationError) { self.init(.usage, problems: error.lines) }
}

extension RunError {
    package init(_ error: TokenizerError) { self.init(.data, error.message) }
}
