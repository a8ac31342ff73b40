// The transformer as it was published (Vaswani et al. 2017): an encoder whose tokens see each other, a decoder whose
// tokens see those before them and the encoder's output. BART (Lewis et al. 2020) and Marian's models are shapes of it.

import Foundation
import Kernels
import Layers
import Tensors

/// The model. Parameters bear the names of Hugging Face's `MarianMTModel`.
public final class Transformer: EncoderDecoder {
    public let configuration: TransformerConfiguration
    private let encoder: Side
    private let decoder: Side
    let encoderBlocks: [TransformerBlock<LayerNorm, FeedForward>]
    let decoderBlocks: [DecoderBlock<LayerNorm, FeedForward>]
    public let output: OutputProjection
    private let numerics: Numerics

    /// What stands before and after the blocks of a half.
    private struct Side {
        let tokens: Embedding
        let learned: Embedding?
        let sinusoidal: SinusoidalPositions?
        let norm: LayerNorm?
        let dropout: Dropout
        /// Where norms stand before sub-layers.
        let finalNorm: LayerNorm?
        /// Of the vectors of tokens.
        let scale: Float

        var parameters: [Parameter] { (learned?.parameters ?? []) + (norm?.parameters ?? []) }

        func callAsFunction(_ ids: Tensor, _ pass: Pass) -> Tensor {
            var x = tokens(ids, pass)
            if scale != 1 { x = Tensors.scale(x, by: scale, tape: pass.tape) }
            if let sinusoidal { x = sinusoidal(x, pass) }
            if let learned {
                let places = pass.positions(sequences: ids.shape[0], tokens: ids.shape[1])
                x = add(x, learned(places, pass), tape: pass.tape)
            }
            return dropout(norm?(x, pass) ?? x, pass)
        }
    }

    /// - Parameters:
    ///   - configuration: with a vocabulary.
    ///   - recompute: what training keeps no activations of.
    public init(
        _ configuration: TransformerConfiguration, numerics: Numerics,
        recompute: Recompute = .none
    ) {
        guard let vocabulary = configuration.vocabulary else {
            preconditionFailure("Transformer: expected a vocabulary, found none")
        }
        (self.configuration, self.numerics) = (configuration, numerics)
        let width = configuration.width
        let deviation = configuration.scalesEmbedding ? 1 / Float(width).squareRoot() : 0.02
        func table(_ name: String, _ count: Int, isSharded: Bool) -> Embedding {
            Embedding(
                name, count: count, width: width, deviation: deviation, isSharded: isSharded,
                padding: isSharded ? configuration.paddingToken : nil, numerics: numerics)
        }
        func side(_ name: String, _ tokens: Embedding, _ length: Int) -> Side {
            let isLearned = configuration.positions == .learned
            func norm(_ part: String) -> LayerNorm {
                LayerNorm("\(name).\(part)", width: width, numerics: numerics)
            }
            return Side(
                tokens: tokens,
                learned: isLearned
                    ? table("\(name).embed_positions", length, isSharded: false) : nil,
                sinusoidal: isLearned
                    ? nil
                    : SinusoidalPositions(
                        count: length, width: width, order: .halves, numerics: numerics),
                norm: configuration.normalisesEmbedding ? norm("layernorm_embedding") : nil,
                dropout: Dropout("\(name).embedding", rate: Float(configuration.dropout)),
                finalNorm: configuration.normPosition == .pre ? norm("layer_norm") : nil,
                scale: configuration.scalesEmbedding ? Float(width).squareRoot() : 1)
        }
        let shares = configuration.sharesEmbedding
        let sources = table(
            shares ? "shared" : "encoder.embed_tokens", vocabulary, isSharded: true)
        let targets = shares ? sources : table("decoder.embed_tokens", vocabulary, isSharded: true)
        encoder = side("encoder", sources, configuration.contextLength)
        decoder = side("decoder", targets, configuration.targetLength)
        encoderBlocks = (0..<configuration.layers).map {
            configuration.encoderBlock("encoder.layers.\($0)", numerics, recompute)
        }
        decoderBlocks = (0..<configuration.decoderLayers).map {
            configuration.decoderBlock("decoder.layers.\($0)", numerics, recompute)
        }
        // Files of these classes have a bias of the logits that they do not train.
        output = OutputProjection(
            "lm_head", of: targets, isTied: configuration.tiesOutput,
            bias: Parameter(
                "final_logits_bias", ShardSpec([vocabulary], axis: 0, slices: numerics.slices),
                initializer: .zeros, isTrainable: false),
            deviation: deviation, numerics: numerics)
    }

    public var parameters: [Parameter] {
        encoder.tokens.parameters + encoder.parameters + encoderBlocks.flatMap(\.parameters)
            + (encoder.finalNorm?.parameters ?? [])
            + (configuration.sharesEmbedding ? [] : decoder.tokens.parameters)
            + decoder.parameters + decoderBlocks.flatMap(\.parameters)
            + (decoder.finalNorm?.parameters ?? []) + output.parameters
    }

