import Layers

/// An entry of a model's plan for tensor parallelism (Shoeybi et al. 2019, section 3): a part of it, and which axis
/// of its weight the ranks of the tensor dimension share.
public enum TensorSplit {
    /// A rank holds outputs, and the bias with them.
    case columns(Linear)
    /// A rank holds inputs; the bias is whole, and added once the sum over all inputs is there.
    case rows(Linear)
    /// A table of vectors, by its rows; where it is the output projection too, a rank makes the logits of its
    /// symbols, whose bias lies with them.
    case vocabulary(Embedding, bias: Parameter? = nil)
    /// An output projection of its own, by its classes.
    case classes(OutputProjection)

    /// Of a transformer's block: heads, and features within the feed-forward part.
    static func block<Norm, Network>(_ block: TransformerBlock<Norm, Network>) -> [TensorSplit] {
        let (first, last) = block.feedForward.maps
        return [
            .columns(block.attention.projection), .rows(block.attention.output), .columns(first),
            .rows(last),
        ]
    }

    /// Of a decoder's block: heads of both attentions, and features within the feed-forward part.
    static func decoderBlock<Norm, Network>(_ block: DecoderBlock<Norm, Network>) -> [TensorSplit] {
        let (cross, (first, last)) = (block.crossAttention, block.feedForward.maps)
        return [
            .columns(block.attention.projection), .rows(block.attention.output),
            .columns(cross.query), .columns(cross.keyValue), .rows(cross.output), .columns(first),
            .rows(last),
        ]
    }

    /// Of a language model's two ends, which may share their table.
    static func ends(_ tokens: Embedding, _ output: OutputProjection) -> [TensorSplit] {
        output.weight === tokens.weight
            ? [.vocabulary(tokens, bias: output.bias)] : [.vocabulary(tokens), .classes(output)]
    }

    /// The parameters that are cut.
    public var parameters: [Parameter] {
        switch self {
        case .columns(let map): TensorSplit.cut(map, axis: 0)
        case .rows(let map): TensorSplit.cut(map, axis: 1)
        case .vocabulary(let table, let bias): [table.weight] + (bias.map { [$0] } ?? [])
        case .classes(let output): output.parameters
        }
    }

    private static func cut(_ map: Linear, axis: Int) -> [Parameter] {
        precondition(
            map.weight.spec.axis == axis,
            "TensorSplit: \(map.weight.name) along axis \(axis), but its slices lie along "
                + "\(map.weight.spec.axis.map(String.init) ?? "none")")
        return map.parameters.filter { $0.spec.axis != nil }
    }
}
