import Tensors

/// A table of vectors: row i for id i.
public struct Embedding: Layer {
    /// [count, width], cut by rows.
    public let weight: Parameter
    /// An id that stands for padding, whose row looking it up does not train.
    private let padding: Int32?
    private let numerics: Numerics

    /// - Parameter isSharded: whether tensor parallelism may cut the table by its rows (a vocabulary).
    public init(
        _ name: String, count: Int, width: Int, deviation: Float, isSharded: Bool,
        padding: Int? = nil, numerics: Numerics
    ) {
        (self.numerics, self.padding) = (numerics, padding.map { Int32($0) })
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
            frozen: padding, tokens: pass.tokens(numerics), tape: pass.tape)
    }
}
