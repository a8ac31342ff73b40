import Kernels
import Tensors

/// Multi-head self-attention with one fused projection: residual + dropout(W_o·heads + b_o)
/// (Vaswani et al. 2017, section 3.2.2). Whole heads may lie on several ranks; how many are here follows
/// from the projection's slices.
public struct SelfAttention: Layer {
    /// [q | k | v] of all heads, slice-major in memory.
    public let projection: Linear
    public let output: Linear
    public let headDimension: Int
    private let name: String
    private let rotary: RotaryPositions?
    private let scoreDropout: Dropout
    private let outputDropout: Dropout

    /// - Parameters:
    ///   - names: of the two projections, below `name`.
    ///   - heads: query heads; `keyHeads` divides it (grouped heads: Ainslie et al. 2023; equal: multi-head).
    ///   - headDimension: nil: the width shared out over the heads.
    ///   - rotary: turns queries and keys; nil: positions come from elsewhere.
    ///   - residualDeviation: of the output weight, which writes to the residual stream.
    public init(
        _ name: String, names: (projection: String, output: String) = ("c_attn", "c_proj"),
        width: Int, heads: Int, keyHeads: Int, headDimension: Int? = nil,
        bias: (projection: Bool, output: Bool) = (true, true), rotary: RotaryPositions? = nil,
        dropout: Float, deviation: Float, residualDeviation: Float, numerics: Numerics
    ) {
        precondition(
            (headDimension != nil || width % heads == 0) && heads % keyHeads == 0,
            "SelfAttention: \(heads) heads, \(keyHeads) key heads in a width of \(width)")
        (self.name, self.rotary) = (name, rotary)
        let dimension = headDimension ?? width / heads
        self.headDimension = dimension
        let queries = ShardSpec.Segment(units: heads, unitSize: dimension)
        let keys = ShardSpec.Segment(units: keyHeads, unitSize: dimension)
        projection = Linear(
            "\(name).\(names.projection)", inputs: width,
            outputs: queries.extent + 2 * keys.extent, split: .outputs([queries, keys, keys]),
            bias: bias.projection, deviation: deviation, numerics: numerics)
        output = Linear(
            "\(name).\(names.output)", inputs: queries.extent, outputs: width,
            split: .inputs([queries]), bias: bias.output, deviation: residualDeviation,
            numerics: numerics)
        scoreDropout = Dropout("\(name).scores", rate: dropout)
        outputDropout = Dropout("\(name).dropout", rate: dropout)
    }

    public var parameters: [Parameter] { projection.parameters + output.parameters }

    /// x, residual [sequences, tokens, width] → the same shape. With a cache in `pass`, the tokens follow those that
    /// it has, and join them.
    public func callAsFunction(
        _ x: Tensor, residual: Tensor, visibility: AttentionVisibility, _ pass: Pass
    ) -> Tensor {
        let heads = localHeads
        var fused = projection(x, pass)  // [B, T, q₀k₀v₀ q₁k₁v₁ …]
        if let rotary { fused = turned(fused, heads.offsets[0] + heads.offsets[1], rotary, pass) }
        var visibility = visibility
        var key = AttentionOperand(fused, headOffsets: heads.offsets[1])
        var value = AttentionOperand(fused, headOffsets: heads.offsets[2])
        if let cache = pass.cache {
            visibility = visibility.following(cache.lengths)
            (key, value) = cache.append(
                name, key: key, value: value, headDimension: headDimension)
        }
        let mixed = attention(
            query: AttentionOperand(fused, headOffsets: heads.offsets[0]), key: key, value: value,
            headDimension: headDimension, scale: 1 / Float(headDimension).squareRoot(),
            visibility: visibility, dropout: scoreDropout(heads: heads.queries, pass),
            tape: pass.tape)
        return output(mixed, pass, dropout: outputDropout, residual: residual)
    }

    private func turned(
        _ fused: Tensor, _ offsets: [Int], _ rotary: RotaryPositions, _ pass: Pass
    ) -> Tensor {
        let tokens = fused.shape[1]
        let count = pass.cache?.positionLimit(tokens) ?? tokens
        return Tensors.rotary(
            fused, headOffsets: offsets, table: rotary.table(positions: count),
            starts: pass.cache?.lengths, tape: pass.tape)
    }

    /// The query heads held here, by global number, and where in a token's row the q, k and v of each
    /// head lie.
    private var localHeads: (queries: [Int], offsets: [[Int]]) {
        let spec = projection.weight.spec
        let local = projection.weight.slices.sum.localSlices
        var offsets: [[Int]] = [[], [], []]
        var queries: [Int] = []
        var position = 0
        for slice in local {
            for (segment, layout) in spec.segments.enumerated() {
                let heads =
                    slice * layout.units / spec.sliceCount..<(slice + 1) * layout.units
                    / spec.sliceCount
                if segment == 0 { queries += heads }
                for _ in heads {
                    offsets[segment].append(position)
                    position += headDimension
                }
            }
        }
        return (queries, offsets)
    }

    private func scoreDropout(heads: [Int], _ pass: Pass) -> AttentionDropout? {
        guard let randomness = pass.randomness, scoreDropout.rate > 0 else { return nil }
        return AttentionDropout(
            rate: scoreDropout.rate, seed: randomness.seed,
            stream: randomness.stream(site: scoreDropout.site),
            firstSequence: randomness.firstSequence, heads: heads,
            globalHeadCount: projection.weight.spec.segments[0].units)
    }
}
