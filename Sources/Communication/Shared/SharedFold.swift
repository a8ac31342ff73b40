import Kernels

/// Reduces what lies in the slots of a host's members, in the canonical order, and leaves the slots as they
/// are: others read them too.
///
/// There is one result, or several where the host does not have the whole of the tree.
final class SharedFold: Sendable {
    /// The first member of each result.
    private let roots: [Int]
    private let moves: [Move]
    private let size: Int
    /// Elements handled at a time: partial results stay in the first-level cache.
    private static let block = 512

    private struct Move {
        let step: ReductionOrder.Step
        /// The result that the step completes.
        let result: Int?
    }

    init(_ order: ReductionOrder) {
        let roots = order.roots
        moves = order.steps.enumerated().map { index, step in
            let isLast = !order.steps[(index + 1)...].contains { $0.left == step.left }
            return Move(step: step, result: isLast ? roots.firstIndex(of: step.left) : nil)
        }
        (self.roots, size) = (roots, order.partCount)
    }

    /// A target may be one of the parts that are reduced into it; `copy`, which may not, gets the same as the
    /// first.
    func reduce(
        _ parts: [UnsafePointer<Float>], by reduction: Reduction,
        into targets: [UnsafeMutablePointer<Float>], copy: UnsafeMutablePointer<Float>? = nil,
        _ range: Range<Int>
    ) {
        if size == 2 && moves.count == 1 {
            let start = range.lowerBound
            return reduction.combine(
                parts[0] + start, parts[1] + start, into: targets[0] + start,
                copy: copy.map { $0 + start }, count: range.count)
        }
        withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: size) { current in
            withScratch(size * SharedFold.block) { scratch in
                for start in stride(
                    from: range.lowerBound, to: range.upperBound, by: SharedFold.block)
                {
                    for place in 0..<size { current[place] = parts[place] + start }
                    reduce(
                        current, by: reduction, into: targets, copy: copy, from: start,
                        count: min(SharedFold.block, range.upperBound - start), scratch)
                }
            }
        }
    }

    /// - Parameter current: by member: where it is, and then what has been made of it and those after it.
    private func reduce(
        _ current: UnsafeMutableBufferPointer<UnsafePointer<Float>>, by reduction: Reduction,
        into targets: [UnsafeMutablePointer<Float>], copy: UnsafeMutablePointer<Float>?,
        from start: Int, count: Int, _ scratch: UnsafeMutablePointer<Float>
    ) {
        for move in moves {
            let (left, right) = (move.step.left, move.step.right)
            let target =
                move.result.map { targets[$0] + start } ?? scratch + left * SharedFold.block
            reduction.combine(
                current[left], current[right], into: target,
                copy: move.result == 0 ? copy.map { $0 + start } : nil, count: count)
            current[left] = UnsafePointer(target)
        }
        // A member that nothing was combined with is a result by itself.
        for (root, target) in zip(roots, targets) where current[root] != target + start {
            (target + start).update(from: current[root], count: count)
        }
    }
}
