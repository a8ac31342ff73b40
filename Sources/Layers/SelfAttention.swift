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
    private let scoreDropout: Dropout
    private let outputDropout: Dropout

    /// - Parameters:
    ///   - heads: query heads; `keyHeads` divides it (grouped heads; equal: multi-head).
    ///   - residualDeviation: of the output weight, which writes to the residual stream.
    public init(
        _ name: String, width: Int, heads: Int, keyHeads: Int, dropout: Float, deviation: Float,
        residualDeviation: Float, numerics: Numerics
    ) {
        precondition(
            width % heads == 0 && heads % keyHeads == 0,
            "SelfAttention: \(heads) heads, \(keyHeads) key heads in a width of \(width)")
        headDimension = width / heads
        let queries = ShardSpec.Segment(units: heads, unitSize: headDimension)
        let keys = ShardSpec.Segment(units: keyHeads, unitSize: headDimension)
        projection = Linear(
            "\(name).c_attn", inputs: width, outputs: queries.extent + 2 * keys.extent,
            split: .outputs([queries, keys, keys]), deviation: deviation, numerics: numerics)
        output = Linear(
            "\(name).c_proj", inputs: width, outputs: width, split: .inputs([queries]),
            deviation: residualDeviation, numerics: numerics)
        scoreDropout = Dropout("\(name).scores", rate: dropout)
        outputDropout = Dropout("\(name).dropout", rate: dropout)
    }

    public var parameters: [Parameter] { projection.parameters + output.parameters }

    /// x, residual [sequences, tokens, width] → the same shape.
    public func callAsFunction(
        _ x: Tensor, residual: Tensor, visibility: AttentionVisibility, _ pass: Pass
    ) -> Tensor {
        let fused = projection(x, pass)  // [B, T, q₀k₀v₀ q₁k₁v₁ …]
        let heads = localHeads
        let mixed = attention(
            query: AttentionOperand(fused, headOffsets: heads.offsets[0]),
            key: AttentionOperand(fused, headOffsets: heads.offsets[1]),
            value: AttentionOperand(fused, headOffsets: heads.offsets[2]),
            headDimension: headDimension, scale: 1 / Float(headDimension).squareRoot(),
            visibility: visibility, dropout: scoreDropout(heads: heads.queries, pass),
            tape: pass.tape)
        return output(mixed, pass, dropout: outputDropout, residual: residual)
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
