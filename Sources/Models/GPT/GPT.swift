// GPT-2 (Radford et al. 2019): a decoder-only transformer with learned positions, layer norm before each sub-layer,
// and the token table as output projection. In the first GPT (2018) the norm follows the sub-layer.

import Kernels
import Layers
import Tensors

/// The language model. Parameters bear the names of Hugging Face's GPT-2.
public final class GPT: Generative, TransformerStack {
    public let configuration: GPTConfiguration
    package let tokens: Embedding
    let positions: Embedding
    let dropout: Dropout
    public let blocks: [TransformerBlock<LayerNorm, FeedForward>]
    /// nil: the last block ends with a norm.
    let finalNorm: LayerNorm?
    public let output: OutputProjection

    /// - Parameters:
    ///   - configuration: with a vocabulary.
    ///   - recompute: what training keeps no activations of.
    public init(
        _ configuration: GPTConfiguration, numerics: Numerics, recompute: Recompute = .none
    ) {
        guard let vocabulary = configuration.vocabulary else {
            preconditionFailure("GPT: expected a vocabulary, found none in the configuration")
        }
        self.configuration = configuration
        let width = configuration.width
        tokens = Embedding(
            "wte", count: vocabulary, width: width, deviation: 0.02, isSharded: true,
            numerics: numerics)
        positions = Embedding(
            "wpe", count: configuration.contextLength, width: width, deviation: 0.02,
            isSharded: false, numerics: numerics)
        dropout = Dropout("embedding", rate: Float(configuration.dropout))
        blocks = (0..<configuration.layers).map {
            configuration.block("h.\($0)", numerics, recompute)
        }
        finalNorm =
            configuration.normPosition == .pre
            ? LayerNorm("ln_f", width: width, numerics: numerics) : nil
        output = OutputProjection(tokens.weight, numerics: numerics)
    }

    public var parameters: [Parameter] {
        tokens.parameters + positions.parameters + blocks.flatMap(\.parameters)
            + (finalNorm?.parameters ?? [])
    }

    public var tensorPlan: [TensorSplit] {
        TensorSplit.ends(tokens, output) + blocks.flatMap(TensorSplit.block)
    }

    public var contextLength: Int { configuration.contextLength }

    public func begin(_ input: ModelInput, _ pass: Pass) -> Tensor {
        let ids = input["tokens"]  // [B, T]
        let (sequences, length) = (ids.shape[0], ids.shape[1])
        let places = pass.within(input.documents).positions(sequences: sequences, tokens: length)
        let x = add(tokens(ids, pass), positions(places, pass), tape: pass.tape)  // [B, T, width]
        return dropout(x, pass)
    }

    public func visibility(of input: ModelInput) -> AttentionVisibility {
        AttentionVisibility(causal: true)
    }

    public func end(_ value: Tensor, _ input: ModelInput, _ pass: Pass) -> Tensor {
        finalNorm?(value, pass) ?? value
    }
}

extension GPTConfiguration {
    fileprivate func block(
        _ name: String, _ numerics: Numerics, _ recompute: Recompute
    ) -> TransformerBlock<LayerNorm, FeedForward> {
        typealias Block = TransformerBlock<LayerNorm, FeedForward>
        let residualDeviation = Block.residualDeviation(0.02, layers: layers)
        return Block(
            attentionNorm: LayerNorm("\(name).ln_1", width: width, numerics: numerics),
            attention: SelfAttention(
                "\(name).attn", width: width, heads: heads, keyHeads: heads,
                dropout: Float(dropout), deviation: 0.02, residualDeviation: residualDeviation,
                numerics: numerics),
            feedForwardNorm: LayerNorm("\(name).ln_2", width: width, numerics: numerics),
            feedForward: FeedForward(
                "\(name).mlp", width: width, inner: inner, activation: activation,
                dropout: Float(dropout), deviation: 0.02, residualDeviation: residualDeviation,
                numerics: numerics),
            arrangement: normPosition == .pre ? .normFirst : .normLast, recompute: recompute)
    }
}
