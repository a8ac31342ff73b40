import Foundation
import Kernels
import Tensors

/// The global gradient norm, whose sum has one order whatever the layout: sums of squares in Float64
/// over blocks of 4,096 consecutive elements of a slice, added in the order of parameter, slice, block.
public enum GradientNorm {
    /// Elements of a block; the last of a slice may be shorter.
    public static let blockLength = 4096

    /// Cuts a slice (a range of flat memory) into its blocks.
    public static func blocks(of slice: Range<Int>) -> [Range<Int>] {
        stride(from: slice.lowerBound, to: slice.upperBound, by: blockLength).map {
            $0..<min(slice.upperBound, $0 + blockLength)
        }
    }

    /// Σ g² of each block, in Float64.
    public static func sumsOfSquares(_ gradient: Buffer, blocks: [Range<Int>]) -> [Double] {
        let span = Trace.begin(
            .norm, "gradient norm", bytes: 4 * blocks.reduce(0) { $0 + $1.count })
        defer { span.end() }
        let values = gradient.floats
        return [Double](unsafeUninitializedCapacity: blocks.count) { sums, count in
            let base = sums.baseAddress
            let group = 64
            parallelFor((blocks.count + group - 1) / group) { number in
                for index in number * group..<min(blocks.count, (number + 1) * group) {
                    let block = blocks[index]
                    base![index] = kernels.sumOfSquares(
                        values + block.lowerBound, count: block.count)
                }
            }
            count = blocks.count
        }
    }

    /// √Σ of all blocks' sums, given in the canonical order. Not finite if any gradient is not.
    public static func norm(ofSums sums: [Double]) -> Double { sums.reduce(0, +).squareRoot() }

    /// What the norm of a block must stay below as it enters the optimizer: the second moment takes squares of
    /// its elements in Float32, which holds them up to 1.84·10¹⁹.
    public static let largestBlockNorm = 1.8e19

    /// Whether a block of this norm can enter the optimizer after scaling by `factor`; false where either is
    /// not a number, or nothing is left of the gradient.
    public static func canEnter(blockNorm: Double, factor: Float) -> Bool {
        factor > 0 && blockNorm * Double(factor) < largestBlockNorm
    }

    /// The factor that brings a gradient of this norm down to `limit`; 1 where it is shorter already or
    /// `limit` is 0 (PyTorch's `clip_grad_norm_`, with its 1e-6).
    public static func clipFactor(norm: Double, limit: Double) -> Double {
        limit > 0 ? min(1, limit / (norm + 1e-6)) : 1
    }
}
