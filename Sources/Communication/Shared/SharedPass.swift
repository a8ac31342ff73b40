import Glibc
import Kernels
import Tensors

/// One pass of a collective through the memory of a host, chunk by chunk: a member gives a chunk, and takes
/// from the others' when all have given theirs.
protocol SharedPass: AnyObject {
    /// At least 1: every pass brings the members together.
    var chunkCount: Int { get }
    /// Whether members combine their parts of a chunk in their slots before anybody takes it.
    var combines: Bool { get }

    func give(_ chunk: Int, in slots: SharedSlots)
    func combine(_ chunk: Int, in slots: SharedSlots, _ fold: SharedFold)
    func take(_ chunk: Int, in slots: SharedSlots, _ fold: SharedFold)
}

extension SharedPass {
    var combines: Bool { false }
    func combine(_ chunk: Int, in slots: SharedSlots, _ fold: SharedFold) {}
}

/// The slots of a chunk: one of each member of the host.
struct SharedSlots {
    let memory: SharedMemory
    /// The chunk's number in the group.
    let chunk: Int

    var place: Int { memory.place }
    var count: Int { memory.blocks.count }
    var own: UnsafeMutableRawPointer { self[place] }

    subscript(place: Int) -> UnsafeMutableRawPointer { memory.slot(place, chunk: chunk) }

    func floats(_ place: Int, from offset: Int = 0) -> UnsafeMutablePointer<Float> {
        self[place].assumingMemoryBound(to: Float.self) + offset
    }

    /// What each member gave from `offset` on; this one's own is read where it is.
    func parts(own: UnsafePointer<Float>, offset: Int) -> [UnsafePointer<Float>] {
        (0..<count).map { $0 == place ? own : UnsafePointer(floats($0, from: offset)) }
    }
}

/// Brings the members together, and nothing else.
final class SharedBarrier: SharedPass {
    let chunkCount = 1
    func give(_ chunk: Int, in slots: SharedSlots) {}
    func take(_ chunk: Int, in slots: SharedSlots, _ fold: SharedFold) {}
}

/// A Float32 buffer that goes through the slots in chunks.
struct ChunkedBuffer {
    /// At least 1.
    let count: Int
    private let buffer: Buffer
    private let floats: UnsafeMutablePointer<Float>
    private let length: Int

    init(_ buffer: Buffer, chunkBytes: Int) {
        (self.buffer, floats, length) = (buffer, buffer.floats, chunkBytes / 4)
        count = max(1, (buffer.count + length - 1) / length)
    }

    subscript(index: Int) -> (start: UnsafeMutablePointer<Float>, count: Int) {
        let range = chunkRange(index, of: buffer.count, length)
        return (floats + range.lowerBound, range.count)
    }
}

/// All-reduce in which every member reduces everything.
final class WholeReduction: SharedPass {
    private let chunks: ChunkedBuffer
    private let reduction: Reduction

    init(_ chunks: ChunkedBuffer, by reduction: Reduction) {
        (self.chunks, self.reduction) = (chunks, reduction)
    }

    var chunkCount: Int { chunks.count }

    func give(_ index: Int, in slots: SharedSlots) {
        let (own, count) = chunks[index]
        memcpy(slots.own, own, 4 * count)
    }

    func take(_ index: Int, in slots: SharedSlots, _ fold: SharedFold) {
        let (own, count) = chunks[index]
        fold.reduce(
            slots.parts(own: UnsafePointer(own), offset: 0), by: reduction, into: [own],
            0..<count)
    }
}

/// All-reduce in which every member reduces its piece of each chunk and the others copy it.
final class PiecewiseReduction: SharedPass {
    let combines = true
    private let chunks: ChunkedBuffer
    private let reduction: Reduction

    init(_ chunks: ChunkedBuffer, by reduction: Reduction) {
        (self.chunks, self.reduction) = (chunks, reduction)
    }

    var chunkCount: Int { chunks.count }

    /// Elements of a member's piece of a chunk, counted from the chunk's first.
    private func piece(_ place: Int, of count: Int, size: Int) -> Range<Int> {
        place * count / size..<(place + 1) * count / size
    }

    /// All but the own piece, whose place is left for the result.
    func give(_ index: Int, in slots: SharedSlots) {
        let (source, count) = chunks[index]
        let own = piece(slots.place, of: count, size: slots.count)
        let slot = slots.floats(slots.place)
        memcpy(slot, source, 4 * own.lowerBound)
        memcpy(slot + own.upperBound, source + own.upperBound, 4 * (count - own.upperBound))
    }

    func combine(_ index: Int, in slots: SharedSlots, _ fold: SharedFold) {
        let (start, count) = chunks[index]
        let piece = piece(slots.place, of: count, size: slots.count)
        let own = start + piece.lowerBound
        let parts = slots.parts(own: UnsafePointer(own), offset: piece.lowerBound)
        let result = slots.floats(slots.place, from: piece.lowerBound)
        fold.reduce(parts, by: reduction, into: [own], copy: result, 0..<piece.count)
    }

    func take(_ index: Int, in slots: SharedSlots, _ fold: SharedFold) {
        let (target, count) = chunks[index]
        for place in 0..<slots.count where place != slots.place {
            let piece = piece(place, of: count, size: slots.count)
            memcpy(
                target + piece.lowerBound, slots.floats(place, from: piece.lowerBound),
                4 * piece.count)
        }
    }
}

