// How a product is cut: by arithmetic (chains and the tree of slices, which make the bits), and by caches
// and threads (which do not).

/// Longest chain of fused multiply-adds of a product: part of the arithmetic. Long enough that the inner
/// extents of most layers are one chain; short enough that the rounding of a chain does not grow with a
/// vocabulary.
@inlinable package var chainLength: Int { 1024 }

/// How a chain adds its products: part of the arithmetic.
@usableFromInline package enum ChainRule: Sendable {
    /// One after the other, each rounded once with the sum.
    case single
    /// Of a block of 32 inner indices the even ones make a chain from 0, and so do the odd ones; their sum is added to the
    /// chain's. The last block is filled up with zeros. Denormal operands, sums and results are zeros. It is what the matrix
    /// unit does with factors in bfloat16 (CTiles), made anywhere.
    case pairs

    /// Inner indices of a block.
    @inlinable package static var block: Int { 32 }

    /// Blocks of so many inner indices, the last filled up.
    @inlinable package static func blocks(of inner: Int) -> Int { (inner + block - 1) / block }
}

/// A stretch of a chain, short enough for the nearest cache, and what becomes of its sums. Finished slices
/// wait in *levels* until their sibling in the tree comes; the shallowest level is the last one standing,
/// and level 0 is C itself.
@usableFromInline package struct Link {
    package let slice: Int
    /// Inner indices within the slice.
    package let inner: Range<Int>
    /// Inner indices before it in the links of all slices, and blocks of `ChainRule.block`, the last of a link filled up.
    @usableFromInline package let offset: Int
    @usableFromInline package let firstBlock: Int
    /// Whether the chain begins here, from 0, or goes on from level `deepest` + 1.
    package let begins: Bool
    /// Whether the chain ends here, or waits on level `deepest` + 1.
    package let ends: Bool
    /// What is added at the end of the chain: levels `deepest`, `deepest` − 1, … `target`; none where
    /// `deepest` < `target`.
    package let deepest: Int
    /// The level that receives the sum then.
    package let target: Int

    /// The level that is written.
    package var written: Int { ends ? target : deepest + 1 }

    /// The links of a sum, in order; `accumulate`: what C holds comes last, except for a single slice, to
    /// which its chains are added one by one. An empty slice has an empty link: a matrix of zeros.
    package static func of(_ slices: [ProductSlice], accumulate: Bool, rule: ChainRule) -> [Link] {
        let longest =
            rule == .pairs && MatrixUnit.isUsed ? Blocking.linkOfMatrix : Blocking.link
        // Where C's old content comes last, it is a level below the tree's.
        let base = accumulate && slices.count > 1 ? 1 : 0
        let joins = accumulate && slices.count == 1
        var links: [Link] = []
        var (offset, block) = (0, 0)
        for (slice, term) in slices.enumerated() {
            let own = slice.nonzeroBitCount + base
            let isLastSlice = slice == slices.count - 1
            let merged = isLastSlice ? 0 : own - (~slice).trailingZeroBitCount
            for chain in ranges(of: 0..<term.inner, atMost: chainLength) {
                for inner in evenRanges(of: chain, atMost: longest) {
                    links.append(
                        Link(
                            slice: slice, inner: inner, offset: offset + inner.lowerBound,
                            firstBlock: block,
                            begins: inner.lowerBound == chain.lowerBound,
                            ends: inner.upperBound == chain.upperBound,
                            deepest: chain.lowerBound > 0 || joins ? own : own - 1,
                            target: chain.upperBound == term.inner ? merged : own))
                    block += ChainRule.blocks(of: inner.count)
                }
            }
            offset += term.inner
        }
        return links
    }

    /// `length` each, the last shorter; an empty range is one.
    private static func ranges(of range: Range<Int>, atMost length: Int) -> [Range<Int>] {
        if range.isEmpty { return [range] }
        return stride(from: range.lowerBound, to: range.upperBound, by: length).map {
            $0..<min(range.upperBound, $0 + length)
        }
    }

    /// As few as possible, of about the same length, whole blocks but for the last.
    private static func evenRanges(of range: Range<Int>, atMost length: Int) -> [Range<Int>] {
        let block = ChainRule.block
        let blocks = ChainRule.blocks(of: range.count)
        let count = max(1, (blocks * block + length - 1) / length)
        return (0..<count).map {
            let (first, last) = ($0 * blocks / count * block, ($0 + 1) * blocks / count * block)
            return range.lowerBound + first..<min(range.upperBound, range.lowerBound + last)
        }
    }
}

/// What fits where.
///
/// A sliver of B over one link stays in the first-level cache while all tiles of a block of rows use it; the
/// block of A over that link, and the block of C with its levels, stay in the second; B's panel in the last.
@usableFromInline package enum Blocking {
    /// Inner indices of a link.
    @inlinable package static var link: Int { 384 }
    /// The same for the matrix unit: two slivers of B and one of A stay in the nearest cache, of which the unit takes a line a
    /// cycle.
    @inlinable package static var linkOfMatrix: Int { 192 }
    /// Rows of a thread's block.
    @inlinable package static var rows: Int { 96 }
    @inlinable package static var rowsOfMatrix: Int { 192 }
    /// Rows of the smallest, where there are as many.
    @inlinable package static var leastRows: Int { 48 }
    /// Columns of C that a thread finishes before the next ones.
    @inlinable package static var columns: Int { 256 }
    /// Inner indices in a panel, where its columns fill it.
    @inlinable package static var panelInner: Int { 3 << 10 }
    /// Floats of B that are packed at once, for all threads.
    @inlinable package static var panel: Int { 3 << 20 }
    /// Elements of the right factor in a piece of a product with few rows.
    @inlinable package static var pieceElements: Int { 1 << 16 }
    /// Multiply-adds below which handing work to other threads costs more than it saves.
    @inlinable package static var inlineWork: Int { 1 << 18 }
}

extension Blocking {
    /// Where blocks of rows begin, then the end. Blocks are whole tiles; large ones come first, smaller and
    /// smaller ones last, so that threads of different speed end together (guided self-scheduling,
    /// Polychronopoulos and Kuck 1987).
    package static func rowBorders(_ rows: Int, tile: TileShape, threads: Int) -> [Int] {
        var borders = [0]
        var start = 0
        while start < rows {
            start += blockRows(rows - start, tile: tile, threads: threads)
            borders.append(start)
        }
        return borders
    }

    /// Rows of the next block where so many are left; the first is the largest.
    package static func blockRows(_ left: Int, tile: TileShape, threads: Int) -> Int {
        let share = threads == 1 ? left : left / (2 * threads)
        let most = tile == .matrix ? rowsOfMatrix : rows
        return min(left, max(leastRows, min(most, share)) / tile.height * tile.height)
    }
}