    public var tensorPlan: [TensorSplit] {
        let ends = TensorSplit.ends(decoder.tokens, output)
        return ends + (configuration.sharesEmbedding ? [] : [.vocabulary(encoder.tokens)])
            + encoderBlocks.flatMap(TensorSplit.block)
            + decoderBlocks.flatMap(TensorSplit.decoderBlock)
    }

    // MARK: The forward pass

    public var blockCount: Int { encoderBlocks.count + decoderBlocks.count }

    public func begin(_ input: ModelInput, _ pass: Pass) -> EncodedPair {
        EncodedPair(
            memory: encoder(input["tokens"], pass), target: decoder(input["decoder_tokens"], pass))
    }

    public func block(
        _ index: Int, _ value: EncodedPair, _ input: ModelInput, _ pass: Pass
    ) -> EncodedPair {
        var value = value
        let (sources, count) = (input.visibleToAll, encoderBlocks.count)
        if index < count {
            value.memory = encoderBlocks[index](value.memory, sources, pass)
            if index == count - 1, let norm = encoder.finalNorm {
                value.memory = norm(value.memory, pass)
            }
        } else {
            value.target = decoderBlocks[index - count](
                value.target, memory: value.memory, sources: sources, pass)
        }
        return value
    }

    public func end(_ value: EncodedPair, _ input: ModelInput, _ pass: Pass) -> Tensor {
        decoder.finalNorm?(value.target, pass) ?? value.target
    }

    // MARK: The two halves

    public var lengthLimits: (source: Int, target: Int) {
        (configuration.contextLength, configuration.targetLength)
    }

    public func encode(_ input: ModelInput, _ pass: Pass) -> Tensor {
        let x = encoderBlocks.reduce(encoder(input["tokens"], pass)) {
            $1($0, input.visibleToAll, pass)
        }
        return encoder.finalNorm?(x, pass) ?? x
    }

    public func decode(_ input: ModelInput, memory: Tensor, _ pass: Pass) -> Tensor {
        let x = decoderBlocks.reduce(decoder(input["decoder_tokens"], pass)) {
            $1($0, memory: memory, sources: input.visibleToAll, pass)
        }
        return decoder.finalNorm?(x, pass) ?? x
    }
}

extension TransformerConfiguration {
    /// Glorot and Bengio's (2010), as of the paper's code.
    private func deviation(_ inputs: Int, _ outputs: Int) -> Float {
        (2 / Float(inputs + outputs)).squareRoot()
    }

    private func norm(_ name: String, _ numerics: Numerics) -> LayerNorm {
        LayerNorm(name, width: width, numerics: numerics)
    }

    private func attention(_ name: String, _ numerics: Numerics) -> SelfAttention {
        var options = SelfAttention.Options()
        (options.projectionName, options.outputName) = ("qkv", "out_proj")
        let deviation = deviation(width, width)
        return SelfAttention(
            "\(name).self_attn", width: width, heads: heads, keyHeads: heads, options: options,
            dropout: Float(dropout), deviation: deviation, residualDeviation: deviation,
            numerics: numerics)
    }

    private func network(_ name: String, _ numerics: Numerics) -> FeedForward {
        FeedForward(
            name, names: ("fc1", "fc2"), width: width, inner: inner, activation: activation,
            dropout: Float(dropout), deviation: deviation(width, inner),
            residualDeviation: deviation(width, inner), numerics: numerics)
    }

    fileprivate func encoderBlock(
        _ name: String, _ numerics: Numerics, _ recompute: Recompute
    ) -> TransformerBlock<LayerNorm, FeedForward> {
        TransformerBlock(
            attentionNorm: norm("\(name).self_attn_layer_norm", numerics),
            attention: attention(name, numerics),
            feedForwardNorm: norm("\(name).final_layer_norm", numerics),
            feedForward: network(name, numerics),
            arrangement: normPosition == .post ? .normLast : .normFirst, recompute: recompute)
    }

    fileprivate func decoderBlock(
        _ name: String, _ numerics: Numerics, _ recompute: Recompute
    ) -> DecoderBlock<LayerNorm, FeedForward> {
        let deviation = deviation(width, width)
        return DecoderBlock(
            attentionNorm: norm("\(name).self_attn_layer_norm", numerics),
            attention: attention(name, numerics),
            crossNorm: norm("\(name).encoder_attn_layer_norm", numerics),
            crossAttention: CrossAttention(
                "\(name).encoder_attn", names: ("q_proj", "kv_proj", "out_proj"), width: width,
                heads: heads, dropout: Float(dropout), deviation: deviation,
                residualDeviation: deviation, numerics: numerics),
            feedForwardNorm: norm("\(name).final_layer_norm", numerics),
            feedForward: network(name, numerics), isNormLast: normPosition == .post,
            recompute: recompute)
    }
}
