import Kernels
import Tensors

extension ExchangeContext {
    /// Short buffers go to every rank, each of which reduces everything; longer ones are reduced in
    /// pieces, one a rank, and gathered. The order, and so the result, is the same.
    ///
    /// - Parameters:
    ///   - parts: what this rank brings: as many as `order` says. They may be overwritten.
    ///   - buffer: gets the result, and may be one of the parts.
    func allReduce(
        _ parts: [Buffer], into buffer: Buffer, by reduction: Reduction
    ) -> any Exchange {
        let mostParts = order.partCounts.max() ?? 1
        if buffer.byteCount * mostParts * (size - 1) <= options.directBytes {
            return DirectReduction(parts, into: buffer, by: reduction, in: self)
        }
        let counts = evenCounts(buffer.count, over: size)
        let cut = parts.map { pieces(of: $0, counts: counts) }
        let targets = pieces(of: buffer, counts: counts)
        return Succession(
            ScatteredReduction(
                (0..<size).map { member in cut.map { $0[member] } }, into: targets[rank],
                by: reduction, in: self),
            then: secondPhase.allGather(targets))
    }
}

/// Every rank sends everything to every other one and reduces it all itself.
final class DirectReduction: Exchange {
    let lanes: [Lane]
    private(set) var isComplete = false
    private let parts: [Buffer]
    private let result: Buffer
    private let reduction: Reduction
    private let order: ReductionOrder

    init(
        _ own: [Buffer], into result: Buffer, by reduction: Reduction, in context: ExchangeContext
    ) {
        let (order, count) = (context.order, result.count)
        // A member's parts travel one after the other.
        let scratch = Buffer(count: order.partCount * count)
        var all = pieces(of: scratch, counts: order.partCounts.map { $0 * count })
        if own.count == 1 {
            all[context.rank] = own[0]
        } else {
            let copies = pieces(of: all[context.rank], counts: own.map(\.count))
            for (copy, part) in zip(copies, own) {
                copy.floats.update(from: part.floats, count: count)
            }
        }
        lanes = context.others.flatMap { peer in
            [context.receive(all[peer], from: peer), context.send(all[context.rank], to: peer)]
        }
        parts = zip(all, order.partCounts).flatMap { parts, number in
            (0..<number).map { parts[$0 * count..<($0 + 1) * count] }
        }
        (self.result, self.reduction, self.order) = (result, reduction, order)
    }

    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
        let progressed = try advanceAll(lanes, transport)
        guard lanes.allSatisfy(\.isComplete) else { return progressed }
        reduction.reduce(parts, in: order, into: result)
        isComplete = true
        return true
    }
}

/// Every rank sends each other one that one's piece and reduces its own, chunk by chunk as soon as a
/// chunk has come from everybody. Where the wire is Float16, chunks are rounded as they leave.
///
/// A chunk of a member with several parts has that of each, one after the other.
final class ScatteredReduction: Exchange {
    let lanes: [Lane]
    private let receives: [Lane]
    /// This rank's parts of its own piece, and where their reduction goes.
    private let own: [Buffer]
    private let result: Buffer
    private let wire: DType
    /// By rank in the group: the ring of chunks that come from it; none for this rank.
    private let rings: [Buffer?]
    private let reduction: Reduction
    private let order: ReductionOrder
    /// Elements of each part.
    private let chunk: Int
    private let chunkCount: Int
    private var reduced = 0

    /// - Parameters:
    ///   - parts: for each member's piece, what this rank brings of it. The own ones may be overwritten.
    ///   - result: gets the reduction of the own piece, and may be one of its parts.
    ///   - wire: Float16 only where every member has one part.
    init(
        _ parts: [[Buffer]], into result: Buffer, by reduction: Reduction, wire: DType = .float32,
        in context: ExchangeContext
    ) {
        let order = context.order
        // Several parts of a member go through rings on both sides.
        let rings = order.partCount > context.size ? 2 * order.partCount : context.size
        let chunk = context.options.reductionChunk(size: rings, wire: wire)
        var incoming = [Buffer?](repeating: nil, count: context.size)
        var (receives, sends): ([Lane], [Lane]) = ([], [])
        for peer in context.others {
            let number = order.partCounts[peer]
            let ring = ScatteredReduction.ring(count: result.count, chunk: chunk, number, wire)
            incoming[peer] = ring
            receives.append(
                Lane(
                    receiveThrough: ring, count: result.count * number, chunk: chunk * number,
                    peer: context.members[peer], tag: context.tag))
            sends.append(context.send(parts[peer], as: wire, chunk: chunk, to: peer))
        }
        (lanes, self.receives, self.rings) = (receives + sends, receives, incoming)
        (own, self.result, self.wire) = (parts[context.rank], result, wire)
        (self.reduction, self.order, self.chunk) = (reduction, order, chunk)
        chunkCount = (result.count + chunk - 1) / chunk
    }

    fileprivate static func ring(count: Int, chunk: Int, _ parts: Int, _ wire: DType) -> Buffer {
        Buffer(count: min(count, chunk) * parts * Lane.window, dtype: wire)
    }

    var isComplete: Bool { reduced == chunkCount && lanes.allSatisfy(\.isComplete) }

    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
        let progressed = try advanceAll(lanes, transport)
        guard reduced < chunkCount, receives.allSatisfy({ $0.completed > reduced }) else {
            return progressed
        }
        reduceChunk()
        return true
    }

    private func reduceChunk() {
        let range = reduced * chunk..<min(result.count, (reduced + 1) * chunk)
        let (target, count) = (result[range], range.count)
        if wire == .float32 {
            let parts = rings.indices.flatMap { member -> [Buffer] in
                guard let ring = rings[member] else { return own.map { $0[range] } }
                let number = order.partCounts[member]
                let slot = reduced % Lane.window * chunk * number
                return (0..<number).map { ring[slot + $0 * count..<slot + ($0 + 1) * count] }
            }
            reduction.reduce(parts, in: order, into: target)
        } else {
            let slot = reduced % Lane.window * chunk
            let parts = rings.map { ring in ring.map { $0[slot..<slot + count] } }
            reduction.reduce(rounded: parts, in: order, into: target)
        }
        reduced += 1
        for lane in receives { lane.allowed = reduced + Lane.window }
    }
}

extension ExchangeContext {
    /// Sends one part of Float32 elements as it is; rounded, or several, chunk by chunk through a ring.
    fileprivate func send(_ parts: [Buffer], as wire: DType, chunk: Int, to peer: Int) -> Lane {
        let (piece, number) = (parts[0], parts.count)
        guard wire != .float32 || number > 1 else {
            return Lane(
                .send, piece, peer: members[peer], tag: tag, chunkBytes: chunk * wire.size)
        }
        return Lane(
            sendThrough: ScatteredReduction.ring(count: piece.count, chunk: chunk, number, wire),
            count: piece.count * number, chunk: chunk * number, peer: members[peer], tag: tag
        ) { slot, index in
            let count = slot.count / number
            for (place, part) in parts.enumerated() {
                kernels.convert(
                    from: part.elements + index / number,
                    to: slot.elements + place * count, count: count)
            }
        }
    }
}
