// Where the elements of a tensor are, seen in logical order: the bridge between memory order, in which
// ranks hold pieces, and files.

import Layers

/// Elements that are consecutive in logical order and in one piece of one rank.
struct Fragment: Equatable {
    let owner: Int
    /// Which of the owner's pieces of the tensor, and from which of its elements on.
    let piece: Int
    var offset: Int
    var logicalOffset: Int
    var count: Int
}

/// A piece of a tensor, in memory order, and the rank that holds it.
struct PieceLocation {
    let owner: Int
    let piece: Int
    let range: Range<Int>
}

/// Fragments whose elements are written, read or sent together.
struct FragmentWindow {
    /// From the first element of the first to behind the last of the last, in logical order.
    var range: Range<Int>
    var fragments: [Fragment]
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
                        owner: piece.owner, piece: piece.piece, offset: lower - range.lowerBound,
                        logicalOffset: run.logicalOffset + lower - run.memoryOffset,
                        count: upper - lower))
            }
            next += 1
        }
    }
    return joined(fragments.sorted { $0.logicalOffset < $1.logicalOffset })
}

/// Cuts fragments into windows of at most `span` elements; unwanted elements between two fragments of a
/// window are at most `gap`.
func windows(_ fragments: [Fragment], span: Int, gap: Int = 0) -> [FragmentWindow] {
    precondition(span > 0, "windows: expected a span of at least one element, got \(span)")
    var windows: [FragmentWindow] = []
    for var rest in fragments {
        while rest.count > 0 {
            let start = rest.logicalOffset
            let continues =
                windows.last.map {
                    start - $0.range.upperBound <= gap && start < $0.range.lowerBound + span
                } ?? false
            if !continues { windows.append(FragmentWindow(range: start..<start, fragments: [])) }
            let last = windows.count - 1
            var taken = rest
            taken.count = min(rest.count, windows[last].range.lowerBound + span - start)
            windows[last].fragments.append(taken)
            windows[last].range = windows[last].range.lowerBound..<start + taken.count
            rest.offset += taken.count
            rest.logicalOffset += taken.count
            rest.count -= taken.count
        }
    }
    return windows
}

private func joined(_ fragments: [Fragment]) -> [Fragment] {
    var joined: [Fragment] = []
    for fragment in fragments {
        if let last = joined.last, last.owner == fragment.owner, last.piece == fragment.piece,
            last.offset + last.count == fragment.offset,
            last.logicalOffset + last.count == fragment.logicalOffset
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
