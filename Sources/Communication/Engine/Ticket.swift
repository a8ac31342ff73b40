import Kernels
import Synchronization
import Tensors

/// An operation on its way through the engine.
final class Ticket: @unchecked Sendable {
    /// What it is called in messages: "all-reduce 17 of group 0, 4096 bytes".
    let name: String
    /// A tag that no other operation may use meanwhile; none for point-to-point, which is ordered.
    let exclusiveTag: Int?
    /// When it was submitted, for a trace.
    let submission = Trace.now

    /// Set once by the engine, after `error`.
    let isDone = Atomic(false)
    let isAwaited = Atomic(false)
    /// Read by the waiter after it has seen `isDone`.
    var error: CommunicationError?
    /// Engine's thread only: the time of the last progress, or of the first look at an awaited one.
    var lastProgress: UInt64 = 0
    var wasAwaited = false
    /// None once it is complete, so that its scratch memory serves the next one.
    private var exchange: (any Exchange)?

    init(name: String, exchange: any Exchange, exclusiveTag: Int?) {
        (self.name, self.exchange, self.exclusiveTag) = (name, exchange, exclusiveTag)
    }

    var isComplete: Bool { exchange == nil }
    var isHeartbeats: Bool { exchange is Heartbeats }

    /// Moves the exchange on; whether anything changed.
    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
        guard let exchange else { return false }
        let progressed = try exchange.advance(transport)
        if exchange.isComplete { self.exchange = nil }
        return progressed
    }

    /// Which peers have not answered, and what is missing from them.
    ///
    /// - Parameter hosts: host names by rank in the world.
    ///
    /// Receives tell who is silent; a stuck send may only mean that its receiver waits for another.
    func silence(_ deadline: Duration, hosts: [String]) -> CommunicationError {
        let underWay = exchange?.lanes.filter(\.isUnderWay) ?? []
        let receives = underWay.filter { $0.direction == .receive }
        let lanes = receives.isEmpty ? underWay : receives
        let bytes = lanes.reduce(0) { $0 + $1.outstandingBytes }
        let direction = receives.isEmpty ? "to" : "from"
        return .silence(
            name, deadline, "\(bytes) bytes outstanding \(direction)",
            describe(ranks: Set(lanes.map(\.peer)).sorted(), hosts: hosts))
    }
}

extension CommunicationError {
    /// A wait that came to its deadline; `ranks` as `describe(ranks:hosts:)` has them.
    static func silence(
        _ name: String, _ deadline: Duration, _ missing: String, _ ranks: String
    ) -> CommunicationError {
        CommunicationError(
            .deadline,
            "\(name): expected progress within \(deadline), found \(missing) rank \(ranks); that "
                + "process is stopped, stuck or cut off, or in another operation")
    }
}

/// "1 (host a), 3 (host b)".
func describe(ranks: [Int], hosts: [String]) -> String {
    ranks.map { "\($0) (host \(hosts[$0]))" }.joined(separator: ", ")
}
