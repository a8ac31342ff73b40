import Kernels
import Tensors

/// One layer of long short-term memory in one direction (Hochreiter and Schmidhuber 1997; Gers et al. 2000).
///
/// Parameters are named and ordered as in PyTorch, gates input, forget, candidate, output; there are two biases, of
/// which the sum alone matters, so that optimizer steps are the same too. Whole units may lie on several ranks.
public struct LSTM: Layer {
    /// [4·units, inputs], [4·units, units].
    public let inputWeight: Parameter
    public let recurrentWeight: Parameter
    /// [4·units].
    public let inputBias: Parameter
    public let recurrentBias: Parameter
    public let direction: LSTMDirection
    private let numerics: Numerics

    /// - Parameters:
    ///   - suffix: after each parameter's name, such as `_l0` or `_l0_reverse`.
    ///   - deviation: of both weights; PyTorch's uniform distribution has 1/√(3·units).
    public init(
        _ name: String, suffix: String = "", inputs: Int, units: Int,
        direction: LSTMDirection = .forwards, deviation: Float, numerics: Numerics
    ) {
        let gates = [ShardSpec.Segment](repeating: ShardSpec.Segment(units: units), count: 4)
        func parameter(_ kind: String, _ shape: Shape, _ start: Initializer) -> Parameter {
            Parameter(
                "\(name).\(kind)\(suffix)",
                ShardSpec(shape, axis: 0, segments: gates, slices: numerics.slices),
                initializer: start)
        }
        inputWeight = parameter(
            "weight_ih", [4 * units, inputs], .normal(deviation: deviation))
        recurrentWeight = parameter(
            "weight_hh", [4 * units, units], .normal(deviation: deviation))
        inputBias = parameter("bias_ih", [4 * units], .zeros)
        recurrentBias = parameter("bias_hh", [4 * units], .zeros)
        (self.direction, self.numerics) = (direction, numerics)
    }

    public var parameters: [Parameter] { [inputWeight, recurrentWeight, inputBias, recurrentBias] }

    /// x [sequences, tokens, inputs], every token of which is here → h [sequences, tokens, units] and the last state;
    /// `lengths`, `initial` and `truncation` as `lstm` has them.
    public func callAsFunction(
        _ x: Tensor, initial: LSTMState? = nil, lengths: Tensor? = nil, truncation: Int? = nil,
        _ pass: Pass
    ) -> LSTMOutput {
        let tokens = pass.withAllTokens.tokens(numerics)
        let gates = linear(
            x, weight: inputWeight.leaf, split: .outputs(inputWeight.slices),
            epilogue: Epilogue(bias: inputBias.leaf), tokens: tokens, tape: pass.tape)
        return lstm(
            gates, weight: recurrentWeight.leaf, bias: recurrentBias.leaf,
            slices: recurrentWeight.slices, initial: initial, lengths: lengths,
            direction: direction, truncation: truncation, tokens: tokens, tape: pass.tape)
    }
}
