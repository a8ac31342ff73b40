// BERT (Devlin et al. 2019): an encoder whose every token sees every other, with learned positions and layer norm
// after each sub-layer. RoBERTa (Liu et al. 2019) is a shape of it.

import Kernels
import Layers
import Tensors

/// The encoder with one of its heads. Parameters bear the names of Hugging Face's.
public final class BERT: TextEncoder, TransformerStack {
    public let configuration: BERTConfiguration
    package let tokens: Embedding
    let positions: Embedding
    let types: Embedding
    let embeddingNorm: LayerNorm
    let dropout: Dropout
    public let blocks: [TransformerBlock<LayerNorm, FeedForward>]
    private let head: Head
    public let output: OutputProjection
    private let numerics: Numerics

    /// Between the encoder and the scores.
    private enum Head {
        /// norm(f(W·x + b)) of the tokens that are to be predicted.
        case maskedTokens(Linear, Activation, LayerNorm)
        /// tanh(W·x + b) of the first token, the *pooler*.
        case sequences(Linear, Dropout)
        case tokens(Dropout)

        var parameters: [Parameter] {
            switch self {
            case .maskedTokens(let map, _, let norm): map.parameters + norm.parameters
            case .sequences(let map, _): map.parameters
            case .tokens: []
            }
        }
    }

    /// - Parameters:
    ///   - configuration: with a vocabulary.
    ///   - recompute: what training keeps no activations of.
    public init(
        _ configuration: BERTConfiguration, numerics: Numerics, recompute: Recompute = .none
    ) {
        guard let vocabulary = configuration.vocabulary else {
            preconditionFailure("BERT: expected a vocabulary, found none in the configuration")
        }
        (self.configuration, self.numerics) = (configuration, numerics)
        let (width, epsilon) = (configuration.width, Float(configuration.epsilon))
        func table(_ name: String, _ count: Int, isSharded: Bool = false) -> Embedding {
            Embedding(
                "embeddings.\(name)_embeddings", count: count, width: width, deviation: 0.02,
                isSharded: isSharded, numerics: numerics)
        }
        tokens = table("word", vocabulary, isSharded: true)
        positions = table("position", configuration.contextLength)
        types = table("token_type", configuration.tokenTypes)
        embeddingNorm = LayerNorm(
            "embeddings.LayerNorm", width: width, epsilon: epsilon, numerics: numerics)
        dropout = Dropout("embedding", rate: Float(configuration.dropout))
        blocks = (0..<configuration.layers).map {
            configuration.block("encoder.layer.\($0)", numerics, recompute)
        }
        func square(_ name: String) -> Linear {
            Linear(
                name, inputs: width, outputs: width,
                split: .outputs([ShardSpec.Segment(units: width)]), deviation: 0.02,
                numerics: numerics)
        }
        let classifier = OutputProjection(
            "classifier", width: width, classes: configuration.classes, deviation: 0.02,
            numerics: numerics)
        let headDropout = Dropout("head", rate: Float(configuration.dropout))
        switch configuration.head {
        case .maskedTokens:
            head = .maskedTokens(
                square("cls.predictions.transform.dense"), configuration.activation,
                LayerNorm(
                    "cls.predictions.transform.LayerNorm", width: width, epsilon: epsilon,
                    numerics: numerics))
            output = OutputProjection(
                tokens.weight,
                bias: Parameter(
                    "cls.predictions.bias",
                    ShardSpec([vocabulary], axis: 0, slices: numerics.slices),
                    initializer: .zeros),
                readsAllTokens: true, numerics: numerics)
        case .sequences:
            (head, output) = (.sequences(square("pooler.dense"), headDropout), classifier)
        case .tokens:
            (head, output) = (.tokens(headDropout), classifier)
        }
    }

    public var parameters: [Parameter] {
        tokens.parameters + positions.parameters + types.parameters + embeddingNorm.parameters
            + blocks.flatMap(\.parameters) + head.parameters + output.parameters
    }

    public var tensorPlan: [TensorSplit] {
        let isTied = output.weight === tokens.weight
        return [.vocabulary(tokens, bias: isTied ? output.bias : nil)]
            + blocks.flatMap(TensorSplit.block)
    }

    public var contextLength: Int { configuration.contextLength }

    public func begin(_ input: ModelInput, _ pass: Pass) -> Tensor {
        let ids = input["tokens"]  // [B, T]
        let (sequences, length) = (ids.shape[0], ids.shape[1])
        let places = pass.positions(sequences: sequences, tokens: length)
        let kinds =
            input.fields["types"]
            ?? Tensor(
                integers: [Int32](repeating: 0, count: sequences * length), shape: ids.shape)
        let words = add(tokens(ids, pass), types(kinds, pass), tape: pass.tape)
        let x = add(words, positions(places, pass), tape: pass.tape)  // [B, T, width]
        return dropout(embeddingNorm(x, pass), pass)
    }

    public func visibility(of input: ModelInput) -> AttentionVisibility {
        input.visibleToAll
    }

    public func end(_ value: Tensor, _ input: ModelInput, _ pass: Pass) -> Tensor {
        let rest = pass.withAllTokens
        switch head {
        case .maskedTokens(let map, let activation, let norm):
            let chosen = pass.select(value, at: input["places"], numerics)  // [B, K, width]
            return norm(map(chosen, rest, activation: activation), rest)
        case .sequences(let pooler, let dropout):
            let first = pass.selectFirst(of: value, numerics)  // [B, 1, width]
            return dropout(pooler(first, rest, activation: .tanh), rest)
        case .tokens(let dropout):
            return dropout(pass.gather(value, numerics), rest)
        }
    }
}

extension BERTConfiguration {
    fileprivate func block(
        _ name: String, _ numerics: Numerics, _ recompute: Recompute
    ) -> TransformerBlock<LayerNorm, FeedForward> {
        func norm(_ part: String) -> LayerNorm {
            LayerNorm(
                "\(name).\(part)", width: width, epsilon: Float(epsilon), numerics: numerics)
        }
        var options = SelfAttention.Options()
        (options.projectionName, options.outputName) = ("self.qkv", "output.dense")
        return TransformerBlock(
            attentionNorm: norm("attention.output.LayerNorm"),
            attention: SelfAttention(
                "\(name).attention", width: width, heads: heads, keyHeads: heads,
                options: options, dropout: Float(dropout), deviation: 0.02,
                residualDeviation: 0.02, numerics: numerics),
            feedForwardNorm: norm("output.LayerNorm"),
            feedForward: FeedForward(
                name, names: ("intermediate.dense", "output.dense"), width: width, inner: inner,
                activation: activation, dropout: Float(dropout), deviation: 0.02,
                residualDeviation: 0.02, numerics: numerics),
            arrangement: .normLast, recompute: recompute)
    }
}
