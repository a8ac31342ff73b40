// The kernels of recurrent layers; the formulas stand in `VectorKernels/LSTM.swift`.

/// What happens to one row between the products of two time steps. Single-threaded: the caller gives each thread its
/// rows. The four gates of `count` units lie one after the other, input, forget, candidate, output, `count` elements
/// each.
package protocol RecurrentKernels: Sendable {
    /// One step of a long short-term memory: c = f·c′ + i·g, h = o·tanh c.
    ///
    /// - Parameters:
    ///   - recurrent: [4 · count], h′·Wᵀ.
    ///   - gates: [4 · count], the part of the preactivations that comes from the input.
    ///   - bias: [4 · count], of the type of `gates`; nil: none.
    ///   - previous: [count], c′.
    ///   - activations: [4 · count], receives i, f, g and o; nil: nobody wants them.
    ///   - cell: [count], receives c; may be `previous`.
    ///   - hidden: [count], of the type of `gates`, receives h, rounded once.
    static func lstmStep(
        count: Int, recurrent: UnsafePointer<Float>, gates: Elements, bias: Elements?,
        previous: UnsafePointer<Float>, activations: UnsafeMutablePointer<Float>?,
        cell: UnsafeMutablePointer<Float>, hidden: Elements)

    /// The same step backwards.
    ///
    /// - Parameters:
    ///   - activations, cell, previous: as the step made or found them.
    ///   - upstream: [count], the gradient that reaches h from outside.
    ///   - hidden: [count], the gradient that reaches it from the next step, added to the former.
    ///   - cellGradient: [count], dc; receives dc′.
    ///   - gates: [4 · count], of the type of `upstream`, receives the gradients of the preactivations, rounded
    ///     once.
    static func lstmStepBackward(
        count: Int, activations: UnsafePointer<Float>, cell: UnsafePointer<Float>,
        previous: UnsafePointer<Float>, upstream: Elements, hidden: UnsafePointer<Float>,
        cellGradient: UnsafeMutablePointer<Float>, gates: Elements)
}
