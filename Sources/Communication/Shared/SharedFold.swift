import Kernels

/// Reduces what lies in the slots of a host's members, in the canonical order, and leaves the slots as they
/// are: others read them too.
///
/// There is one result, or several where the host does not have the whole of the tree.
final class SharedFold {
    /// The first member of each result.
    private let roots: [Int]
    private let moves: [Move]
    private let size: Int
    private let scratch: UnsafeMutablePointer<Float>
    /// By member: where it is, or what has been made of it and those after it.
    private let current: UnsafeMutablePointer<UnsafePointer<Float>>
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
        scratch = .allocate(capacity: size * SharedFold.block)
        current = .allocate(capacity: size)
    }

    deinit {
        scratch.deallocate()
        current.deallocate()
    }

    /// A target may be one of the parts that are reduced into it; `copy`, which may not, gets the same as the
    /// first.
    func reduce(
        _ parts: [UnsafePointer<Float>], by reduction: Reduction,
        into targets: [UnsafeMutablePointer<Float>], copy: UnsafeMutablePointer<Float>? = nil,
        count: Int
    ) {
        if size == 2 && moves.count == 1 {
            return reduction.combine(parts[0], parts[1], into: targets[0], copy: copy, count: count)
        }
        for start in stride(from: 0, to: count, by: SharedFold.block) {
            reduce(
                parts, by: reduction, into: targets, copy: copy, from: start,
                count: min(SharedFold.block, count - start))
        }
    }

    private func reduce(
        _ parts: [UnsafePointer<Float>], by reduction: Reduction,
        into targets: [UnsafeMutablePointer<Float>], copy: UnsafeMutablePointer<Float>?,
        from start: Int, count: Int
    ) {
        for place in 0..<size { current[place] = parts[place] + start }
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
