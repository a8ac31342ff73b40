// Element-wise reductions over ranks, in the one canonical order.

import Kernels
import Tensors

/// How two elements become one.
enum Reduction {
    case sum
    /// Not a number where any operand is.
    case maximum

    /// Reduces `parts` in this order, which has one root, element by element into `result`, which may be
    /// one of them. Every part may be overwritten.
    func reduce(_ parts: [Buffer], in order: ReductionOrder, into result: Buffer) {
        let pointers = parts.map(\.floats)
        for start in stride(from: 0, to: result.count, by: Reduction.block) {
            reduce(
                pointers, from: start, count: min(Reduction.block, result.count - start), in: order,
                into: result.floats + start)
        }
    }

    /// As `reduce`, of parts that were rounded to Float16 on their way. `result` holds this rank's own
    /// part as Float32, which is rounded like the others' (nil in `parts`): a sum does not depend on who makes
    /// it. It is added as Float32 and not rounded again.
    func reduce(rounded parts: [Buffer?], in order: ReductionOrder, into result: Buffer) {
        let scratch = Buffer(count: parts.count * Reduction.block)
        let halves = Buffer(count: Reduction.block, dtype: .float16)
        let pointers = parts.indices.map { scratch.floats + $0 * Reduction.block }
        for start in stride(from: 0, to: result.count, by: Reduction.block) {
            let count = min(Reduction.block, result.count - start)
            for (part, pointer) in zip(parts, pointers) {
                if let part {
                    kernels.convert(
                        from: part.elements + start, to: Elements(pointer), count: count)
                } else {
                    kernels.convert(
                        from: result.elements + start, to: halves.elements, count: count)
                    kernels.convert(from: halves.elements, to: Elements(pointer), count: count)
                }
            }
            reduce(pointers, from: 0, count: count, in: order, into: result.floats + start)
        }
    }

    /// Of `count` elements of each part, from `start` on.
    private func reduce(
        _ parts: [UnsafeMutablePointer<Float>], from start: Int, count: Int,
        in order: ReductionOrder, into target: UnsafeMutablePointer<Float>
    ) {
        guard let last = order.steps.last else {
            let only = parts[0] + start
            if only != target { target.update(from: only, count: count) }
            return
        }
        for step in order.steps.dropLast() {
            let left = parts[step.left] + start
            combine(left, parts[step.right] + start, into: left, count: count)
        }
        combine(
            parts[last.left] + start, parts[last.right] + start, into: target, count: count)
    }

    /// c = a and b; `c` may be either. `copy`, which may not, gets the same.
    func combine(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into c: UnsafeMutablePointer<Float>,
        copy: UnsafeMutablePointer<Float>? = nil, count: Int
    ) {
        switch (self, copy) {
        case (.sum, nil): kernels.add(a, b, into: c, count: count)
        case (.sum, let copy?): kernels.add(a, b, into: c, and: copy, count: count)
        case (.maximum, let copy):
            largest(a, b, into: c, count: count)
            copy?.update(from: c, count: count)
        }
    }

    /// Elements handled at a time: a block of each part stays in the first-level cache.
    private static let block = 1024
}

private func largest(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into c: UnsafeMutablePointer<Float>,
    count: Int
) {
    for i in 0..<count { c[i] = a[i] > b[i] || a[i].isNaN ? a[i] : b[i] }
}