/// Where a reduce-scatter on a host puts what it makes of this member's piece.
struct ReductionTarget {
    /// This member's piece of the buffer.
    let piece: Buffer
    /// The host's results for the piece, which is one of them: more than one where the host does not have the
    /// whole of the tree.
    let results: [Buffer]

    init(_ buffer: Buffer, counts: [Int], in memory: SharedMemory) {
        let piece = pieces(of: buffer, counts: counts)[memory.place]
        let roots = memory.orderWithinHost.roots
        let own = roots.lastIndex { $0 <= memory.place }
        results = roots.indices.map { $0 == own ? piece : Buffer(count: piece.count) }
        self.piece = piece
    }
}

/// Reduce-scatter: a chunk is a part of each of the others' pieces, one after the other.
final class ScatteredSharedReduction: SharedPass {
    let chunkCount: Int
    private let target: ReductionTarget
    private let pieces: [UnsafeMutablePointer<Float>]
    private let counts: [Int]
    private let reduction: Reduction
    private let chunk: Int
    private let buffer: Buffer

    init(
        _ buffer: Buffer, into target: ReductionTarget, counts: [Int], by reduction: Reduction,
        in memory: SharedMemory
    ) {
        (self.buffer, self.counts, self.reduction) = (buffer, counts, reduction)
        self.target = target
        pieces = starts(of: counts).map { buffer.floats + $0 }
        let chunk = memory.chunkBytes / 4 / max(1, counts.count - 1)
        self.chunk = chunk
        chunkCount = max(1, ((counts.max() ?? 0) + chunk - 1) / chunk)
    }

    func give(_ index: Int, in slots: SharedSlots) {
        for place in 0..<slots.count where place != slots.place {
            let range = chunkRange(index, of: counts[place], chunk)
            memcpy(
                slots.floats(slots.place, from: offset(of: place, in: slots.place)),
                pieces[place] + range.lowerBound, 4 * range.count)
        }
    }

    func take(_ index: Int, in slots: SharedSlots, _ fold: SharedFold) {
        let place = slots.place
        let range = chunkRange(index, of: counts[place], chunk)
        let own = pieces[place] + range.lowerBound
        let parts = (0..<slots.count).map { other in
            other == place
                ? UnsafePointer(own)
                : UnsafePointer(slots.floats(other, from: offset(of: place, in: other)))
        }
        let targets = target.results.map { $0.floats + range.lowerBound }
        fold.reduce(parts, by: reduction, into: targets, 0..<range.count)
    }

    /// Where in the slot of `giver` the part of `owner`'s piece lies.
    private func offset(of owner: Int, in giver: Int) -> Int {
        (owner < giver ? owner : owner - 1) * chunk
    }
}

/// Reduce-scatter of memory that all members see: each adds up its piece of everybody's where they lie.
final class ReductionInPlace: SharedPass {
    let chunkCount = 1
    let combines = true
    let results: [Buffer]
    private let parts: [UnsafePointer<Float>]
    private let reduction: Reduction
    private let buffer: Buffer

    /// - Parameters:
    ///   - target: where the results of this member's piece go.
    ///   - parts: by place, where a member has that piece.
    init(_ target: ReductionTarget, parts: [UnsafePointer<Float>], by reduction: Reduction) {
        (results, buffer) = (target.results, target.piece)
        (self.parts, self.reduction) = (parts, reduction)
    }

    func give(_ chunk: Int, in slots: SharedSlots) {}

    /// On all threads: the piece may be long.
    func combine(_ chunk: Int, in slots: SharedSlots, _ fold: SharedFold) {
        let targets = results.map(\.floats)
        parallelRuns(of: buffer.count, label: "reduce-scatter") { run in
            fold.reduce(parts, by: reduction, into: targets, run)
        }
    }

    /// Nobody reads this member's memory any more.
    func take(_ chunk: Int, in slots: SharedSlots, _ fold: SharedFold) {}
}

/// All-gather: a chunk is a part of the own piece.
final class SharedGathering: SharedPass {
    let chunkCount: Int
    private let pieces: [UnsafeMutableRawPointer]
    private let byteCounts: [Int]
    private let chunkBytes: Int
    private let buffer: Buffer

    init(_ buffer: Buffer, counts: [Int], chunkBytes: Int) {
        (self.buffer, self.chunkBytes) = (buffer, chunkBytes)
        byteCounts = counts.map { $0 * buffer.dtype.size }
        pieces = starts(of: byteCounts).map { buffer.bytes + $0 }
        chunkCount = max(1, ((byteCounts.max() ?? 0) + chunkBytes - 1) / chunkBytes)
    }

    func give(_ index: Int, in slots: SharedSlots) {
        let range = chunkRange(index, of: byteCounts[slots.place], chunkBytes)
        memcpy(slots.own, pieces[slots.place] + range.lowerBound, range.count)
    }

    func take(_ index: Int, in slots: SharedSlots, _ fold: SharedFold) {
        for place in 0..<slots.count where place != slots.place {
            let range = chunkRange(index, of: byteCounts[place], chunkBytes)
            memcpy(pieces[place] + range.lowerBound, slots[place], range.count)
        }
    }
}

/// Elements of chunk `index` of a piece; none where it has ended before.
private func chunkRange(_ index: Int, of count: Int, _ chunk: Int) -> Range<Int> {
    min(index * chunk, count)..<min((index + 1) * chunk, count)
}

/// Where pieces of these sizes begin.
private func starts(of counts: [Int]) -> [Int] {
    var start = 0
    return counts.map { count in
        defer { start += count }
        return start
    }
}
