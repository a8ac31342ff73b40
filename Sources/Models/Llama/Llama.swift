// Llama (Touvron et al. 2023): a decoder-only transformer with RMS norm before each sub-layer, rotary positions,
// grouped heads and a gated feed-forward network. Mistral, Qwen2 and Qwen3 are shapes of it.

import Kernels
import Layers
import Tensors

/// x + attention(norm(x)), then x + feedForward(norm(x)).
public struct LlamaBlock: Layer {
    let attentionNorm: RMSNorm
    package let attention: SelfAttention
    let feedForwardNorm: RMSNorm
    package let feedForward: GatedFeedForward
    private let visibility: AttentionVisibility
    private let recompute: Recompute

    init(
        _ name: String, _ shape: LlamaConfiguration, rotary: Rotary, numerics: Numerics,
        recompute: Recompute
    ) {
        self.recompute = recompute
        visibility = AttentionVisibility(causal: true, window: shape.window)
        let (width, epsilon) = (shape.width, Float(shape.epsilon))
        // Each block adds twice to the residual stream: 1/√(2·layers) keeps its variance (GPT-2).
        let residualDeviation = 0.02 / Float(2 * shape.layers).squareRoot()
        attentionNorm = RMSNorm(
            "\(name).input_layernorm", width: width, epsilon: epsilon, numerics: numerics)
        var options = SelfAttention.Options()
        (options.projectionName, options.outputName) = ("qkv_proj", "o_proj")
        (options.projectionBias, options.outputBias) = (shape.attentionBias, false)
        (options.headDimension, options.rotary) = (shape.headDimension, rotary)
        options.headNormEpsilon = shape.normalisesHeads ? epsilon : nil
        attention = SelfAttention(
            "\(name).self_attn", width: width, heads: shape.heads, keyHeads: shape.keyHeads,
            options: options, dropout: Float(shape.dropout), deviation: 0.02,
            residualDeviation: residualDeviation, numerics: numerics)
        feedForwardNorm = RMSNorm(
            "\(name).post_attention_layernorm", width: width, epsilon: epsilon, numerics: numerics)
        feedForward = GatedFeedForward(
            "\(name).mlp", width: width, inner: shape.inner, activation: shape.activation,
            dropout: Float(shape.dropout), deviation: 0.02,
            residualDeviation: residualDeviation, numerics: numerics)
    }

    public var parameters: [Parameter] {
        attentionParameters + feedForwardNorm.parameters + feedForward.parameters
    }

    private var attentionParameters: [Parameter] { attentionNorm.parameters + attention.parameters }

    public func callAsFunction(_ x: Tensor, _ pass: Pass) -> Tensor {
        pass.recompute(if: recompute == .block, from: x, parameters) { pass in
            let x = pass.recompute(if: recompute == .attention, from: x, attentionParameters) {
                attention(attentionNorm(x, $0), residual: x, visibility: visibility, $0)
            }
            return feedForward(feedForwardNorm(x, pass), residual: x, pass)
        }
    }
}

/// The language model.
public final class Llama: Generative {
    public let configuration: LlamaConfiguration
    package let tokens: Embedding
    package let blocks: [LlamaBlock]
    let finalNorm: RMSNorm
    /// nil: the token table.
    package let head: Linear?
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
            LlamaBlock(
                "layers.\($0)", configuration, rotary: rotary, numerics: numerics,
                recompute: recompute)
        }
        finalNorm = RMSNorm(
            "norm", width: configuration.width, epsilon: Float(configuration.epsilon),
            numerics: numerics)
        head =
            configuration.tiesOutput
            ? nil
            : Linear(
                "lm_head", inputs: configuration.width, outputs: vocabulary,
                split: .outputs([ShardSpec.Segment(units: vocabulary)]), bias: false,
                deviation: 0.02, numerics: numerics)
        output = OutputProjection(head?.weight ?? tokens.weight, numerics: numerics)
    }

    public var parameters: [Parameter] {
        tokens.parameters + blocks.flatMap(\.parameters) + finalNorm.parameters
            + (head?.parameters ?? [])
    }

    public var tensorPlan: [TensorSplit] {
        [.vocabulary(tokens)] + (head.map { [.columns($0)] } ?? [])
            + blocks.flatMap {
                TensorSplit.block($0.attention, $0.feedForward.projection, $0.feedForward.down)
            }
    }

    public var blockCount: Int { blocks.count }
    public var contextLength: Int { configuration.contextLength }

    public func begin(_ input: ModelInput, _ pass: Pass) -> Tensor {
        tokens(input["tokens"], pass)  // [B, T, width]
    }

    public func block(
        _ index: Int, _ value: Tensor, _ input: ModelInput, _ pass: Pass
    ) -> Tensor {
        blocks[index](value, pass)
    }

    public func end(_ value: Tensor, _ input: ModelInput, _ pass: Pass) -> Tensor {
        finalNorm(value, pass)
    }
}
