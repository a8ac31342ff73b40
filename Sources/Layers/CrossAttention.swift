import Kernels
import Tensors

/// Multi-head attention whose queries are of one sequence and whose keys and values are of another, the *memory* that an
/// encoder has made: residual + dropout(W_o·heads + b_o) (Vaswani et al. 2017, section 3.2.3). Whole heads may lie on
/// several ranks.
public struct CrossAttention: Layer {
    public let query: Linear
    /// [k | v] of all heads, slice-major in memory.
    public let keyValue: Linear
    public let output: Linear
    public let headDimension: Int
    private let name: String
    private let scoreDropout: Dropout
    private let outputDropout: Dropout

    /// - Parameters:
    ///   - names: of the three weights, after the layer's own name.
    ///   - residualDeviation: of the output weight, which writes to the residual stream.
    public init(
        _ name: String, names: (query: String, keyValue: String, output: String), width: Int,
        heads: Int, dropout: Float, deviation: Float, residualDeviation: Float, numerics: Numerics
    ) {
        precondition(
            width % heads == 0, "CrossAttention: \(heads) heads in a width of \(width)")
        self.name = name
        headDimension = width / heads
        let segment = ShardSpec.Segment(units: heads, unitSize: headDimension)
        query = Linear(
            "\(name).\(names.query)", inputs: width, outputs: width, split: .outputs([segment]),
            deviation: deviation, numerics: numerics)
        keyValue = Linear(
            "\(name).\(names.keyValue)", inputs: width, outputs: 2 * width,
            split: .outputs([segment, segment]), deviation: deviation, numerics: numerics)
        output = Linear(
            "\(name).\(names.output)", inputs: width, outputs: width, split: .inputs([segment]),
            deviation: residualDeviation, numerics: numerics)
        scoreDropout = Dropout("\(name).scores", rate: dropout)
        outputDropout = Dropout("\(name).dropout", rate: dropout)
    }

    public var parameters: [Parameter] {
        query.parameters + keyValue.parameters + output.parameters
    }

    /// x, residual [sequences, tokens, width] → the same shape. With a cache in `pass`, keys and values of the memory are
    /// made once, and several texts that follow each other may look at one.
    ///
    /// - Parameters:
    ///   - memory: [sources, source tokens, width]; not looked at where the cache has what it needs.
    ///   - visibility: which of its tokens exist.
    public func callAsFunction(
        _ x: Tensor, residual: Tensor, memory: Tensor, visibility: AttentionVisibility,
        _ pass: Pass
    ) -> Tensor {
        let queries = query(x, pass)  // [B, T, q₀q₁ …]
        let held =
            pass.cache?.memory(name) { keyValue(memory, Pass()) }
            ?? keyValue(memory, pass)  // [B, S, k₀v₀ k₁v₁ …]
        let own = HeadPlaces(of: query.weight, headDimension: headDimension)
        let places = HeadPlaces(of: keyValue.weight, headDimension: headDimension)
        let sources = held.shape[0]
        let mixed = attention(
            query: AttentionOperand(
                pass.cache == nil ? queries : queries.grouped(into: sources),
                headOffsets: own.flat(0)),
            key: AttentionOperand(held, headOffsets: places.flat(0)),
            value: AttentionOperand(held, headOffsets: places.flat(1)),
            headDimension: headDimension, scale: 1 / Float(headDimension).squareRoot(),
            visibility: visibility,
            dropout: scoreDropout.probabilities(
                heads: own.numbers, of: query.weight.spec.segments[0].units, pass),
            tape: pass.tape)
        return output(
            pass.cache == nil ? mixed : mixed.grouped(into: x.shape[0]), pass,
            dropout: outputDropout, residual: residual)
    }
}

extension Tensor {
    /// The same rows in so many groups: [groups, tokens of a group, width].
    fileprivate func grouped(into groups: Int) -> Tensor {
        Tensor(buffer: buffer, shape: [groups, shape.rows / groups, shape.width])
    }
}
