import Kernels

/// Where the heads of queries, keys or values lie in a tensor [batch, length, width]: head h of token t
/// is elements `headOffsets[h]` ..< `headOffsets[h]` + head dimension of the token's row. One projection
/// may hold all three, and a fused one that is slice-major too.
public struct AttentionOperand {
    public let tensor: Tensor
    public let headOffsets: [Int]
    /// Tokens of each sequence that are looked at, from the first; a cache has room for more.
    let length: Int

    /// - Parameter length: nil: all tokens that the tensor has.
    public init(_ tensor: Tensor, headOffsets: [Int], length: Int? = nil) {
        precondition(
            tensor.shape.rank == 3,
            "attention: expected [batch, length, width], got \(tensor.shape)")
        (self.tensor, self.headOffsets) = (tensor, headOffsets)
        self.length = length ?? tensor.shape[1]
        precondition(
            self.length <= tensor.shape[1],
            "attention: \(self.length) tokens of a tensor \(tensor.shape)")
    }

    func view(of tensor: Tensor) -> HeadView {
        HeadView(
            tensor.elements, batchStride: tensor.shape[1] * tensor.shape[2],
            rowStride: tensor.shape[2], headOffsets: headOffsets)
    }
}

/// Which keys a query sees, as a description: no mask is ever a tensor.
public struct AttentionVisibility: Sendable {
    /// A query sees no key after its own position.
    public var causal: Bool
    /// The position of query 0 among the keys.
    public var queryOffset = 0
    /// The same of each sequence, where they differ.
    public var queryOffsets: [Int]?
    /// Only the last so many keys up to the query's own position: key j is visible to query i where
    /// 0 ≤ i − j < `window` (Mistral's sliding window).
    public var window: Int?
    /// The keys that exist, one range a sequence (padding).
    public var keyRanges: [Range<Int>]?

    public init(
        causal: Bool, queryOffset: Int = 0, window: Int? = nil, keyRanges: [Range<Int>]? = nil
    ) {
        (self.causal, self.queryOffset, self.window, self.keyRanges) =
            (causal, queryOffset, window, keyRanges)
    }

    /// The same for queries that follow so many keys of each sequence.
    public func following(_ counts: [Int]) -> AttentionVisibility {
        var visibility = self
        visibility.queryOffsets = counts
        return visibility
    }
}

/// Which tokens are of one document: a query sees only keys of its own segment.
public struct AttentionSegments {
    /// Int32 [batch, query length] and [batch, key length].
    public let queries: Tensor
    public let keys: Tensor

    public init(queries: Tensor, keys: Tensor) { (self.queries, self.keys) = (queries, keys) }
}

