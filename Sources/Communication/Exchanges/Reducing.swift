import Kernels
import Tensors

extension ExchangeContext {
    /// Short buffers go to every rank, each of which reduces everything; longer ones are reduced in
    /// pieces, one a rank, and gathered. The order, and so the result, is the same.
    func allReduce(_ buffer: Buffer, by reduction: Reduction) -> any Exchange {
        if buffer.byteCount * (size - 1) <= options.directBytes {
            return DirectReduction(buffer, by: reduction, in: self)
        }
        let pieces = pieces(of: buffer, counts: evenCounts(buffer.count, over: size))
        return Succession(
            ScatteredReduction(pieces, by: reduction, in: self),
            then: secondPhase.allGather(pieces))
    }
}

/// Every rank sends everything to every other one and reduces it all itself.
final class DirectReduction: Exchange {
    let lanes: [Lane]
    private(set) var isComplete = false
    private let parts: [Buffer]
    private let buffer: Buffer
    private let reduction: Reduction

    init(_ buffer: Buffer, by reduction: Reduction, in context: ExchangeContext) {
        let scratch = Buffer(count: buffer.count * context.size)
        let parts = (0..<context.size).map { rank in
            rank == context.rank
                ? buffer : scratch[rank * buffer.count..<(rank + 1) * buffer.count]
        }
        lanes = context.others.flatMap { peer in
            [context.receive(parts[peer], from: peer), context.send(buffer, to: peer)]
        }
        (self.parts, self.buffer, self.reduction) = (parts, buffer, reduction)
    }

    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
        let progressed = try advanceAll(lanes, transport)
        guard lanes.allSatisfy(\.isComplete) else { return progressed }
        reduction.reduce(parts, into: buffer)
        isComplete = true
        return true
    }
}

/// Every rank sends each other one that one's piece and reduces its own, chunk by chunk as soon as a
/// chunk has come from everybody. Where the wire is Float16, chunks are rounded as they leave.
final class ScatteredReduction: Exchange {
    let lanes: [Lane]
    private let receives: [Lane]
    private let own: Buffer
    private let wire: DType
    /// By rank in the group: the ring of chunks that come from it; none for this rank.
    private let rings: [Buffer?]
    private let reduction: Reduction
    private let chunk: Int
    private let chunkCount: Int
    private var reduced = 0

    init(
        _ pieces: [Buffer], by reduction: Reduction, wire: DType = .float32,
        in context: ExchangeContext
    ) {
        let own = pieces[context.rank]
        let chunk = context.options.reductionChunk(size: context.size, wire: wire)
        var rings = [Buffer?](repeating: nil, count: context.size)
        var (receives, sends): ([Lane], [Lane]) = ([], [])
        for peer in context.others {
            let ring = ScatteredReduction.ring(count: own.count, chunk: chunk, wire)
            rings[peer] = ring
            receives.append(
                Lane(
                    receiveThrough: ring, count: own.count, chunk: chunk,
                    peer: context.members[peer], tag: context.tag))
            sends.append(context.send(pieces[peer], as: wire, chunk: chunk, to: peer))
        }
        (lanes, self.receives, self.rings) = (receives + sends, receives, rings)
        (self.own, self.wire, self.reduction) = (own, wire, reduction)
        self.chunk = chunk
        chunkCount = (own.count + chunk - 1) / chunk
    }

    fileprivate static func ring(count: Int, chunk: Int, _ wire: DType) -> Buffer {
        Buffer(count: min(count, chunk) * Lane.window, dtype: wire)
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
        let target = own[reduced * chunk..<min(own.count, (reduced + 1) * chunk)]
        let slot = reduced % Lane.window * chunk
        let parts = rings.map { ring in ring.map { $0[slot..<slot + target.count] } }
        if wire == .float32 {
            reduction.reduce(parts.map { $0 ?? target }, into: target)
        } else {
            reduction.reduce(rounded: parts, into: target)
        }
        reduced += 1
        for lane in receives { lane.allowed = reduced + Lane.window }
    }
}

extension ExchangeContext {
    /// Sends Float32 elements as they are, or rounded chunk by chunk through a ring.
    fileprivate func send(_ piece: Buffer, as wire: DType, chunk: Int, to peer: Int) -> Lane {
        guard wire != .float32 else {
            return Lane(
                .send, piece, peer: members[peer], tag: tag, chunkBytes: chunk * wire.size)
        }
        return Lane(
            sendThrough: ScatteredReduction.ring(count: piece.count, chunk: chunk, wire),
            count: piece.count, chunk: chunk, peer: members[peer], tag: tag
        ) { slot, index in
            convert(from: piece.elements + index, to: slot.elements, count: slot.count)
        }
    }
}
