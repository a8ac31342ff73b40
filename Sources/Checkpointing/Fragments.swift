// Where the elements of a tensor are, seen in logical order: the bridge between memory order, in which
// ranks and files hold pieces, and other memory orders.

import Layers

/// Elements that are consecutive in logical order and in one piece.
struct Fragment: Equatable {
    /// Which piece of the tensor, and from which of its elements on.
    let piece: Int
    let offset: Int
    let logicalOffset: Int
    var count: Int

    var logicalEnd: Int { logicalOffset + count }
}

/// A piece of a tensor, in memory order, by its number.
struct PieceLocation {
    let piece: Int
    let range: Range<Int>

    static func numbered(_ ranges: [Range<Int>]) -> [PieceLocation] {
        ranges.enumerated().map { PieceLocation(piece: $0.offset, range: $0.element) }
    }
}

/// Elements that are consecutive in a piece of the source and in one of the target.
struct Transfer: Equatable {
    let source: Int
    let sourceOffset: Int
    let target: Int
    let targetOffset: Int
    let count: Int

    var sourceEnd: Int { sourceOffset + count }
}

/// The fragments of `pieces`, in logical order.
func fragments(of pieces: [PieceLocation], spec: ShardSpec) -> [Fragment] {
    let runs = spec.runs
    var fragments: [Fragment] = []
    var index = 0
    for piece in pieces.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
        let range = piece.range
        while index < runs.count, runs[index].memoryEnd <= range.lowerBound { index += 1 }
        var next = index
        while next < runs.count, runs[next].memoryOffset < range.upperBound {
            let run = runs[next]
            let lower = max(run.memoryOffset, range.lowerBound)
            let upper = min(run.memoryEnd, range.upperBound)
            if lower < upper {
                fragments.append(
                    Fragment(
                        piece: piece.piece, offset: lower - range.lowerBound,
                        logicalOffset: run.logicalOffset + lower - run.memoryOffset,
                        count: upper - lower))
            }
            next += 1
        }
    }
    return joined(fragments.sorted { $0.logicalOffset < $1.logicalOffset })
}

/// How the pieces `target` of a tensor are filled from those of `source`, in ascending order of the source; nil where
/// these do not cover them. Where both are cut alike, what is contiguous in memory is one transfer.
func transfers(
    from source: [PieceLocation], in sourceOrder: ShardSpec, to target: [PieceLocation],
    in targetOrder: ShardSpec
) -> [Transfer]? {
    let isSame = sourceOrder == targetOrder
    let flat = ShardSpec(replicated: [sourceOrder.shape.count])
    let given = fragments(of: source, spec: isSame ? flat : sourceOrder)
    let wanted = fragments(of: target, spec: isSame ? flat : targetOrder)
    var transfers: [Transfer] = []
    var index = 0
    for part in wanted {
        var done = 0
        while done < part.count {
            let position = part.logicalOffset + done
            while index < given.count, given[index].logicalEnd <= position { index += 1 }
            guard index < given.count, given[index].logicalOffset <= position else { return nil }
            let from = given[index]
            let count = min(part.count - done, from.logicalEnd - position)
            transfers.append(
                Transfer(
                    source: from.piece, sourceOffset: from.offset + position - from.logicalOffset,
                    target: part.piece, targetOffset: part.offset + done, count: count))
            done += count
        }
    }
    return transfers.sorted { ($0.source, $0.sourceOffset) < ($1.source, $1.sourceOffset) }
}

private func joined(_ fragments: [Fragment]) -> [Fragment] {
    var joined: [Fragment] = []
    for fragment in fragments {
        if let last = joined.last, last.piece == fragment.piece,
            last.offset + last.count == fragment.offset,
            last.logicalEnd == fragment.logicalOffset
        {
            joined[joined.count - 1].count += fragment.count
        } else {
            joined.append(fragment)
        }
    }
    return joined
}

extension ShardSpec.Run {
    fileprivate var memoryEnd: Int { memoryOffset + count }
}
