// Arithmetic on runs of elements, conversions between stored types, and sums in their one order.

/// Runs of elements. Single-threaded, but for `columnSums`: the caller gives each thread its runs.
package protocol ElementwiseKernels: Sendable {
    /// Sums of the columns of `dy` over each token slice: partials[i, c] = Σ dy[r, c], r in slice i.
    ///
    /// - Parameters:
    ///   - dy: `[rows × width]`, rows `stride` elements apart, of any stored type.
    ///   - partials: `[slices × width]`, overwritten; zeros for an empty slice.
    ///   - tokenSlices: the canonical slices of the rows.
    static func columnSums(
        _ dy: Elements, rows: Int, width: Int, stride: Int,
        into partials: UnsafeMutablePointer<Float>, tokenSlices: [Range<Int>]
    )

    /// out = a + b; `out` may be either operand.
    static func add(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>,
        count: Int
    )

    /// out = copy = a + b; `out` may be either operand.
    static func add(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>,
        and copy: UnsafeMutablePointer<Float>, count: Int
    )

    /// out = a + b, all of one type; `out` may be either operand.
    static func add(_ a: Elements, _ b: Elements, into out: Elements, count: Int)

    /// Copies elements from any type to any, rounded to nearest where the target is the narrower; the two
    /// runs are one or do not overlap, and are one only if the types are the same.
    static func convert(from source: Elements, to target: Elements, count: Int)

    /// The first element that is infinite or not a number, if there is one.
    static func firstNonFinite(_ x: Elements, count: Int) -> Int?

    /// target += source
    static func accumulate(
        _ source: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>, count: Int
    )

    /// x *= factor
    static func scale(_ x: UnsafeMutablePointer<Float>, by factor: Float, count: Int)

    /// Adds `slices` runs, `stride` apart, as a perfect binary tree; the root is `partials[0..<count]`, the
    /// other runs are overwritten. `slices` is a power of two.
    static func treeAdd(
        _ partials: UnsafeMutablePointer<Float>, slices: Int, stride: Int, count: Int
    )

    /// Σ x² in Float64, in a pattern that `count` alone fixes. Meant for the blocks of at most 4,096
    /// elements whose sums make a norm.
    static func sumOfSquares(_ x: UnsafePointer<Float>, count: Int) -> Double
}
