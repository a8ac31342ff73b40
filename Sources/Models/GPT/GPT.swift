// GPT-2 (Radford et al. 2019): a decoder-only transformer with learned positions, layer norm before each sub-layer,
// and the token table as output projection. In the first GPT (2018) the norm follows the sub-layer.

import Kernels
import Layers
import Tensors

/// x + attention(norm(x)), then x + feedForward(norm(x)); with norms behind, norm(x + attention(x)), then
/// norm(x + feedForward(x)).
public struct GPTBlock: Layer {
    let attentionNorm: LayerNorm
    package let attention: SelfAttention
    let feedForwardNorm: LayerNorm
    package let feedForward: FeedForward
    private let normPosition: GPTConfiguration.NormPosition
    private let recompute: Recompute

    init(
        _ name: String, _ configuration: GPTConfiguration, numerics: Numerics, recompute: Recompute
    ) {
        (self.recompute, normPosition) = (recompute, configuration.normPosition)
        let width = configuration.width
        // Each block adds twice to the residual stream: 1/√(2·layers) keeps its variance (GPT-2).
        let residualDeviation = 0.02 / Float(2 * configuration.layers).squareRoot()
        attentionNorm = LayerNorm("\(name).ln_1", width: width, numerics: numerics)
        attention = SelfAttention(
            "\(name).attn", width: width, heads: configuration.heads,
            keyHeads: configuration.heads, dropout: Float(configuration.dropout), deviation: 0.02,
            residualDeviation: residualDeviation, numerics: numerics)
        feedForwardNorm = LayerNorm("\(name).ln_2", width: width, numerics: numerics)
        feedForward = FeedForward(
            "\(name).mlp", width: width, inner: configuration.inner,
            activation: configuration.activation, dropout: Float(configuration.dropout),
            deviation: 0.02,
            residualDeviation: residualDeviation, numerics: numerics)
    }

    public var parameters: [Parameter] {
        attentionParameters + feedForwardNorm.parameters + feedForward.parameters
    }

    private var attentionParameters: [Parameter] { attentionNorm.parameters + attention.parameters }

    public func callAsFunction(_ x: Tensor, _ pass: Pass) -> Tensor {
        pass.recompute(if: recompute == .block, from: x, parameters) { pass in
            let visibility = AttentionVisibility(causal: true)
            let x = pass.recompute(if: recompute == .attention, from: x, attentionParameters) {
                switch normPosition {
                case .pre:
                    attention(attentionNorm(x, $0), residual: x, visibility: visibility, $0)
                case .post:
                    attentionNorm(attention(x, residual: x, visibility: visibility, $0), $0)
                }
            }
            switch normPosition {
            case .pre: return feedForward(feedForwardNorm(x, pass), residual: x, pass)
            case .post: return feedForwardNorm(feedForward(x, residual: x, pass), pass)
            }
        }
    }
}

/// The language model. Parameters bear the names of Hugging Face's GPT-2.
public final class GPT: Generative {
    public let configuration: GPTConfiguration
    package let tokens: Embedding
    let positions: Embedding
    let dropout: Dropout
    package let blocks: [GPTBlock]
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
            GPTBlock("h.\($0)", configuration, numerics: numerics, recompute: recompute)
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
        [.vocabulary(tokens)]
            + blocks.flatMap {
                TensorSplit.block($0.attention, $0.feedForward.up, $0.feedForward.down)
            }
    }

    public var blockCount: Int { blocks.count }
    public var contextLength: Int { configuration.contextLength }

    public func begin(_ input: ModelInput, _ pass: Pass) -> Tensor {
        let ids = input["tokens"]  // [B, T]
        let (sequences, length) = (ids.shape[0], ids.shape[1])
        let places = pass.positions(sequences: sequences, tokens: length)
        let x = add(tokens(ids, pass), positions(places, pass), tape: pass.tape)  // [B, T, width]
        return dropout(x, pass)
    }

    public func block(
        _ index: Int, _ value: Tensor, _ input: ModelInput, _ pass: Pass
    ) -> Tensor {
        blocks[index](value, pass)
    }

    public func end(_ value: Tensor, _ input: ModelInput, _ pass: Pass) -> Tensor {
        finalNorm?(value, pass) ?? value
    }
}
