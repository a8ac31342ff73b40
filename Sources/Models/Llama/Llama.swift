// Llama (Touvron et al. 2023): a decoder-only transformer with RMS norm before each sub-layer, rotary positions,
// grouped heads and a gated feed-forward network. Mistral, Qwen2 and Qwen3 are shapes of it.

import Kernels
import Layers
import Tensors

/// The language model.
public final class Llama: Generative, TransformerStack {
    public let configuration: LlamaConfiguration
    package let tokens: Embedding
    public let blocks: [TransformerBlock<RMSNorm, GatedFeedForward>]
    let finalNorm: RMSNorm
    public let output: OutputProjection

    /// - Parameters:
    ///   - configuration: with a vocabulary.
    ///   - recompute: what training keeps no activations of.
    public init(
        _ configuration: LlamaConfiguration, numerics: Numerics, recompute: Recompute = .none
    ) {
        guard let vocabulary = configuration.vocabulary else {
            preconditionFailure("Llama: expected a vocabulary, found none in the configuration")
        }
        self.configuration = configuration
        let rotary = Rotary(
            configuration.rotaryPositions, positions: configuration.contextLength)
        tokens = Embedding(
            "embed_tokens", count: vocabulary, width: configuration.width, deviation: 0.02,
            isSharded: true, numerics: numerics)
        blocks = (0..<configuration.layers).map {
            configuration.block("layers.\($0)", rotary, numerics, recompute)
        }
        finalNorm = RMSNorm(
            "norm", width: configuration.width, epsilon: Float(configuration.epsilon),
            numerics: numerics)
        output = OutputProjection(
            "lm_head", of: tokens, isTied: configuration.tiesOutput, deviation: 0.02,
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
        AttentionVisibility(causal: true, window: configuration.window)
    }

    public func end(_ value: Tensor, _ input: ModelInput, _ pass: Pass) -> Tensor {
        finalNorm(value, pass)
    }
}

extension LlamaConfiguration {
    fileprivate func block(
        _ name: String, _ rotary: Layers.Rotary, _ numerics: Numerics, _ recompute: Recompute
    ) -> TransformerBlock<RMSNorm, GatedFeedForward> {
        typealias Block = TransformerBlock<RMSNorm, GatedFeedForward>
        let residualDeviation = Block.residualDeviation(0.02, layers: layers)
        func norm(_ part: String) -> RMSNorm {
            RMSNorm(
                "\(name).\(part)", width: width, epsilon: Float(epsilon), numerics: numerics)
        }
        var options = SelfAttention.Options()
        (options.projectionName, options.outputName) = ("qkv_proj", "o_proj")
        (options.projectionBias, options.outputBias) = (attentionBias, false)
        (options.headDimension, options.rotary) = (headDimension, rotary)
        options.headNormEpsilon = normalisesHeads ? Float(epsilon) : nil
        return Block(
            attentionNorm: norm("input_layernorm"),
            attention: SelfAttention(
                "\(name).self_attn", width: width, heads: heads, keyHeads: keyHeads,
                options: options, dropout: Float(dropout), deviation: 0.02,
                residualDeviation: residualDeviation, numerics: numerics),
            feedForwardNorm: norm("post_attention_layernorm"),
            feedForward: GatedFeedForward(
                "\(name).mlp", width: width, inner: inner, activation: activation,
                dropout: Float(dropout), deviation: 0.02, residualDeviation: residualDeviation,
                numerics: numerics),
            recompute: recompute)
    }
}
