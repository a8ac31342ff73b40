import Tensors

/// A table of vectors: row i for id i.
public struct Embedding: Layer {
    /// [count, width], cut by rows.
    public let weight: Parameter
    private let numerics: Numerics

    /// - Parameter isSharded: whether tensor parallelism may cut the table by its rows (a vocabulary).
    public init(
        _ name: String, count: Int, width: Int, deviation: Float, isSharded: Bool,
        numerics: Numerics
    ) {
        self.numerics = numerics
        let shape: Shape = [count, width]
        weight = Parameter(
            "\(name).weight",
            isSharded
                ? ShardSpec(shape, axis: 0, slices: numerics.slices) : ShardSpec(replicated: shape),
            initializer: .normal(deviation: deviation))
    }

    public var parameters: [Parameter] { [weight] }

    /// ids [sequences, tokens] → [sequences, tokens, width].
    public func callAsFunction(_ ids: Tensor, _ pass: Pass) -> Tensor {
        embedding(
            ids, table: weight.leaf, vocabulary: weight.spec.axis == nil ? nil : weight.slices,
            tokens: pass.tokens(numerics), tape: pass.tape)
    }
}