/// Scaled dot-product attention (Vaswani et al. 2017, eq. 1), softmax(scale·q·kᵀ + bias)·v, head by head.
///
/// - Parameters:
///   - query: Hq heads; key, value: Hkv heads, of which Hq is a multiple: query head h reads head
///     h·Hkv/Hq (grouped heads).
///   - bias: optional [Hq, query length, key length], added to the scaled scores (T5); a leaf.
///   - dropout: on the probabilities.
/// - Returns: [batch, query length, Hq·head dimension], heads in order.
///
/// The scores are made block by block and again in the backward pass (Dao et al. 2022). Saved: the
/// operands, the output, and each row's log-sum-exp.
public func attention(
    query: AttentionOperand, key: AttentionOperand, value: AttentionOperand, headDimension: Int,
    scale: Float, visibility: AttentionVisibility, segments: AttentionSegments? = nil,
    bias: Leaf? = nil, dropout: AttentionDropout? = nil, tape: Tape?
) -> Tensor {
    let span = Trace.begin(.forward)
    defer { span.end() }
    let batch = query.tensor.shape[0]
    let (queryHeads, keyHeads) = (query.headOffsets.count, key.headOffsets.count)
    let geometry = AttentionGeometry(
        batch: batch, queryHeads: queryHeads, keyHeads: keyHeads,
        queryLength: query.length, keyLength: key.length, headDimension: headDimension,
        scale: scale)
    precondition(
        queryHeads % max(1, keyHeads) == 0
            && value.headOffsets.count == keyHeads,
        "attention: \(queryHeads) query, \(keyHeads) key, \(value.headOffsets.count) value heads")
    precondition(
        [key, value].allSatisfy { $0.tensor.dtype == query.tensor.dtype },
        "attention: queries, keys and values of one dtype expected, found \(query.tensor.dtype), "
            + "\(key.tensor.dtype), \(value.tensor.dtype)")
    WorkLog.current?.attend(geometry)
    let mask = AttentionMask(
        causal: visibility.causal, queryOffset: visibility.queryOffset,
        queryOffsets: visibility.queryOffsets, window: visibility.window,
        keyRanges: visibility.keyRanges,
        querySegments: segments.map { UnsafePointer($0.queries.buffer.integers) },
        keySegments: segments.map { UnsafePointer($0.keys.buffer.integers) })
    let output = Tensor(
        uninitialized: [batch, query.length, queryHeads * headDimension],
        dtype: query.tensor.dtype)
    let result = AttentionOperand(
        output, headOffsets: (0..<queryHeads).map { $0 * headDimension })
    let logSumExp = Tensor(uninitialized: [batch, queryHeads, query.length])
    kernels.attentionForward(
        geometry, query: query.view(of: query.tensor), key: key.view(of: key.tensor),
        value: value.view(of: value.tensor), mask: mask,
        bias: bias.map { AttentionBias(values: $0.value.elements, gradient: nil) },
        dropout: dropout,
        into: result.view(of: output), logSumExp: logSumExp.floats)

    let operands = [query, key, value]
    return tape.record(
        output, inputs: operands.map(\.tensor), leaves: bias.map { [$0] } ?? []
    ) { upstream, backward in
        let gradients = OperandGradients(operands, headDimension: headDimension, backward: backward)
        let biasGradient = bias.flatMap { $0.isTrainable ? Tensor(zeros: $0.value.shape) : nil }
        kernels.attentionBackward(
            geometry, query: query.view(of: query.tensor), key: key.view(of: key.tensor),
            value: value.view(of: value.tensor), mask: mask,
            bias: bias.map {
                AttentionBias(values: $0.value.elements, gradient: biasGradient?.floats)
            },
            dropout: dropout, output: result.view(of: output),
            outputGradient: result.view(of: upstream.gradient), logSumExp: logSumExp.floats,
            queryGradient: gradients.view(of: 0), keyGradient: gradients.view(of: 1),
            valueGradient: gradients.view(of: 2))
        withExtendedLifetime(segments) {}
        if let bias, let biasGradient {
            bias.contribute(adding: biasGradient.buffer)
        }
        gradients.hand(to: backward)
    }
}

/// One gradient for each distinct tensor among the operands: a fused projection gets a single one.
private struct OperandGradients {
    private var operands: [AttentionOperand]
    private var distinct: [(tensor: Tensor, gradient: Tensor)] = []

    init(_ operands: [AttentionOperand], headDimension: Int, backward: Backward) {
        self.operands = operands
        for operand in operands where backward.wants(operand.tensor) && index(of: operand) == nil {
            let sharing = operands.filter { $0.tensor.slot == operand.tensor.slot }
            let covered = sharing.reduce(0) { $0 + $1.headOffsets.count * headDimension }
            let shape = operand.tensor.shape
            let gradient =
                covered == shape.width
                ? Tensor(uninitialized: shape, dtype: operand.tensor.dtype)
                : Tensor(zeros: shape, dtype: operand.tensor.dtype)
            distinct.append((operand.tensor, gradient))
        }
    }

    /// nil where the operand is a constant.
    func view(of position: Int) -> HeadView? {
        index(of: operands[position]).map {
            operands[position].view(of: distinct[$0].gradient)
        }
    }

    func hand(to backward: Backward) {
        for (tensor, gradient) in distinct { backward.add(gradient, to: tensor) }
    }

    private func index(of operand: AttentionOperand) -> Int? {
        distinct.firstIndex { $0.tensor.slot == operand.tensor.slot }
    }
}
