// Element-wise reductions over ranks, in the one canonical order.

import Kernels
import Tensors

/// How two elements become one.
enum Reduction {
    case sum
    /// Not a number where any operand is.
    case maximum

    /// Reduces `parts`, one a rank in rank order, element by element into `result`, which may be one
    /// of them. Every part may be overwritten.
    ///
    /// The tree over n parts: two halves while n is even, from the first to the last otherwise. The sum
    /// of four is (0+1)+(2+3), of three (0+1)+2, of six ((0+1)+2)+((3+4)+5).
    func reduce(_ parts: [Buffer], into result: Buffer) {
        let pointers = parts.map(\.floats)
        let target = result.floats
        for start in stride(from: 0, to: result.count, by: Reduction.block) {
            let tree = ReductionTree(
                parts: pointers, start: start, count: min(Reduction.block, result.count - start),
                reduction: self)
            tree.reduce(0..<pointers.count, into: target + start)
        }
    }

    /// As `reduce`, of parts that were rounded to Float16 on their way. `result` holds this rank's own
    /// part as Float32, which is rounded like the others' (nil in `parts`): a sum does not depend on who makes
    /// it. It is added as Float32 and not rounded again.
    func reduce(rounded parts: [Buffer?], into result: Buffer) {
        let scratch = Buffer(count: parts.count * Reduction.block)
        let halves = Buffer(count: Reduction.block, dtype: .float16)
        let pointers = parts.indices.map { scratch.floats + $0 * Reduction.block }
        for start in stride(from: 0, to: result.count, by: Reduction.block) {
            let count = min(Reduction.block, result.count - start)
            for (part, pointer) in zip(parts, pointers) {
                if let part {
                    convert(from: part.elements + start, to: Elements(pointer), count: count)
                } else {
                    convert(from: result.elements + start, to: halves.elements, count: count)
                    convert(from: halves.elements, to: Elements(pointer), count: count)
                }
            }
            let tree = ReductionTree(parts: pointers, start: 0, count: count, reduction: self)
            tree.reduce(0..<pointers.count, into: result.floats + start)
        }
    }

    /// c = a and b; `c` may be either. `copy`, which may not, gets the same.
    func combine(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into c: UnsafeMutablePointer<Float>,
        copy: UnsafeMutablePointer<Float>? = nil, count: Int
    ) {
        switch (self, copy) {
        case (.sum, nil): add(a, b, into: c, count: count)
        case (.sum, let copy?): add(a, b, into: c, and: copy, count: count)
        case (.maximum, let copy):
            largest(a, b, into: c, count: count)
            copy?.update(from: c, count: count)
        }
    }

    /// Elements handled at a time: a block of each part stays in the first-level cache.
    private static let block = 1024
}

/// The reduction of `count` elements of each part, from `start` on.
private struct ReductionTree {
    let parts: [UnsafeMutablePointer<Float>]
    let start: Int
    let count: Int
    let reduction: Reduction

    func reduce(_ ranks: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        let first = parts[ranks.lowerBound] + start
        if ranks.count == 1 {
            if first != target { target.update(from: first, count: count) }
        } else if ranks.count.isMultiple(of: 2) {
            let middle = ranks.lowerBound + ranks.count / 2
            let left = partial(ranks.lowerBound..<middle)
            combine(left, partial(middle..<ranks.upperBound), into: target)
        } else {
            for rank in ranks.dropFirst().dropLast() {
                combine(first, parts[rank] + start, into: first)
            }
            combine(first, parts[ranks.upperBound - 1] + start, into: target)
        }
    }

    /// The reduction of `ranks`, left in the memory of the first of them.
    private func partial(_ ranks: Range<Int>) -> UnsafeMutablePointer<Float> {
        let target = parts[ranks.lowerBound] + start
        reduce(ranks, into: target)
        return target
    }

    private func combine(
        _ a: UnsafeMutablePointer<Float>, _ b: UnsafeMutablePointer<Float>,
        into c: UnsafeMutablePointer<Float>
    ) {
        reduction.combine(a, b, into: c, count: count)
    }
}

private func largest(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into c: UnsafeMutablePointer<Float>,
    count: Int
) {
    for i in 0..<count { c[i] = a[i] > b[i] || a[i].isNaN ? a[i] : b[i] }
}
