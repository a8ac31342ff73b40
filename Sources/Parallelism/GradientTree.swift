// The sum over micro-batches, as far as one rank makes it. Micro-batches form groups; within a group
// gradients are added in order into one buffer; groups are added as a perfect binary tree. A rank holds
// a subtree of it, and the exchange between ranks is the tree's upper part.

import Kernels
import Tensors

/// Flat gradient buffers, one a level of the tree that is still open: at most log₂(groups) + 1.
package final class GradientTree {
    private let count: Int
    /// Open subtrees from the oldest and highest to the newest.
    private var open: [(buffer: Buffer, level: Int)] = []
    private var spare: [Buffer] = []

    package init(count: Int) { self.count = count }

    /// Of all buffers: none goes back.
    package var byteCount: Int {
        (open.map(\.buffer) + spare).reduce(0) { $0 + $1.byteCount }
    }

    /// Whether a group has begun.
    package var isOpen: Bool { !open.isEmpty }

    /// The buffer of the newest group.
    package var current: Buffer { open[open.count - 1].buffer }

    /// A new step: nothing is open.
    package func reset() {
        spare += open.map(\.buffer)
        open.removeAll()
    }

    /// Opens a group; the ones before it are folded as far as the tree allows.
    package func beginGroup() {
        while open.count >= 2 && open[open.count - 1].level == open[open.count - 2].level {
            let newest = open.removeLast()
            addRange(0..<count, of: newest.buffer, into: open[open.count - 1].buffer)
            open[open.count - 1].level += 1
            spare.append(newest.buffer)
        }
        open.append((spare.popLast() ?? GradientTree.cleared(count), 0))
    }

    /// Adds up all open subtrees over one range, which the last group has completed: the root's range.
    package func fold(_ range: Range<Int>) {
        for index in stride(from: open.count - 1, to: 0, by: -1) {
            addRange(range, of: open[index].buffer, into: open[index - 1].buffer)
        }
    }

    /// Where the sums are, range by range, once they are folded.
    package var root: Buffer { open[0].buffer }

    private static func cleared(_ count: Int) -> Buffer {
        let buffer = Buffer(count: count)
        buffer.clear()  // padding between parameters stays 0
        return buffer
    }

    private func addRange(_ range: Range<Int>, of source: Buffer, into target: Buffer) {
        let from = source.floats + range.lowerBound
        let to = target.floats + range.lowerBound
        parallelRuns(of: range.count) { run in
            kernels.accumulate(from + run.lowerBound, into: to + run.lowerBound, count: run.count)
        }
    }
}
