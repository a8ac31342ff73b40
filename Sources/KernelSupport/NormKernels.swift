// Layer normalisation, and that by the root mean square; the formulas stand in `VectorKernels/LayerNorm.swift` and
// `RMSNorm.swift`.

/// Runs of elements that are normalised each by itself: in every row of a matrix, one at each offset.
package struct NormalisedRuns {
    /// Elements from a row to the next.
    package let stride: Int
    /// Where in a row a run begins.
    package let offsets: [Int]

    package init(stride: Int, offsets: [Int]) {
        (self.stride, self.offsets) = (stride, offsets)
    }

    /// Whole rows.
    package init(width: Int) { self.init(stride: width, offsets: [0]) }
}

/// The runs whose terms of the gain's gradient make one partial sum: those of some rows at some offsets.
package struct NormalisedSlice {
    package let rows: Range<Int>
    /// Places in the list of offsets.
    package let offsets: Range<Int>

    package init(rows: Range<Int>, offsets: Range<Int>) {
        (self.rows, self.offsets) = (rows, offsets)
    }
}

/// Normalisations and their gradients.
package protocol NormKernels: Sendable {
    /// y = (x − mean)·rstd·gain + bias for each row; keeps mean and rstd for the backward pass.
    ///
    /// - Parameters:
    ///   - x: `[rows × width]`, with gain, bias and y of one type.
    ///   - gain: `[width]`; `bias`: `[width]`, or nil for none.
    ///   - y: `[rows × width]`, may be `x`.
    ///   - means: `[rows]`, overwritten; `reciprocalDeviations`: 1/√(variance + epsilon), `[rows]`.
    static func layerNorm(
        _ x: Elements, gain: Elements, bias: Elements?, into y: Elements,
        means: UnsafeMutablePointer<Float>, reciprocalDeviations: UnsafeMutablePointer<Float>,
        rows: Int, width: Int, epsilon: Float
    )

    /// Gradients of `layerNorm` with respect to its input, gain and bias.
    ///
    /// The gradients of gain and bias are sums over tokens and so come as one partial sum a token slice,
    /// which the caller adds as a tree (numerics: reductions over tokens).
    /// - Parameters:
    ///   - gradient: dy, `[rows × width]`, with x, gain and dx of one type.
    ///   - dx: `[rows × width]`, overwritten, may be `gradient`.
    ///   - gainPartials, biasPartials: `[slices × width]`, overwritten, zeros for an empty slice; nil
    ///     where no gradient is wanted.
    ///   - tokenSlices: the canonical slices, which follow each other and cover all rows.
    static func layerNormBackward(
        gradient dy: Elements, _ x: Elements, gain: Elements,
        means: UnsafePointer<Float>, reciprocalDeviations: UnsafePointer<Float>,
        into dx: Elements, gainPartials: UnsafeMutablePointer<Float>?,
        biasPartials: UnsafeMutablePointer<Float>?, rows: Int, width: Int, tokenSlices: [Range<Int>]
    )

    /// y = x·ρ·gain for each run, rounded once; keeps ρ for the backward pass.
    ///
    /// - Parameters:
    ///   - x: `[rows × stride]`, with gain and y of one type; what is in no run is not read.
    ///   - gain: `[width]`.
    ///   - y: laid out as x; may be `x`.
    ///   - reciprocals: ρ, `[rows × offsets]`, overwritten.
    static func rmsNorm(
        _ x: Elements, runs: NormalisedRuns, gain: Elements, into y: Elements,
        reciprocals: UnsafeMutablePointer<Float>, rows: Int, width: Int, epsilon: Float
    )

    /// Gradients of `rmsNorm` with respect to its input and gain.
    ///
    /// The gain's comes as one partial sum a slice, which the caller adds as a tree. Within a slice rows are cut
    /// into blocks of 64; a block's runs are added row by row, in a row by offset, and the blocks in order.
    /// - Parameters:
    ///   - gradient: dy, laid out as x, with x, gain and dx of one type.
    ///   - dx: the runs overwritten, what is in none left alone; may be `gradient`.
    ///   - gainPartials: `[slices × width]`, overwritten, zeros for an empty slice; nil where no gradient is
    ///     wanted.
    ///   - slices: every run is in exactly one.
    static func rmsNormBackward(
        gradient dy: Elements, _ x: Elements, runs: NormalisedRuns, gain: Elements,
        reciprocals: UnsafePointer<Float>, into dx: Elements,
        gainPartials: UnsafeMutablePointer<Float>?, rows: Int, width: Int, slices: [NormalisedSlice]
    )
}
