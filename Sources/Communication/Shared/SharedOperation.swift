import Kernels
import Tensors

/// A collective of a group that shares memory: passes through the memory of the host and, where the group
/// has several hosts, messages between them.
final class SharedOperation {
    enum Kind: Int {
        case reduceScatter = 1
        case allGather, allReduce, allReduceMaximum, barrier, broadcast

        var name: StaticString {
            switch self {
            case .reduceScatter: "reduce-scatter"
            case .allGather: "all-gather"
            case .allReduce: "all-reduce"
            case .allReduceMaximum: "all-reduce (maximum)"
            case .barrier: "barrier"
            case .broadcast: "broadcast"
            }
        }

        /// What it is called in a trace when it goes on in a wait.
        var awaitedName: StaticString {
            switch self {
            case .reduceScatter: "reduce-scatter, awaited"
            case .allGather: "all-gather, awaited"
            case .allReduce: "all-reduce, awaited"
            case .allReduceMaximum: "all-reduce, awaited"
            case .barrier: "barrier, awaited"
            case .broadcast: "broadcast, awaited"
            }
        }
    }

    enum Stage {
        case pass(any SharedPass)
        /// Makes the ticket of an exchange between hosts.
        case messages(() -> Ticket)
    }

    let kind: Kind
    let number: Int
    let group: Int
    let byteCount: Int
    /// What it is, in a word that every member must have the same.
    let signature: Int
    /// Stages from the one that is under way on.
    var stages: ArraySlice<Stage>
    /// The exchange that is under way.
    var ticket: Ticket?
    private(set) var isDone = false
    private(set) var error: CommunicationError?

    init(
        _ kind: Kind, number: Int, group: Int, byteCount: Int, counts: [Int] = [], stages: [Stage]
    ) {
        (self.kind, self.number, self.group) = (kind, number, group)
        (self.byteCount, self.stages) = (byteCount, stages[...])
        signature = Signature(kind: kind, byteCount: byteCount, counts: counts).word
    }

    func finish(_ error: CommunicationError? = nil) {
        (isDone, self.error) = (true, error)
        stages = []
    }

    /// What it is called in messages: "all-reduce 17 of group 0, 4096 bytes".
    var name: String {
        "\(kind.name) \(number) of group \(group)"
            + (kind == .barrier ? "" : ", \(byteCount) bytes")
    }
}

/// An operation in one word: kind, a digest of the pieces' sizes, bytes.
struct Signature: CustomStringConvertible {
    let word: Int

    init(word: Int) { self.word = word }

    init(kind: SharedOperation.Kind, byteCount: Int, counts: [Int]) {
        var digest: UInt32 = 0x811C_9DC5
        for count in counts {
            digest = (digest ^ UInt32(truncatingIfNeeded: count)) &* 0x0100_0193
        }
        let pieces = Int((digest >> 16 ^ digest) & 0xFFFF)
        word = kind.rawValue << 56 | pieces << 40 | byteCount & 0xFF_FFFF_FFFF
    }

    var description: String {
        let kind = SharedOperation.Kind(rawValue: word >> 56)
        return "\(kind.map { "\($0.name)" } ?? "something else") of \(word & 0xFF_FFFF_FFFF) bytes"
    }
}
