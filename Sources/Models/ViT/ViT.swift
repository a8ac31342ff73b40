// The vision transformer (Dosovitskiy et al. 2021): patches of an image as tokens, a class token before them, learned
// positions, an encoder with layer norm before each sub-layer, and a class from the class token.

import Kernels
import Layers
import Tensors

/// The classifier of images. Parameters bear the names of Hugging Face's.
public final class ViT: TransformerStack {
    public let configuration: ViTConfiguration
    let projection: Linear
    let classToken: Embedding
    let positions: Embedding
    let dropout: Dropout
    public let blocks: [TransformerBlock<LayerNorm, FeedForward>]
    let finalNorm: LayerNorm
    public let output: OutputProjection
    private let numerics: Numerics

    /// - Parameters:
    ///   - configuration: with a number of classes.
    ///   - recompute: what training keeps no activations of.
    public init(
        _ configuration: ViTConfiguration, numerics: Numerics, recompute: Recompute = .none
    ) {
        guard let classes = configuration.classes else {
            preconditionFailure("ViT: expected classes, found none in the configuration")
        }
        (self.configuration, self.numerics) = (configuration, numerics)
        let width = configuration.width
        projection = Linear(
            "embeddings.patch_embeddings.projection", inputs: configuration.image.patchValues,
            outputs: width, split: .outputs([ShardSpec.Segment(units: width)]), deviation: 0.02,
            numerics: numerics)
        classToken = Embedding(
            "embeddings.cls_token", count: 1, width: width, deviation: 0.02, isSharded: false,
            numerics: numerics)
        positions = Embedding(
            "embeddings.position_embeddings", count: configuration.positions, width: width,
            deviation: 0.02, isSharded: false, numerics: numerics)
        dropout = Dropout("embedding", rate: Float(configuration.dropout))
        blocks = (0..<configuration.layers).map {
            configuration.block("encoder.layer.\($0)", numerics, recompute)
        }
        finalNorm = LayerNorm(
            "layernorm", width: width, epsilon: Float(configuration.epsilon), numerics: numerics)
        output = OutputProjection(
            "classifier", width: width, classes: classes, deviation: 0.02, numerics: numerics)
    }

    public var parameters: [Parameter] {
        projection.parameters + classToken.parameters + positions.parameters
            + blocks.flatMap(\.parameters) + finalNorm.parameters + output.parameters
    }

    public var tensorPlan: [TensorSplit] {
        blocks.flatMap(TensorSplit.block)
    }

    /// `patches` [B, N, channels · patch · patch], a patch's numbers as the weight of a convolution has them.
    public func begin(_ input: ModelInput, _ pass: Pass) -> Tensor {
        let every = pass.withAllTokens
        let patches = input["patches"].converted(to: projection.weight.leaf.value.dtype)
        let count = patches.shape[0]
        let first = Tensor(integers: [Int32](repeating: 0, count: count), shape: [count, 1])
        // [B, 1 + N, width]
        let tokens = concatenate(
            classToken(first, every), projection(patches, every), tape: pass.tape)
        let places = pass.positions(sequences: count, tokens: configuration.positions)
        let x = add(tokens, positions(places, every), tape: pass.tape)
        return dropout(pass.scatter(x, numerics), pass)
    }

    public func visibility(of input: ModelInput) -> AttentionVisibility {
        AttentionVisibility(causal: false)
    }

    public func end(_ value: Tensor, _ input: ModelInput, _ pass: Pass) -> Tensor {
        finalNorm(pass.selectFirst(of: value, numerics), pass.withAllTokens)  // [B, 1, width]
    }
}

extension ViTConfiguration {
    fileprivate func block(
        _ name: String, _ numerics: Numerics, _ recompute: Recompute
    ) -> TransformerBlock<LayerNorm, FeedForward> {
        func norm(_ part: String) -> LayerNorm {
            LayerNorm(
                "\(name).\(part)", width: width, epsilon: Float(epsilon), numerics: numerics)
        }
        var options = SelfAttention.Options()
        (options.projectionName, options.outputName) = ("attention.qkv", "output.dense")
        options.projectionBias = attentionBias
        return TransformerBlock(
            attentionNorm: norm("layernorm_before"),
            attention: SelfAttention(
                "\(name).attention", width: width, heads: heads, keyHeads: heads,
                options: options, dropout: Float(dropout), deviation: 0.02,
                residualDeviation: 0.02, numerics: numerics),
            feedForwardNorm: norm("layernorm_after"),
            feedForward: FeedForward(
                name, names: ("intermediate.dense", "output.dense"), width: width, inner: inner,
                activation: activation, dropout: Float(dropout), deviation: 0.02,
                residualDeviation: 0.02, numerics: numerics),
            recompute: recompute)
    }
}
