import Kernels
import Tensors

/// An affine map, y = x·Wᵀ + b, with what may follow it in the same pass over memory.
public struct Linear: Layer {
    /// Which axis of the weight tensor parallelism may cut.
    public enum Split {
        /// Column-parallel: the outputs, in these segments.
        case outputs([ShardSpec.Segment])
        /// Row-parallel: the inputs, in these segments.
        case inputs([ShardSpec.Segment])
    }

    /// [outputs, inputs].
    public let weight: Parameter
    /// [outputs]; cut like the outputs.
    public let bias: Parameter?
    private let numerics: Numerics

    public init(
        _ name: String, inputs: Int, outputs: Int, split: Split, bias: Bool = true,
        deviation: Float, numerics: Numerics
    ) {
        let shape: Shape = [outputs, inputs]
        let (axis, segments) =
            switch split {
            case .outputs(let segments): (0, segments)
            case .inputs(let segments): (1, segments)
            }
        let spec = ShardSpec(shape, axis: axis, segments: segments, slices: numerics.slices)
        weight = Parameter(
            "\(name).weight", spec, initializer: .normal(deviation: deviation))
        let biasSpec =
            axis == 0
            ? ShardSpec([outputs], axis: 0, segments: segments, slices: numerics.slices)
            : ShardSpec(replicated: [outputs])
        self.bias = bias ? Parameter("\(name).bias", biasSpec, initializer: .zeros) : nil
        self.numerics = numerics
    }

    public var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }

    /// x […, inputs] → […, outputs]: residual + dropout(activation(x·Wᵀ + b)).
    public func callAsFunction(
        _ x: Tensor, _ pass: Pass, activation: Activation? = nil, dropout: Dropout? = nil,
        residual: Tensor? = nil
    ) -> Tensor {
        precondition(
            dropout == nil || weight.spec.axis != 0,
            "Linear: dropout on outputs that may be split, whose places in the whole are not known")
        let outputShape = Shape(x.shape.extents.dropLast() + [weight.spec.shape[0]])
        return linear(
            x, weight: weight.leaf,
            split: weight.spec.axis == 0 ? .outputs(weight.slices) : .inputs(weight.slices),
            epilogue: Epilogue(
                bias: bias?.leaf, activation: activation,
                dropout: dropout?.site(for: outputShape, pass), residual: residual),
            tokens: pass.tokens(numerics), tape: pass.tape)
    }
}
