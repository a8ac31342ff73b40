import Kernels
import Tensors

/// Multi-head self-attention with one fused projection: residual + dropout(W_o·heads + b_o)
/// (Vaswani et al. 2017, section 3.2.2), with grouped heads, normalised heads and rotary positions where a
/// family has them. Whole heads may lie on several ranks; how many are here follows from the projection's
/// slices.
public struct SelfAttention: Layer {
    /// [q | k | v] of all heads, slice-major in memory.
    public let projection: Linear
    public let output: Linear
    public let headDimension: Int
    /// Of each head of q, and of each of k.
    public let norms: (query: HeadNorm, key: HeadNorm)?
    public let rotary: Rotary?
    private let name: String
    private let scoreDropout: Dropout
    private let outputDropout: Dropout

    /// What differs between families; the defaults are GPT-2's.
    public struct Options {
        /// Of the two weights, after the layer's own name.
        public var projectionName = "c_attn"
        public var outputName = "c_proj"
        /// nil: width/heads.
        public var headDimension: Int?
        /// Biases of q, k and v, and of the output.
        public var projectionBias = true
        public var outputBias = true
        /// Turns q and k by their positions.
        public var rotary: Rotary?
        /// ε of a norm over each head of q and of k, before the rotation; nil: no norm.
        public var headNormEpsilon: Float?
        /// Of their gains, after the layer's own name.
        public var queryNormName = "q_norm"
        public var keyNormName = "k_norm"

        public init() {}
    }

    /// - Parameters:
    ///   - heads: query heads; `keyHeads` divides it (grouped heads; equal: multi-head).
    ///   - residualDeviation: of the output weight, which writes to the residual stream.
    public init(
        _ name: String, width: Int, heads: Int, keyHeads: Int, options: Options = Options(),
        dropout: Float, deviation: Float, residualDeviation: Float, numerics: Numerics
    ) {
        precondition(
            (options.headDimension != nil || width % heads == 0) && heads % keyHeads == 0,
            "SelfAttention: \(heads) heads, \(keyHeads) key heads in a width of \(width)")
        self.name = name
        headDimension = options.headDimension ?? width / heads
        let queries = ShardSpec.Segment(units: heads, unitSize: headDimension)
        let keys = ShardSpec.Segment(units: keyHeads, unitSize: headDimension)
        projection = Linear(
            "\(name).\(options.projectionName)", inputs: width,
            outputs: queries.extent + 2 * keys.extent, split: .outputs([queries, keys, keys]),
            bias: options.projectionBias, deviation: deviation, numerics: numerics)
        output = Linear(
            "\(name).\(options.outputName)", inputs: queries.extent, outputs: width,
            split: .inputs([queries]), bias: options.outputBias, deviation: residualDeviation,
            numerics: numerics)
        let dimension = headDimension
        norms = options.headNormEpsilon.map {
            (
                HeadNorm("\(name).\(options.queryNormName)", headDimension: dimension, epsilon: $0),
                HeadNorm("\(name).\(options.keyNormName)", headDimension: dimension, epsilon: $0)
            )
        }
        rotary = options.rotary
        scoreDropout = Dropout("\(name).scores", rate: dropout)
        outputDropout = Dropout("\(name).dropout", rate: dropout)
    }

    public var parameters: [Parameter] {
        projection.parameters + (norms.map { [$0.query.gain, $0.key.gain] } ?? [])
            + output.parameters
    }

    /// x, residual [sequences, tokens, width] → the same shape. With a cache in `pass`, the tokens follow those that
    /// it has, and join them.
    public func callAsFunction(
        _ x: Tensor, residual: Tensor, visibility: AttentionVisibility, _ pass: Pass
    ) -> Tensor {
        var fused = projection(x, pass)  // [B, T, q₀k₀v₀ q₁k₁v₁ …]
        let heads = HeadPlaces(of: projection.weight, headDimension: headDimension)
        if let norms {
            fused = headNorm(
                fused, [norms.query.heads(heads.offsets[0]), norms.key.heads(heads.offsets[1])],
                headDimension: headDimension, sum: projection.weight.slices.sum, tape: pass.tape)
        }
        let offsets = heads.offsets.indices.map { heads.flat($0) }
        if let rotary {
            fused = rotary(
                fused, headOffsets: offsets[0] + offsets[1], starts: pass.cache?.lengths, pass)
        }
        var visibility = visibility
        var key = AttentionOperand(fused, headOffsets: offsets[1])
        var value = AttentionOperand(fused, headOffsets: offsets[2])
        if let cache = pass.cache {
            visibility = visibility.following(cache.lengths)
            (key, value) = cache.append(
                name, key: key, value: value, headDimension: headDimension)
        }
        let mixed = attention(
            query: AttentionOperand(fused, headOffsets: offsets[0]), key: key, value: value,
            headDimension: headDimension, scale: 1 / Float(headDimension).squareRoot(),
            visibility: visibility,
            segments: pass.documents.map {
                AttentionSegments(queries: $0.segments, keys: $0.segments)
            },
            dropout: scoreDropout.probabilities(
                heads: heads.numbers, of: projection.weight.spec.segments[0].units, pass),
            tape: pass.tape)
        return output(mixed, pass, dropout: outputDropout, residual: residual)
    }
}

/// Normalisation of each head by its root mean square (Qwen3; Henry et al. 2020 for the norm of q and k).
public struct HeadNorm {
    /// [head dimension], replicated.
    public let gain: Parameter
    public let epsilon: Float

    init(_ name: String, headDimension: Int, epsilon: Float) {
        gain = Parameter(
            "\(name).weight", ShardSpec(replicated: [headDimension]), initializer: .ones)
        self.epsilon = epsilon
    }

    func heads(_ offsets: [[Int]]) -> NormalisedHeads {
        NormalisedHeads(gain: gain.leaf, epsilon: epsilon, offsets: offsets)
    }
}
