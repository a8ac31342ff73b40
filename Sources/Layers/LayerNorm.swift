import Tensors

/// Layer normalisation over the last axis, with gain and bias (Ba et al. 2016).
public struct LayerNorm: Layer {
    /// [width], replicated.
    public let gain: Parameter
    public let bias: Parameter
    public let epsilon: Float
    private let numerics: Numerics

    public init(_ name: String, width: Int, epsilon: Float = 1e-5, numerics: Numerics) {
        gain = Parameter("\(name).weight", ShardSpec(replicated: [width]), initializer: .ones)
        bias = Parameter("\(name).bias", ShardSpec(replicated: [width]), initializer: .zeros)
        (self.epsilon, self.numerics) = (epsilon, numerics)
    }

    public var parameters: [Parameter] { [gain, bias] }

    public func callAsFunction(_ x: Tensor, _ pass: Pass) -> Tensor {
        layerNorm(
            x, gain: gain.leaf, bias: bias.leaf, epsilon: epsilon, tokens: pass.tokens(numerics),
            tape: pass.tape)
    }
}
