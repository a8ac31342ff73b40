// Where tensor parallelism meets the arithmetic. A contraction over an axis that may be split across
// ranks is computed as S partial results, one a canonical slice, and added as a binary tree; which of
// the slices this process holds is all that a layout decides.

/// Adds the Float32 partial results of the canonical slices of one axis, in the canonical order.
///
/// A primitive adds the slices that it holds itself, as one subtree, block by block while they are in
/// cache; `finishSum` makes the whole tree of it. The default holds all slices, so the subtree is the
/// tree. Every method is collective over the slices' group; all ranks of it call the same ones in the same
/// order.
public protocol SliceSum: AnyObject {
    /// S, over all ranks: a power of two.
    var sliceCount: Int { get }
    /// The slices of this process: a whole subtree.
    var localSlices: Range<Int> { get }
    /// Begins to replace the local subtree's root by the whole tree's, in place; what is returned ends it.
    /// Until then the buffer belongs to the sum, and the caller computes what does not depend on it.
    ///
    /// - Parameter borders: where only a part of the sum is wanted here: elements from `borders[i]` on, for
    ///   the slices i of this process; the others are undefined afterwards. nil: all.
    func beginSum(_ root: Buffer, scatteredAt borders: [Int]?) -> () -> Void
    /// Replaces the maxima over the local slices by those over all.
    func finishMaximum(_ root: Buffer)
    /// Fills the rows that another process holds: row r is with the holder of slice `slice(r)`. Rows are no
    /// partial results: they come, and cross ranks, in the storage type.
    func finishRows(_ rows: Buffer, width: Int, slice: (Int) -> Int)
    /// Fills the elements of the other processes' slices, slice i being `borders[i] ..< borders[i + 1]`.
    func gather(_ elements: Buffer, borders: [Int])
}

extension SliceSum {
    /// Whether this process holds every slice, so that an epilogue may follow at once, block by block.
    package var isLocal: Bool { localSlices.count == sliceCount }

    /// The whole tree's root in the place of the local subtree's.
    func finishSum(_ root: Buffer) { beginSum(root, scatteredAt: nil)() }
}

/// All slices in one process.
public final class LocalSliceSum: SliceSum {
    public let sliceCount: Int

    public init(slices: Int) {
        precondition(
            slices > 0 && slices & (slices - 1) == 0,
            "SliceSum: expected a power of two of slices, got \(slices)")
        sliceCount = slices
    }

    public var localSlices: Range<Int> { 0..<sliceCount }
    public func beginSum(_ root: Buffer, scatteredAt borders: [Int]?) -> () -> Void { {} }
    public func finishMaximum(_ root: Buffer) {}
    public func finishRows(_ rows: Buffer, width: Int, slice: (Int) -> Int) {}
    public func gather(_ elements: Buffer, borders: [Int]) {}
}

/// An axis cut into canonical slices, of which this process holds some.
public struct Slices {
    /// Of all slices along the whole axis: S + 1, from 0 to its extent.
    public let borders: [Int]
    public let sum: any SliceSum

    public init(borders: [Int], sum: any SliceSum) {
        precondition(
            borders.count == sum.sliceCount + 1 && borders.first == 0,
            "Slices: \(borders.count) borders for \(sum.sliceCount) slices")
        (self.borders, self.sum) = (borders, sum)
    }

    /// The elements of the whole axis, wherever they are.
    var extent: Int { borders[sum.sliceCount] }

    /// The elements of the axis that are here.
    public var held: Range<Int> {
        borders[sum.localSlices.lowerBound]..<borders[sum.localSlices.upperBound]
    }

    /// The local slices, counted from the first element that is here.
    public var ranges: [Range<Int>] {
        sum.localSlices.map { borders[$0] - held.lowerBound..<borders[$0 + 1] - held.lowerBound }
    }

    /// The slice that holds an element of the axis.
    package func slice(of element: Int) -> Int {
        (0..<sum.sliceCount).first { element < borders[$0 + 1] } ?? sum.sliceCount - 1
    }
}
