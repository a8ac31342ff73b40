// The sum over micro-batches, as far as one rank makes it. Micro-batches form groups; within a group
// gradients are added in order into one buffer; groups are added as a perfect binary tree. A rank holds
// a subtree of it, and the exchange between ranks is the tree's upper part.

import Communication
import Kernels
import Tensors

/// Flat gradient buffers, one a level of the tree that is still open: at most log₂(groups) + 1.
package final class GradientTree {
    private let count: Int
    private let makeRoot: () throws(CommunicationError) -> Buffer
    /// Where the first group of a step begins, and the sum of all ends: nil until there is a step.
    private var first: Buffer?
    /// Open subtrees from the oldest and highest to the newest.
    private var open: [(buffer: Buffer, level: Int)] = []
    private var spare: [Buffer] = []

    /// - Parameter makeRoot: gives cleared memory for the first group, and for the sum in the end.
    package init(
        count: Int, makeRoot: @escaping () throws(CommunicationError) -> Buffer
    ) {
        (self.count, self.makeRoot) = (count, makeRoot)
    }

    /// Of all buffers: none goes back.
    package var byteCount: Int {
        ([first].compactMap { $0 } + open.dropFirst().map(\.buffer) + spare)
            .reduce(0) { $0 + $1.byteCount }
    }

    /// Whether a group has begun.
    package var isOpen: Bool { !open.isEmpty }

    /// The buffer of the newest group.
    package var current: Buffer { open[open.count - 1].buffer }

    /// A new step: nothing is open.
    package func reset() throws(CommunicationError) {
        if first == nil { first = try makeRoot() }
        spare += open.dropFirst().map(\.buffer)
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
        // Padding between parameters stays 0.
        open.append((open.isEmpty ? root : spare.popLast() ?? Buffer.cleared(count: count), 0))
    }

    /// Adds up all open subtrees over one range, which the last group has completed, in the root.
    package func fold(_ range: Range<Int>) {
        for index in stride(from: open.count - 1, to: 0, by: -1) {
            addRange(range, of: open[index].buffer, into: open[index - 1].buffer)
        }
    }

    /// Where the sums are, range by range, once they are folded.
    package var root: Buffer {
        guard let first else { preconditionFailure("GradientTree: expected a step, found none") }
        return first
    }

    private func addRange(_ range: Range<Int>, of source: Buffer, into target: Buffer) {
        let from = source.floats + range.lowerBound
        let to = target.floats + range.lowerBound
        parallelRuns(of: range.count) { run in
            kernels.accumulate(from + run.lowerBound, into: to + run.lowerBound, count: run.count)
        }
    }
}
