import Kernels
import Tensors

/// The gated feed-forward network: residual + dropout(W₂·(f(W_g·x) ⊙ W_u·x)) (Shazeer 2020, section 2),
/// with biases where a family has them. Columns of W_g and W_u and rows of W₂ may lie on several ranks.
public struct GatedFeedForward: Layer {
    /// [gate | up] of all inner features, slice-major in memory.
    public let projection: Linear
    public let down: Linear
    public let activation: Activation
    private let dropout: Dropout

    /// - Parameters:
    ///   - names: of the two weights, after the layer's own name.
    ///   - residualDeviation: of the second weight, which writes to the residual stream.
    public init(
        _ name: String, names: (projection: String, down: String) = ("gate_up_proj", "down_proj"),
        width: Int, inner: Int, activation: Activation, biases: Bool = false, dropout: Float = 0,
        deviation: Float, residualDeviation: Float, numerics: Numerics
    ) {
        let features = ShardSpec.Segment(units: inner)
        projection = Linear(
            "\(name).\(names.projection)", inputs: width, outputs: 2 * inner,
            split: .outputs([features, features]), bias: biases, deviation: deviation,
            numerics: numerics)
        down = Linear(
            "\(name).\(names.down)", inputs: inner, outputs: width, split: .inputs([features]),
            bias: biases, deviation: residualDeviation, numerics: numerics)
        self.activation = activation
        self.dropout = Dropout("\(name).dropout", rate: dropout)
    }

    public var parameters: [Parameter] { projection.parameters + down.parameters }

    /// x, residual [sequences, tokens, width] → the same shape.
    public func callAsFunction(_ x: Tensor, residual: Tensor, _ pass: Pass) -> Tensor {
        let fused = projection(x, pass)  // [B, T, g₀u₀ g₁u₁ …]
        let weight = projection.weight
        let columns = weight.spec.segmentRanges(ofSlices: weight.slices.sum.localSlices)
            .map { GatedColumns(gate: $0[0], up: $0[1]) }
        let inner = gatedActivation(
            fused, columns: columns, activation: activation, tape: pass.tape)
        return down(inner, pass, dropout: dropout, residual: residual)
    }
}
