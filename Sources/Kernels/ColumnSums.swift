// Sums over tokens (gradients of biases and gains) in their one canonical order: the tokens of a
// micro-batch are cut into slices, each slice into blocks of 64 rows from its own start; the rows
// of a block are added in order, the blocks of a slice are added in order, and the caller adds the
// slices as a binary tree.

/// The canonical blocks of a set of token slices.
struct TokenBlocks {
    /// Rows in a block.
    static let height = 64

    /// The rows of each block, slice after slice.
    let rows: [Range<Int>]
    /// The blocks of each slice: none where the slice is empty.
    let blocksOfSlice: [Range<Int>]

    init(_ slices: [Range<Int>]) {
        var rows: [Range<Int>] = []
        var blocksOfSlice: [Range<Int>] = []
        for slice in slices {
            let first = rows.count
            for start in stride(from: slice.lowerBound, to: slice.upperBound, by: Self.height) {
                rows.append(start..<min(slice.upperBound, start + Self.height))
            }
            blocksOfSlice.append(first..<rows.count)
        }
        self.rows = rows
        self.blocksOfSlice = blocksOfSlice
    }

    /// Adds the block sums `[blocks × width]` of each slice in order, into `partials` `[slices × width]`.
    func addBlocks(
        _ sums: UnsafePointer<Float>, width: Int, into partials: UnsafeMutablePointer<Float>
    ) {
        for (slice, blocks) in blocksOfSlice.enumerated() {
            let target = partials + slice * width
            target.update(repeating: 0, count: width)
            for block in blocks {
                let source = sums + block * width
                for column in 0..<width { target[column] += source[column] }
            }
        }
    }
}

/// Sums of the columns of `dy` over each token slice: partials[i, c] = Σ dy[r, c], r in slice i.
///
/// - Parameters:
///   - dy: `[rows × width]`, rows `stride` elements apart.
///   - partials: `[slices × width]`, overwritten; zeros for an empty slice.
///   - tokenSlices: the canonical slices of the rows.
package func columnSums(
    _ dy: UnsafePointer<Float>, rows: Int, width: Int, stride: Int,
    into partials: UnsafeMutablePointer<Float>, tokenSlices: [Range<Int>]
) {
    precondition(
        tokenSlices.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= rows },
        "columnSums: token slices within the \(rows) rows expected, found \(tokenSlices)")
    let blocks = TokenBlocks(tokenSlices)
    withScratch(blocks.rows.count * width) { sums in
        parallelFor(blocks.rows.count) { block in
            addRows(
                dy, rows: blocks.rows[block], width: width, stride: stride,
                into: sums + block * width)
        }
        blocks.addBlocks(sums, width: width, into: partials)
    }
}

/// sums[c] = Σ x[r, c], rows added in order.
private func addRows(
    _ x: UnsafePointer<Float>, rows: Range<Int>, width: Int, stride: Int,
    into sums: UnsafeMutablePointer<Float>
) {
    var column = 0
    while column + 64 <= width {
        var (a, b, c, d) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
        for row in rows {
            let source = x + row * stride + column
            a += source.vector(at: 0)
            b += source.vector(at: 16)
            c += source.vector(at: 32)
            d += source.vector(at: 48)
        }
        sums.store(a, at: column)
        sums.store(b, at: column + 16)
        sums.store(c, at: column + 32)
        sums.store(d, at: column + 48)
        column += 64
    }
    while column < width {
        let count = min(16, width - column)
        var a = Vector.zero
        for row in rows {
            let source = x + row * stride + column
            a += source.part(at: 0, count: count)
        }
        sums.storePart(a, at: column, count: count)
        column += 16
    }
}
