// Where tensor parallelism meets the arithmetic. A contraction over an axis that may be split across
// ranks is computed as S partial results, one a canonical slice, and added as a binary tree; which of
// the slices this process holds is all that a layout decides.

/// Adds the Float32 partial results of the canonical slices of one axis, in the canonical order.
///
/// A primitive adds the slices that it holds itself, as one subtree, block by block while they are in
/// cache; `finish` makes the whole tree of it. The default holds all slices, so the subtree is the
/// tree.
public protocol SliceSum: AnyObject {
    /// S, over all ranks: a power of two.
    var sliceCount: Int { get }
    /// The slices of this process: a whole subtree.
    var localSlices: Range<Int> { get }
    /// Replaces the local subtree's root by the whole tree's, in place. Collective over the slices' group.
    func finishSum(_ root: Buffer)
    /// Replaces the maxima over the local slices by those over all. Collective over the slices' group.
    func finishMaximum(_ root: Buffer)
    /// Fills the rows that another process holds; `isHeld` tells this one's. Rows are no partial results:
    /// they come, and cross ranks, in the storage type. Collective likewise.
    func finishRows(_ rows: Buffer, width: Int, isHeld: (Int) -> Bool)
}

extension SliceSum {
    /// Whether this process holds every slice, so that an epilogue may follow at once, block by block.
    var isLocal: Bool { localSlices.count == sliceCount }
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
    public func finishSum(_ root: Buffer) {}
    public func finishMaximum(_ root: Buffer) {}
    public func finishRows(_ rows: Buffer, width: Int, isHeld: (Int) -> Bool) {}
}

/// An axis cut into canonical slices, as far as this process holds it.
public struct Slices {
    /// Borders of the local slices, from 0 to the local extent.
    public let borders: [Int]
    /// Global index of the first local element.
    public let first: Int
    public let sum: any SliceSum

    public init(borders: [Int], first: Int = 0, sum: any SliceSum) {
        precondition(
            borders.count == sum.localSlices.count + 1 && borders.first == 0,
            "Slices: \(borders.count) borders for \(sum.localSlices.count) slices")
        (self.borders, self.first, self.sum) = (borders, first, sum)
    }

    public var extent: Int { borders.last! }

    public var ranges: [Range<Int>] { zip(borders, borders.dropFirst()).map { $0..<$1 } }

    /// `count` tokens cut into the slices of a reduction over tokens.
    static func ofTokens(_ count: Int, slices: Int) -> [Range<Int>] {
        (0..<slices).map { $0 * count / slices..<($0 + 1) * count / slices }
    }
}
