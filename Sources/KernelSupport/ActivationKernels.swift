// What activations there are, and the kernels of them; the formulas stand in `VectorKernels/Activations.swift`,
// `GatedActivation.swift` and `FinishRow.swift`.

/// The activation between the two halves of a feed-forward layer.
public enum Activation: String, Sendable, CaseIterable {
    /// x · σ(2u), u = √(2/π) · (x + 0.044715 · x³): the tanh form, ½x(1 + tanh u), of GPT-2.
    case geluTanh = "gelu_tanh"
    /// x · Φ(x): the exact form.
    case geluErf = "gelu_erf"
    /// x · σ(x), also known as swish.
    case silu
    /// max(x, 0); its derivative at 0 is 0.
    case relu
    /// tanh x, of poolers.
    case tanh
}

/// Activations, alone and with what stands beside them.
package protocol ActivationKernels: Sendable {
    /// y = f(x); `y` may be `x`.
    static func activate(
        _ kind: Activation, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>,
        count: Int
    )

    /// y = f(x) on stored elements of one type; `y` may be `x`.
    static func activate(_ kind: Activation, _ x: Elements, into y: Elements, count: Int)

    /// dx = dy · f′(x), x being the input of `activate`, all of one type; `dx` may be `dy`.
    static func activateBackward(
        _ kind: Activation, _ x: Elements, gradient dy: Elements, into dx: Elements, count: Int
    )

    /// output = residual + dropout(activation(values + bias)), for `count` elements of one row.
    ///
    /// Without dropout it is one pass in registers; with it two, the row being in cache between them.
    /// - Parameters:
    ///   - values: the Float32 sums; may be the memory of the output or of the preactivation where those
    ///     are Float32, and is otherwise overwritten.
    ///   - bias, residual: added, where given.
    ///   - preactivation: receives values + bias, rounded; the activation goes on from what it received.
    ///   - output: of one type with bias, preactivation and residual; none of these is the output's memory.
    ///   - dropout: is called with the row's Float32 elements, which it changes in place.
    static func finishRow(
        values: UnsafeMutablePointer<Float>, count: Int, bias: Elements?,
        activation: Activation?, preactivation: Elements?, residual: Elements?,
        output: Elements, dropout: ((UnsafeMutablePointer<Float>) -> Void)?
    )

    /// y = f(gate) · up, rounded once; operands of one type.
    static func gatedActivate(
        _ kind: Activation, gate: Elements, up: Elements, into y: Elements, count: Int
    )

    /// The gradients of gate and up, given `gradient` = dy; operands of one type. `dgate` may be the memory of
    /// `gate`, and `dup` that of `up`.
    static func gatedActivateBackward(
        _ kind: Activation, gate: Elements, up: Elements, gradient dy: Elements, dgate: Elements,
        dup: Elements, count: Int
    )
}

// The requirements with default arguments, which a requirement cannot have.
extension ActivationKernels {
    package static func finishRow(
        values: UnsafeMutablePointer<Float>, count: Int, bias: Elements? = nil,
        activation: Activation? = nil, preactivation: Elements? = nil, residual: Elements? = nil,
        output: Elements, dropout: ((UnsafeMutablePointer<Float>) -> Void)? = nil
    ) {
        finishRow(
            values: values, count: count, bias: bias, activation: activation,
            preactivation: preactivation, residual: residual, output: output, dropout: dropout)
    }
}
