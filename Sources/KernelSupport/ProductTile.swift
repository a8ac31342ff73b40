// The tiles that products are made of.

/// The tile of C that a kernel makes; the choice never shows in a result.
@usableFromInline package enum TileShape: Sendable, CaseIterable {
    /// 6 × 16: with 256-bit registers, 12 of the 16 hold sums.
    case narrow
    /// 12 × 32: with 512-bit registers, 24 of the 32 hold sums.
    case wide
    /// 32 × 32: four tiles of the matrix unit, which takes factors in bfloat16 alone.
    case matrix

    @inlinable package var height: Int {
        switch self {
        case .narrow: 6
        case .wide: 12
        case .matrix: 32
        }
    }

    @inlinable package var width: Int { self == .narrow ? 16 : 32 }
    @inlinable package static var mostElements: Int { 32 * 32 }

    /// Floats that a packed line takes of so many inner indices: the matrix unit has two in one, in whole blocks.
    @inlinable package func packed(inner: Int) -> Int {
        self == .matrix ? 16 * ChainRule.blocks(of: inner) : inner
    }

    /// The same of the links before one.
    @inlinable package func packed(before link: Link) -> Int {
        self == .matrix ? 16 * link.firstBlock : link.offset
    }
}
