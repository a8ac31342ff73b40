import Tensors

/// Normalisation by the root mean square over the last axis, with a gain (Zhang and Sennrich 2019).
public struct RMSNorm: Layer {
    /// [width], replicated.
    public let gain: Parameter
    public let epsilon: Float
    private let numerics: Numerics

    public init(_ name: String, width: Int, epsilon: Float = 1e-6, numerics: Numerics) {
        gain = Parameter("\(name).weight", ShardSpec(replicated: [width]), initializer: .ones)
        (self.epsilon, self.numerics) = (epsilon, numerics)
    }

    public var parameters: [Parameter] { [gain] }

    public func callAsFunction(_ x: Tensor, _ pass: Pass) -> Tensor {
        rmsNorm(
            x, gain: gain.leaf, epsilon: epsilon, tokens: pass.tokens(numerics), tape: pass.tape)
    }
}
