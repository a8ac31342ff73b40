// GPT-NeoX (Black et al. 2022), and Pythia: a decoder-only transformer whose attention and feed-forward part stand side
// by side, with rotary positions on a part of each head.

import Kernels
import Layers
import Tensors

/// The language model.
public final class NeoX: Generative, TransformerStack {
    public let configuration: NeoXConfiguration
    package let tokens: Embedding
    public let blocks: [TransformerBlock<LayerNorm, FeedForward>]
    let finalNorm: LayerNorm
    public let output: OutputProjection

    /// - Parameters:
    ///   - configuration: with a vocabulary.
    ///   - recompute: what training keeps no activations of.
    public init(
        _ configuration: NeoXConfiguration, numerics: Numerics, recompute: Recompute = .none
    ) {
        guard let vocabulary = configuration.vocabulary else {
            preconditionFailure("NeoX: expected a vocabulary, found none in the configuration")
        }
        self.configuration = configuration
        let width = configuration.width
        let rotary = Rotary(
            RotaryConfiguration(
                base: configuration.rotaryBase, rotaryDimension: configuration.rotaryDimension),
            positions: configuration.contextLength)
        tokens = Embedding(
            "embed_in", count: vocabulary, width: width, deviation: 0.02, isSharded: true,
            numerics: numerics)
        blocks = (0..<configuration.layers).map {
            configuration.block("layers.\($0)", rotary, numerics, recompute)
        }
        finalNorm = LayerNorm(
            "final_layer_norm", width: width, epsilon: Float(configuration.epsilon),
            numerics: numerics)
        output = OutputProjection(
            "embed_out", of: tokens, isTied: configuration.tiesOutput, deviation: 0.02,
            numerics: numerics)
    }

    public var parameters: [Parameter] {
        tokens.parameters + blocks.flatMap(\.parameters) + finalNorm.parameters
            + output.parameters
    }

    public var tensorPlan: [TensorSplit] {
        TensorSplit.ends(tokens, output) + blocks.flatMap(TensorSplit.block)
    }

    public var contextLength: Int { configuration.contextLength }

    public func begin(_ input: ModelInput, _ pass: Pass) -> Tensor {
        tokens(input["tokens"], pass)  // [B, T, width]
    }

    public func visibility(of input: ModelInput) -> AttentionVisibility {
        AttentionVisibility(causal: true)
    }

    public func end(_ value: Tensor, _ input: ModelInput, _ pass: Pass) -> Tensor {
        finalNorm(value, pass)
    }
}

extension NeoXConfiguration {
    fileprivate func block(
        _ name: String, _ rotary: Rotary, _ numerics: Numerics, _ recompute: Recompute
    ) -> TransformerBlock<LayerNorm, FeedForward> {
        typealias Block = TransformerBlock<LayerNorm, FeedForward>
        let residualDeviation = Block.residualDeviation(0.02, layers: layers)
        func norm(_ part: String) -> LayerNorm {
            LayerNorm(
                "\(name).\(part)", width: width, epsilon: Float(epsilon), numerics: numerics)
        }
        var options = SelfAttention.Options()
        (options.projectionName, options.outputName) = ("query_key_value", "dense")
        (options.projectionBias, options.outputBias) = (attentionBias, attentionBias)
        options.rotary = rotary
        return Block(
            attentionNorm: norm("input_layernorm"),
            attention: SelfAttention(
                "\(name).attention", width: width, heads: heads, keyHeads: heads,
                options: options, dropout: Float(dropout), deviation: 0.02,
                residualDeviation: residualDeviation, numerics: numerics),
            feedForwardNorm: norm("post_attention_layernorm"),
            feedForward: FeedForward(
                "\(name).mlp", names: ("dense_h_to_4h", "dense_4h_to_h"), width: width,
                inner: inner, activation: activation, dropout: Float(dropout), deviation: 0.02,
                residualDeviation: residualDeviation, numerics: numerics),
            arrangement: isParallel ? .parallel : .normFirst, recompute: recompute)
    }
}
