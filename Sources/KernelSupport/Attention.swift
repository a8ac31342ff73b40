// Scaled dot-product attention (Vaswani et al., 2017), described by values: where heads lie in memory,
// which keys a query sees, what is added to the scores, what is dropped.
//
//   s = scale·q·kᵀ + bias, hidden pairs −∞;  p = softmax(s);  output = (p ∘ dropout)·v

/// Where the heads of a batch lie: element (b, h, t, d) at base + b·batchStride + t·rowStride +
/// headOffsets[h] + d, so that fused projections and caches are used where they are.
package struct HeadView {
    package let base: Elements
    package let batchStride: Int
    package let rowStride: Int
    package let headOffsets: [Int]

    /// A view of heads; strides and offsets count elements.
    package init(_ base: Elements, batchStride: Int, rowStride: Int, headOffsets: [Int]) {
        self.base = base
        self.batchStride = batchStride
        self.rowStride = rowStride
        self.headOffsets = headOffsets
    }
}

/// The sizes of an attention. `keyHeads` divides `queryHeads`: query head h reads key head
/// h / (queryHeads / keyHeads) (grouped-query attention, Ainslie et al., 2023).
package struct AttentionGeometry {
    package let batch: Int
    package let queryHeads: Int
    package let keyHeads: Int
    package let queryLength: Int
    package let keyLength: Int
    package let headDimension: Int
    package let scale: Float

    /// `scale` multiplies the scores: 1/√headDimension as a rule.
    package init(
        batch: Int, queryHeads: Int, keyHeads: Int, queryLength: Int, keyLength: Int,
        headDimension: Int, scale: Float
    ) {
        precondition(
            keyHeads > 0 && queryHeads % keyHeads == 0,
            "AttentionGeometry: key heads that divide the query heads expected, "
                + "found \(queryHeads) query heads and \(keyHeads) key heads")
        self.batch = batch
        self.queryHeads = queryHeads
        self.keyHeads = keyHeads
        self.queryLength = queryLength
        self.keyLength = keyLength
        self.headDimension = headDimension
        self.scale = scale
    }

    /// Query heads that share a key head.
    package var groupSize: Int { queryHeads / keyHeads }
}

/// Which keys a query sees: those that every given condition lets through.
package struct AttentionMask {
    package let causal: Bool
    private let queryOffset: Int
    private let queryOffsets: [Int]?
    package let window: Int?
    package let keyRanges: [Range<Int>]?
    package let querySegments: UnsafePointer<Int32>?
    package let keySegments: UnsafePointer<Int32>?

    /// A mask; without arguments every query sees every key.
    ///
    /// - Parameters:
    ///   - causal: a query at position p sees the keys j ≤ p.
    ///   - queryOffset: query t stands at position p = t + queryOffset among the keys.
    ///   - queryOffsets: the same of each sequence, where they differ.
    ///   - window: a query at position p sees the keys p − window < j ≤ p.
    ///   - keyRanges: the keys that are there, one range a sequence (padding).
    ///   - querySegments, keySegments: ids `[batch × queryLength]`, `[batch × keyLength]`, both or
    ///     neither; a query sees the keys of its own id.
    package init(
        causal: Bool = false, queryOffset: Int = 0, queryOffsets: [Int]? = nil, window: Int? = nil,
        keyRanges: [Range<Int>]? = nil, querySegments: UnsafePointer<Int32>? = nil,
        keySegments: UnsafePointer<Int32>? = nil
    ) {
        precondition(
            (querySegments == nil) == (keySegments == nil),
            "AttentionMask: segments of queries and of keys expected together, found one of them")
        self.causal = causal
        (self.queryOffset, self.queryOffsets) = (queryOffset, queryOffsets)
        self.window = window
        self.keyRanges = keyRanges
        self.querySegments = querySegments
        self.keySegments = keySegments
    }

    package func queryOffset(sequence: Int) -> Int { queryOffsets?[sequence] ?? queryOffset }
}

/// Values added to the scaled scores, one for each (head, query, key), the same for all sequences (relative
/// position biases, Raffel et al., 2020).
package struct AttentionBias {
    package let values: Elements
    package let gradient: UnsafeMutablePointer<Float>?

    /// `values` and `gradient` are `[queryHeads × queryLength × keyLength]`; the backward pass overwrites
    /// `gradient` with the sum over the sequences in order.
    package init(values: Elements, gradient: UnsafeMutablePointer<Float>? = nil) {
        self.values = values
        self.gradient = gradient
    }
}

/// Dropout of attention probabilities, a pure function of the global position of each.
///
/// The pair (query position p, key j) of global head h in global sequence n takes the random word at
/// index (n·globalHeadCount + h)·2⁴⁰ + (p mod 2²⁰)·2²⁰ + j of the stream, p being t + queryOffset. Beyond
/// the two limits words are taken twice, so that configurations with dropout are held to them.
public struct AttentionDropout {
    /// Positions of a sequence, at most.
    public static let positionLimit = 1 << 20
    /// Sequences of a step times heads, at most.
    public static let pairLimit = 1 << 24

    package let rate: Float
    package let stream: RandomStream
    package let firstSequence: Int
    package let heads: [Int]
    package let globalHeadCount: Int

    /// - Parameters:
    ///   - firstSequence: global number of the batch's first sequence.
    ///   - heads: global number of each local query head.
    package init(
        rate: Float, seed: UInt64, stream: UInt64, firstSequence: Int, heads: [Int],
        globalHeadCount: Int
    ) {
        self.rate = rate
        self.stream = RandomStream(seed: seed, stream: stream)
        self.firstSequence = firstSequence
        self.heads = heads
        self.globalHeadCount = globalHeadCount
    }

    /// The index of the pair (`position`, key 0).
    package func firstIndex(sequence: Int, head: Int, position: Int) -> UInt64 {
        let pair = (firstSequence + sequence) * globalHeadCount + heads[head]
        return UInt64(pair) << 40 | (UInt64(truncatingIfNeeded: position) & 0xF_FFFF) << 20
    }
}
