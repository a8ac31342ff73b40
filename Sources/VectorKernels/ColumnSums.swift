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

extension VectorKernels {
    package static func columnSums(
        _ dy: Elements, rows: Int, width: Int, stride: Int,
        into partials: UnsafeMutablePointer<Float>, tokenSlices: [Range<Int>]
    ) {
        precondition(
            tokenSlices.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= rows },
            "columnSums: token slices within the \(rows) rows expected, found \(tokenSlices)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            columnSums(
                UnsafePointer(dy.pointer(to: type)), width: width, stride: stride, into: partials,
                tokenSlices: tokenSlices)
        }
        switch dy.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    private static func columnSums<Element: StoredElement>(
        _ dy: UnsafePointer<Element>, width: Int, stride: Int,
        into partials: UnsafeMutablePointer<Float>, tokenSlices: [Range<Int>]
    ) {
        let blocks = TokenBlocks(tokenSlices)
        withScratch(blocks.rows.count * width) { sums in
            parallelFor(blocks.rows.count) { block in
                addRows(
                    dy, rows: blocks.rows[block], width: width, stride: stride,
                    into: sums + block * width)
            }
            serially { blocks.addBlocks(sums, width: width, into: partials) }
        }
    }

    /// sums[c] = Σ x[r, c], rows added in order. Rows go outermost, four at a time: whole rows are read as they
    /// lie, and the sums stay in the first-level cache.
    private static func addRows<Element: StoredElement>(
        _ x: UnsafePointer<Element>, rows: Range<Int>, width: Int, stride: Int,
        into sums: UnsafeMutablePointer<Float>
    ) {
        sums.update(repeating: 0, count: width)
        var row = rows.lowerBound
        while row + 4 <= rows.upperBound {
            let source = x + row * stride
            // A named body is inlined at both of its places; a closure would be called.
            @inline(__always)
            func addFour(_ column: Int, _ count: Int) {
                var sum = sums.part(at: column, count: count)
                sum += source.part(at: column, count: count)
                sum += source.part(at: column + stride, count: count)
                sum += source.part(at: column + 2 * stride, count: count)
                sum += source.part(at: column + 3 * stride, count: count)
                sums.storePart(sum, at: column, count: count)
            }
            forEachVector(width, addFour)
            row += 4
        }
        while row < rows.upperBound {
            map(sums, x + row * stride, into: sums, width) { $0 + $1 }
            row += 1
        }
    }
}
