// GPT-NeoX (Black et al. 2022), and Pythia: a decoder-only transformer whose attention and feed-forward part stand side
// by side, with rotary positions on a part of each head.

import Kernels
import Layers
import Tensors

/// x + attention(norm₁(x)) + feedForward(norm₂(x)); in turn where they do not stand side by side.
public struct NeoXBlock: Layer {
    let attentionNorm: LayerNorm
    package let attention: SelfAttention
    let feedForwardNorm: LayerNorm
    package let feedForward: FeedForward
    private let isParallel: Bool
    private let recompute: Recompute

    init(
        _ name: String, _ shape: NeoXConfiguration, rotary: Rotary, numerics: Numerics,
        recompute: Recompute
    ) {
        (self.recompute, isParallel) = (recompute, shape.isParallel)
        let (width, epsilon) = (shape.width, Float(shape.epsilon))
        // Each block adds twice to the residual stream: 1/√(2·layers) keeps its variance (GPT-2).
        let residualDeviation = 0.02 / Float(2 * shape.layers).squareRoot()
        var options = SelfAttention.Options()
        (options.projectionName, options.outputName) = ("query_key_value", "dense")
        (options.projectionBias, options.outputBias) = (shape.attentionBias, shape.attentionBias)
        options.rotary = rotary
        attentionNorm = LayerNorm(
            "\(name).input_layernorm", width: width, epsilon: epsilon, numerics: numerics)
        attention = SelfAttention(
            "\(name).attention", width: width, heads: shape.heads, keyHeads: shape.heads,
            options: options, dropout: Float(shape.dropout), deviation: 0.02,
            residualDeviation: residualDeviation, numerics: numerics)
        feedForwardNorm = LayerNorm(
            "\(name).post_attention_layernorm", width: width, epsilon: epsilon, numerics: numerics)
        feedForward = FeedForward(
            "\(name).mlp", names: ("dense_h_to_4h", "dense_4h_to_h"), width: width,
            inner: shape.inner, activation: shape.activation, dropout: Float(shape.dropout),
            deviation: 0.02, residualDeviation: residualDeviation, numerics: numerics)
    }

    public var parameters: [Parameter] {
        attentionParameters + feedForwardNorm.parameters + feedForward.parameters
    }

    private var attentionParameters: [Parameter] { attentionNorm.parameters + attention.parameters }

    public func callAsFunction(_ x: Tensor, _ pass: Pass) -> Tensor {
        pass.recompute(if: recompute == .block, from: x, parameters) { pass in
            let attended = pass.recompute(
                if: recompute == .attention, from: x, attentionParameters
            ) {
                attention(
                    attentionNorm(x, $0), residual: x,
                    visibility: AttentionVisibility(causal: true), $0)
            }
            let read = isParallel ? x : attended
            return feedForward(feedForwardNorm(read, pass), residual: attended, pass)
        }
    }
}

/// The language model.
public final class NeoX: Generative {
    public let configuration: NeoXConfiguration
    package let tokens: Embedding
    package let blocks: [NeoXBlock]
    let finalNorm: LayerNorm
    /// nil: the token table.
    let head: Linear?
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
                base: configuration.rotaryBase, rotaryDimension: configuration.rotaryDimension,
                scaling: .none), positions: configuration.contextLength)
        tokens = Embedding(
            "embed_in", count: vocabulary, width: width, deviation: 0.02, isSharded: true,
            numerics: numerics)
        blocks = (0..<configuration.layers).map {
            NeoXBlock(
                "layers.\($0)", configuration, rotary: rotary, numerics: numerics,
                recompute: recompute)
        }
        finalNorm = LayerNorm(
            "final_layer_norm", width: width, epsilon: Float(configuration.epsilon),
            numerics: numerics)
        head =
            configuration.tiesOutput
            ? nil
            : Linear(
                "embed_out", inputs: width, outputs: vocabulary,
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
                TensorSplit.block($0.attention, $0.feedForward.up, $0.feedForward.down)
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
