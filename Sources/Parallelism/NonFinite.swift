// The search for what made a step impossible. It costs a pass over memory, so it is made in a step that
// may be a run's last one alone.

import Kernels
import Layers
import Tensors

extension Buffer {
    /// The first element that is not finite, and its value.
    package var firstNonFinite: (index: Int, value: Float)? {
        kernels.firstNonFinite(elements, count: count).map { ($0, elements.float(at: $0)) }
    }
}

/// An element of a parameter, or of its gradient, that is not finite.
package struct NonFiniteElement: Sendable {
    /// By number, in the model's order.
    package let parameter: Int
    /// In the logical order of the parameter's elements, in which checkpoints have them.
    package let element: Int
    package let value: Float

    package init(parameter: Int, element: Int, value: Float) {
        (self.parameter, self.element, self.value) = (parameter, element, value)
    }
}

extension FlatLayout {
    /// The first such element of a bucket of `gradient`, in the order of the backward pass: the last
    /// parameter first.
    func firstNonFinite(in bucket: Bucket, of gradient: Buffer) -> NonFiniteElement? {
        for index in bucket.entries.reversed() where entries[index].parameter.leaf.isTrainable {
            let range = entries[index].range
            let part = range.clamped(to: bucket.range)
            guard let found = gradient[part].firstNonFinite else { continue }
            let parameter = entries[index].parameter
            return NonFiniteElement(
                parameter: entries[index].number,
                element: parameter.logicalIndex(
                    of: part.lowerBound - range.lowerBound + found.index),
                value: found.value)
        }
        return nil
    }
}

extension Parameter {
    /// From an element's place in the memory that is here to its place in logical order.
    package func logicalIndex(of index: Int) -> Int {
        spec.logicalIndex(of: heldRange.lowerBound + index)
    }
}

extension ShardSpec {
    /// From an element's place in the whole tensor's memory to its place in logical order.
    fileprivate func logicalIndex(of memoryIndex: Int) -> Int {
        let run = runs.last { $0.memoryOffset <= memoryIndex }
        return run.map { $0.logicalOffset + memoryIndex - $0.memoryOffset } ?? memoryIndex
    }
}

extension StateTensor {
    /// An element that is not finite, of what is here: its place in logical order, and its value.
    package var nonFinite: (element: Int, value: Float)? {
        for piece in pieces {
            guard let found = piece.buffer.firstNonFinite else { continue }
            return (spec.logicalIndex(of: piece.range.lowerBound + found.index), found.value)
        }
        return nil
    }
}
