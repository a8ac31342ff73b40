import Kernels
import Tensors

/// The position-wise feed-forward network: residual + dropout(W₂·f(W₁·x + b₁) + b₂)
/// (Vaswani et al. 2017, section 3.3). Columns of W₁ and rows of W₂ may lie on several ranks.
public struct FeedForward: Layer {
    public let up: Linear
    public let down: Linear
    public let activation: Activation
    private let dropout: Dropout

    /// - Parameter residualDeviation: of the second weight, which writes to the residual stream.
    public init(
        _ name: String, width: Int, inner: Int, activation: Activation, dropout: Float,
        deviation: Float, residualDeviation: Float, numerics: Numerics
    ) {
        let segments = [ShardSpec.Segment(units: inner)]
        up = Linear(
            "\(name).c_fc", inputs: width, outputs: inner, split: .outputs(segments),
            deviation: deviation, numerics: numerics)
        down = Linear(
            "\(name).c_proj", inputs: inner, outputs: width, split: .inputs(segments),
            deviation: residualDeviation, numerics: numerics)
        self.activation = activation
        self.dropout = Dropout("\(name).dropout", rate: dropout)
    }

    public var parameters: [Parameter] { up.parameters + down.parameters }

    public func callAsFunction(_ x: Tensor, residual: Tensor, _ pass: Pass) -> Tensor {
        down(up(x, pass, activation: activation), pass, dropout: dropout, residual: residual)
    }
}
