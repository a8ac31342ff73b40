import Kernels
import Tensors

/// The position-wise feed-forward network: residual + dropout(W₂·f(W₁·x + b₁) + b₂)
/// (Vaswani et al. 2017, section 3.3). Columns of W₁ and rows of W₂ may lie on several ranks.
public struct FeedForward: Layer {
    public let up: Linear
    public let down: Linear
    public let activation: Activation
    private let dropout: Dropout

    /// - Parameters:
    ///   - names: of the two weights, after the layer's own name.
    ///   - residualDeviation: of the second weight, which writes to the residual stream.
    public init(
        _ name: String, names: (up: String, down: String) = ("c_fc", "c_proj"), width: Int,
        inner: Int, activation: Activation, biases: Bool = true, dropout: Float, deviation: Float,
        residualDeviation: Float, numerics: Numerics
    ) {
        let segments = [ShardSpec.Segment(units: inner)]
        up = Linear(
            "\(name).\(names.up)", inputs: width, outputs: inner, split: .outputs(segments),
            bias: biases, deviation: deviation, numerics: numerics)
        down = Linear(
            "\(name).\(names.down)", inputs: inner, outputs: width, split: .inputs(segments),
            bias: biases, deviation: residualDeviation, numerics: numerics)
        self.activation = activation
        self.dropout = Dropout("\(name).dropout", rate: dropout)
    }

    public var parameters: [Parameter] { up.parameters + down.parameters }

    public func callAsFunction(_ x: Tensor, residual: Tensor, _ pass: Pass) -> Tensor {
        down(up(x, pass, activation: activation), pass, dropout: dropout, residual: residual)
    }
}
