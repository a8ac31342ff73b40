// How a product is cut: by arithmetic (chains and the tree of slices, which make the bits), and by caches
// and threads (which do not).

/// Longest chain of fused multiply-adds of a product: part of the arithmetic. Long enough that the inner
/// extents of most layers are one chain; short enough that the rounding of a chain does not grow with a
/// vocabulary.
package let chainLength = 1024

/// One chain of every element, and what becomes of its result. Finished slices wait in *levels* until their
/// sibling in the tree comes; the shallowest level is the last one standing, and level 0 is C itself.
struct Chain {
    let slice: Int
    /// Inner indices within the slice.
    let inner: Range<Int>
    /// Where the chain begins on the axis of all slices' inner indices.
    let offset: Int
    /// What is added: levels `deepest`, `deepest` − 1, … `target`; none where `deepest` < `target`.
    let deepest: Int
    /// The level that receives the sum.
    let target: Int

    /// The chains of a sum, in order; `accumulate`: what C holds comes last, except for a single slice, to
    /// which its chains are added one by one. An empty slice has an empty chain: a matrix of zeros.
    static func of(_ slices: [ProductSlice], accumulate: Bool) -> [Chain] {
        // Where C's old content comes last, it is a level below the tree's.
        let base = accumulate && slices.count > 1 ? 1 : 0
        let joins = accumulate && slices.count == 1
        var chains: [Chain] = []
        var offset = 0
        for (slice, term) in slices.enumerated() {
            let own = slice.nonzeroBitCount + base
            let isLastSlice = slice == slices.count - 1
            let merged = isLastSlice ? 0 : own - (~slice).trailingZeroBitCount
            var start = 0
            repeat {
                let end = min(term.inner, start + chainLength)
                chains.append(
                    Chain(
                        slice: slice, inner: start..<end, offset: offset + start,
                        deepest: start > 0 || joins ? own : own - 1,
                        target: end == term.inner ? merged : own))
                start = end
            } while start < term.inner
            offset += term.inner
        }
        return chains
    }
}

/// What fits where. An operand's chains are packed as long as they fit `panel`; the block of A that a
/// thread works on, and the block of C handed to an epilogue, are to stay in the second-level cache.
struct Blocking {
    /// Floats of B that are packed at once, for all threads.
    static let panel = 3 << 20
    /// Floats of A in a thread's block.
    static let block = 72 << 10
    /// Inner indices in a panel, where its columns fill it.
    static let longest = 3 << 10
    /// Rows of a thread's block.
    static let (leastRows, mostRows) = (24, 96)
    /// Columns of C in a block handed to an epilogue.
    static let columns = 256
    /// Multiply-adds below which handing work to other threads costs more than it saves.
    static let inlineWork = 1 << 18
}
