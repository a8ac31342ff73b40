import Kernels

/// Reduces what lies in the slots of several members, in the canonical order, and leaves the slots as they
/// are: others read them too.
final class SharedFold {
    private let scratch: UnsafeMutablePointer<Float>
    /// Elements handled at a time: partial results stay in the first-level cache.
    private static let block = 512

    init(size: Int) {
        scratch = .allocate(capacity: size * SharedFold.block)
    }

    deinit { scratch.deallocate() }

    /// `target` may be one of the parts; `copy`, which may not, gets the same.
    func reduce(
        _ parts: [UnsafePointer<Float>], by reduction: Reduction,
        into target: UnsafeMutablePointer<Float>, copy: UnsafeMutablePointer<Float>? = nil,
        count: Int
    ) {
        if parts.count == 2 {
            return reduction.combine(parts[0], parts[1], into: target, copy: copy, count: count)
        }
        for start in stride(from: 0, to: count, by: SharedFold.block) {
            let pass = Pass(
                parts: parts, reduction: reduction, scratch: scratch, start: start,
                count: min(SharedFold.block, count - start))
            pass.reduce(0..<parts.count, into: target + start, copy: copy.map { $0 + start })
        }
    }

    private struct Pass {
        let parts: [UnsafePointer<Float>]
        let reduction: Reduction
        let scratch: UnsafeMutablePointer<Float>
        let start: Int
        let count: Int

        /// Of two ranks or more.
        func reduce(
            _ ranks: Range<Int>, into target: UnsafeMutablePointer<Float>,
            copy: UnsafeMutablePointer<Float>? = nil
        ) {
            if ranks.count.isMultiple(of: 2) {
                let middle = ranks.lowerBound + ranks.count / 2
                let left = partial(ranks.lowerBound..<middle)
                let right = partial(middle..<ranks.upperBound)
                reduction.combine(left, right, into: target, copy: copy, count: count)
            } else {
                let sum = scratch + ranks.lowerBound * SharedFold.block
                var left = parts[ranks.lowerBound] + start
                for rank in ranks.dropFirst() {
                    let isLast = rank == ranks.upperBound - 1
                    reduction.combine(
                        left, parts[rank] + start, into: isLast ? target : sum,
                        copy: isLast ? copy : nil, count: count)
                    left = UnsafePointer(sum)
                }
            }
        }

        /// The reduction of `ranks`: in scratch memory, or where it is where there is only one.
        private func partial(_ ranks: Range<Int>) -> UnsafePointer<Float> {
            if ranks.count == 1 { return parts[ranks.lowerBound] + start }
            let target = scratch + ranks.lowerBound * SharedFold.block
            reduce(ranks, into: target)
            return UnsafePointer(target)
        }
    }
}
