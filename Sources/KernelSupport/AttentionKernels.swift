// The kernels of attention, whose arguments `Attention.swift` describes, and the turning of positions.

/// How many rows and vectors of a product are held in registers at once.
package enum AttentionTile: CaseIterable, Sendable {
    /// 4 rows of 4 vectors: for 32 registers of 16 floats.
    case wide
    /// 6 rows of 1 vector: for 16 registers of 8 floats, two to a vector.
    case tall
}

/// The left factor: element (row, k) at pointer[row·rowStride + k·innerStride].
@usableFromInline package struct Broadcast {
    @usableFromInline package let pointer: UnsafePointer<Float>
    @usableFromInline package let rowStride: Int
    @usableFromInline package let innerStride: Int

    @inlinable package init(_ pointer: UnsafePointer<Float>, rowStride: Int, innerStride: Int = 1) {
        self.pointer = pointer
        self.rowStride = rowStride
        self.innerStride = innerStride
    }

    @inlinable
    package func dropping(rows: Int) -> Broadcast {
        Broadcast(pointer + rows * rowStride, rowStride: rowStride, innerStride: innerStride)
    }
}

/// The right factor: the 16 elements of vector v in row k at pointer[v·vectorStride + k·innerStride]….
@usableFromInline package struct Columns {
    @usableFromInline package let pointer: UnsafePointer<Float>
    @usableFromInline package let innerStride: Int
    @usableFromInline package let vectorStride: Int

    @inlinable package init(
        _ pointer: UnsafePointer<Float>, innerStride: Int, vectorStride: Int = 16
    ) {
        self.pointer = pointer
        self.innerStride = innerStride
        self.vectorStride = vectorStride
    }

    @inlinable
    package func dropping(vectors: Int) -> Columns {
        Columns(
            pointer + vectors * vectorStride, innerStride: innerStride, vectorStride: vectorStride)
    }
}

/// Which features make a pair: with d rotated features, for 0 ≤ i < d/2.
public enum RotaryPairs: String, Hashable, Sendable, CaseIterable {
    /// i and i + d/2, as Hugging Face stores them.
    case half
    /// 2i and 2i + 1, as the paper has them.
    case interleaved
}

/// Attention and its parts.
package protocol AttentionKernels: Sendable {
    /// Gradients of `attentionForward`, from the same inputs, its output and its `logSumExp`.
    ///
    /// Every row of a gradient is overwritten, with zeros where it was hidden; nil gradients are not computed.
    /// The bias gradient, where wanted, is Float32, the sum over the sequences in order.
    /// - Parameters:
    ///   - output, outputGradient, queryGradient: views with `queryHeads` heads; `output` and
    ///     `outputGradient` are stored alike.
    ///   - keyGradient, valueGradient: views with `keyHeads` heads.
    static func attentionBackward(
        _ g: AttentionGeometry, query: HeadView, key: HeadView, value: HeadView,
        mask: AttentionMask,
        bias: AttentionBias?, dropout: AttentionDropout?, output: HeadView,
        outputGradient: HeadView,
        logSumExp: UnsafePointer<Float>, queryGradient: HeadView?, keyGradient: HeadView?,
        valueGradient: HeadView?
    )

    /// output = (softmax(scale·q·kᵀ + bias, hidden pairs −∞) ∘ dropout)·v.
    ///
    /// A row's result does not depend on which rows are computed with it: one query with its offset gives
    /// the bits of the full pass. A query that sees no key gives zeros. Scores, probabilities and sums are
    /// Float32 whatever the elements are stored in.
    /// - Parameters:
    ///   - query, output: views with `queryHeads` heads; `key`, `value`: with `keyHeads`; all stored alike.
    ///   - logSumExp: `[batch × queryHeads × queryLength]`, ln Σ exp(score), −∞ where nothing is visible;
    ///     saved for the backward pass, nil where there is none.
    static func attentionForward(
        _ g: AttentionGeometry, query: HeadView, key: HeadView, value: HeadView,
        mask: AttentionMask,
        bias: AttentionBias?, dropout: AttentionDropout?, into output: HeadView,
        logSumExp: UnsafeMutablePointer<Float>?
    )

    /// c[rows, 16·vectors] = a[rows, inner]·b[inner, 16·vectors], added to c where `accumulate`; row r of c
    /// begins at c[r·stride]. `rows` is a multiple of 4.
    static func multiplyRows(
        _ a: Broadcast, rows: Int, _ b: Columns, vectors: Int, inner: Int,
        into c: UnsafeMutablePointer<Float>, stride: Int, accumulate: Bool,
        tile: AttentionTile?
    )

    /// Turns `2·pairs` features at each head's offset in place.
    ///
    /// - Parameters:
    ///   - x: `[rows × stride]`; other features are left alone.
    ///   - headOffsets: where in a row each head's rotated features begin.
    ///   - cosines, sines: `[positions × pairs]`.
    ///   - positions: of each row, within the table.
    ///   - backwards: by −φ.
    static func rotate(
        _ x: Elements, rows: Int, stride: Int, headOffsets: [Int], arrangement: RotaryPairs,
        pairs: Int, cosines: UnsafePointer<Float>, sines: UnsafePointer<Float>,
        positions: UnsafePointer<Int32>, backwards: Bool
    )
}

// The requirements with default arguments, which a requirement cannot have.
extension AttentionKernels {
    package static func multiplyRows(
        _ a: Broadcast, rows: Int, _ b: Columns, vectors: Int, inner: Int,
        into c: UnsafeMutablePointer<Float>, stride: Int, accumulate: Bool,
        tile: AttentionTile? = nil
    ) {
        multiplyRows(
            a, rows: rows, b, vectors: vectors, inner: inner, into: c, stride: stride,
            accumulate: accumulate, tile: tile)
    }
}
