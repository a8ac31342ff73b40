// Matrix products, by OpenBLAS on one thread, cut into blocks of C where that cannot change a bit.
//
// OpenBLAS has a kernel for small products (m·n·k ≤ 10⁶) and one for all others; among the others, an
// element's bits depend on its row of A, its column of B and k alone. So a product may be cut anywhere,
// by the number of threads too, as long as no piece of it is small. A product that tensor parallelism
// cuts counts as its smallest slice would: where that is small, every slice is a call of its own.
//
// m, n, k: rows of C, columns of C, inner extent.

import COpenBLAS

/// A row-major matrix in memory, `stride` elements from row to row as stored; `transposed`: it is read
/// with its axes exchanged.
package struct Operand {
    let pointer: UnsafePointer<Float>
    let stride: Int
    let transposed: Bool

    package init(_ pointer: UnsafePointer<Float>, stride: Int, transposed: Bool = false) {
        (self.pointer, self.stride, self.transposed) = (pointer, stride, transposed)
    }

    /// From (`row`, `column`) of the matrix as read.
    func advanced(row: Int, column: Int) -> Operand {
        let offset = transposed ? column * stride + row : row * stride + column
        return Operand(pointer + offset, stride: stride, transposed: transposed)
    }
}

/// The axis of C that tensor parallelism may shard, and its canonical slices.
package enum SlicedAxis {
    case none
    /// `borders`: where the local slices begin, then the local extent; `smallest`: the extent of the
    /// smallest slice of the whole axis, which is the same on every rank.
    case rows(borders: [Int], smallest: Int)
    case columns(borders: [Int], smallest: Int)
}

/// One term of a sum of products: `inner` is its own contracted extent.
package struct ProductSlice {
    let inner: Int
    let a: Operand
    let b: Operand

    package init(inner: Int, a: Operand, b: Operand) {
        (self.inner, self.a, self.b) = (inner, a, b)
    }
}

/// C[m,n] = alpha · A[m,k] · B[k,n] + beta · C
///
/// The same bits for any number of threads, and for any run of whole slices of the sliced axis. With
/// `beta` 0, C is only written. `epilogue` is called once for each finished block of C, on the thread
/// that made it; the blocks are disjoint and cover C.
package func product(
    rows m: Int, columns n: Int, inner k: Int, alpha: Float = 1, _ a: Operand, _ b: Operand,
    beta: Float = 0, into c: UnsafeMutablePointer<Float>, stride: Int, sliced: SlicedAxis = .none,
    epilogue: ((_ rows: Range<Int>, _ columns: Range<Int>) -> Void)? = nil
) {
    let blocks = Blocks(rows: m, columns: n, inner: k, sliced: sliced)
    parallelFor(blocks.count) { index in
        let (rows, columns) = blocks[index]
        if rows.isEmpty || columns.isEmpty { return }
        multiply(
            rows.count, columns.count, k, alpha, a.advanced(row: rows.lowerBound, column: 0),
            b.advanced(row: 0, column: columns.lowerBound), beta,
            c + rows.lowerBound * stride + columns.lowerBound, stride)
        epilogue?(rows, columns)
    }
}

/// One of several products that do not depend on each other: C[m,n] = A[m,k] · B[k,n] + beta · C.
package struct Product {
    let (rows, columns, inner): (Int, Int, Int)
    let a: Operand
    let b: Operand
    let beta: Float
    let c: UnsafeMutablePointer<Float>
    let stride: Int

    package init(
        rows: Int, columns: Int, inner: Int, _ a: Operand, _ b: Operand, beta: Float = 0,
        into c: UnsafeMutablePointer<Float>, stride: Int
    ) {
        (self.rows, self.columns, self.inner) = (rows, columns, inner)
        (self.a, self.b, self.beta, self.c, self.stride) = (a, b, beta, c, stride)
    }
}

/// Computes `terms`, whose results do not overlap, each with the bits of `product`; threads share the
/// terms before they cut one.
package func products(_ terms: [Product]) {
    let wanted = (Threads.count + terms.count - 1) / max(1, terms.count)
    let pieces = terms.flatMap { term in
        let blocks = Blocks(
            rows: term.rows, columns: term.columns, inner: term.inner, wanted: wanted)
        return (0..<blocks.count).map { (term, blocks[$0]) }
    }
    parallelFor(pieces.count) { index in
        let (term, (rows, columns)) = pieces[index]
        if rows.isEmpty || columns.isEmpty { return }
        multiply(
            rows.count, columns.count, term.inner, 1,
            term.a.advanced(row: rows.lowerBound, column: 0),
            term.b.advanced(row: 0, column: columns.lowerBound), term.beta,
            term.c + rows.lowerBound * term.stride + columns.lowerBound, term.stride)
    }
}

/// C[m,n] = Σₛ alpha · Aₛ[m,kₛ] · Bₛ[kₛ,n], the terms added as a perfect binary tree.
///
/// The number of terms is a power of two. Each term is rounded to Float32 by itself, so that ranks
/// which hold half of the terms each get the two halves of the same tree. Cutting and `epilogue` as in
/// `product`; an empty term is a matrix of zeros.
package func sumOfProducts(
    rows m: Int, columns n: Int, alpha: Float = 1, slices: [ProductSlice],
    into c: UnsafeMutablePointer<Float>, stride: Int, sliced: SlicedAxis = .none,
    epilogue: ((Range<Int>, Range<Int>) -> Void)? = nil
) {
    precondition(
        slices.count > 0 && slices.count & (slices.count - 1) == 0,
        "sumOfProducts: expected a power of two of slices, got \(slices.count)")
    let inner = slices.reduce(Int.max) { $1.inner == 0 ? $0 : min($0, $1.inner) }
    let blocks = Blocks(rows: m, columns: n, inner: inner == .max ? 0 : inner, sliced: sliced)
    if slices.count > 1 && blocks.count < Threads.count {
        let sum = SpreadSum(rows: m, columns: n, alpha: alpha, slices: slices, blocks: blocks)
        withScratch(slices.count * m * n) {
            sum.compute(in: $0, into: c, stride: stride, epilogue: epilogue)
        }
        return
    }
    parallelFor(blocks.count) { index in
        let (rows, columns) = blocks[index]
        if rows.isEmpty || columns.isEmpty { return }
        let tree = PartialTree(rows: rows, columns: columns, alpha: alpha, slices: slices)
        let block = c + rows.lowerBound * stride + columns.lowerBound
        withScratch(tree.scratchCount) { scratch in
            tree.sum(0..<slices.count, into: block, stride: stride, scratch: scratch)
        }
        epilogue?(rows, columns)
    }
}

/// The partial products of one block of C, added as a perfect tree with one scratch block a level.
private struct PartialTree {
    let rows: Range<Int>
    let columns: Range<Int>
    let alpha: Float
    let slices: [ProductSlice]

    /// Rows of scratch begin on a cache line.
    private var scratchStride: Int { (columns.count + 15) & ~15 }
    private var blockCount: Int { rows.count * scratchStride }
    var scratchCount: Int { slices.count.trailingZeroBitCount * blockCount }

    func sum(
        _ range: Range<Int>, into target: UnsafeMutablePointer<Float>, stride: Int,
        scratch: UnsafeMutablePointer<Float>
    ) {
        if range.count == 1 {
            let slice = slices[range.lowerBound]
            multiply(
                rows.count, columns.count, slice.inner, alpha,
                slice.a.advanced(row: rows.lowerBound, column: 0),
                slice.b.advanced(row: 0, column: columns.lowerBound), 0, target, stride)
            return
        }
        let middle = range.lowerBound + range.count / 2
        sum(range.lowerBound..<middle, into: target, stride: stride, scratch: scratch)
        sum(
            middle..<range.upperBound, into: scratch, stride: scratchStride,
            scratch: scratch + blockCount)
        for row in 0..<rows.count {
            accumulate(
                scratch + row * scratchStride, into: target + row * stride, count: columns.count)
        }
    }
}

/// A sum whose blocks are too few for the threads: these share the terms first, each whole in memory of
/// its own, and then the rows of the tree. The calls, and so the bits, are those of `PartialTree`.
private struct SpreadSum {
    let rows: Int
    let columns: Int
    let alpha: Float
    let slices: [ProductSlice]
    let blocks: Blocks

    func compute(
        in partials: UnsafeMutablePointer<Float>, into c: UnsafeMutablePointer<Float>, stride: Int,
        epilogue: ((Range<Int>, Range<Int>) -> Void)?
    ) {
        let size = rows * columns
        parallelFor(slices.count * blocks.count) { piece in
            let (term, block) = piece.quotientAndRemainder(dividingBy: blocks.count)
            let (rows, columns) = blocks[block]
            if rows.isEmpty || columns.isEmpty { return }
            multiply(
                rows.count, columns.count, slices[term].inner, alpha,
                slices[term].a.advanced(row: rows.lowerBound, column: 0),
                slices[term].b.advanced(row: 0, column: columns.lowerBound), 0,
                partials + term * size + rows.lowerBound * self.columns + columns.lowerBound,
                self.columns)
        }
        let half = slices.count / 2
        parallelRows(rows, width: columns) { rows in
            let left = partials + rows.lowerBound * columns
            let right = left + half * size
            treeAdd(left, slices: half, stride: size, count: rows.count * columns)
            treeAdd(right, slices: half, stride: size, count: rows.count * columns)
            for row in rows {
                let offset = (row - rows.lowerBound) * columns
                add(left + offset, right + offset, into: c + row * stride, count: columns)
            }
            epilogue?(rows, 0..<columns)
        }
    }
}

// MARK: - Cutting

/// The pieces of C that are calls of their own.
private struct Blocks {
    /// Products of at most 10⁶ multiply-adds take OpenBLAS's other kernel; the rest is margin.
    private static let smallProduct = 1_100_000
    /// Borders keep whole vectors together.
    private static let grain = 16

    private let m: Int
    private let n: Int
    private let alongRows: Bool
    private let borders: [Int]
    private let pieces: Int

    var count: Int { pieces }

    /// `wanted`: the most pieces that an uncut product is worth cutting into. The fewer the better: every
    /// call packs B again, so 256 rows of a GPT-2 product run 2–4 % slower than 512, and 128 rows 9–14 %,
    /// partial sums included, although those then fit the second-level cache.
    init(
        rows m: Int, columns n: Int, inner k: Int, sliced: SlicedAxis = .none,
        wanted: Int = Threads.count
    ) {
        (self.m, self.n) = (m, n)
        if let (alongRows, borders) = Blocks.slices(m, n, k, sliced) {
            (self.alongRows, self.borders, pieces) = (alongRows, borders, borders.count - 1)
            return
        }
        alongRows = m > n
        borders = []
        let extent = alongRows ? m : n
        // The fewest vectors whose piece is not small.
        let unit = max(1, Blocks.grain * (alongRows ? n : m) * k)
        let least = Blocks.smallProduct / unit + 1
        pieces = max(1, min(wanted, extent / Blocks.grain / least))
    }

    /// The slices, where each has to be a call of its own.
    private static func slices(
        _ m: Int, _ n: Int, _ k: Int, _ sliced: SlicedAxis
    ) -> (alongRows: Bool, borders: [Int])? {
        switch sliced {
        case .none: nil
        case .rows(let borders, let smallest):
            smallest * n * k > smallProduct ? nil : (true, borders)
        case .columns(let borders, let smallest):
            m * smallest * k > smallProduct ? nil : (false, borders)
        }
    }

    subscript(index: Int) -> (rows: Range<Int>, columns: Range<Int>) {
        let range: Range<Int>
        if borders.isEmpty {
            let extent = alongRows ? m : n
            let vectors = extent / Blocks.grain
            let end = index + 1 == pieces ? extent : vectors * (index + 1) / pieces * Blocks.grain
            range = vectors * index / pieces * Blocks.grain..<end
        } else {
            range = borders[index]..<borders[index + 1]
        }
        return alongRows ? (range, 0..<n) : (0..<m, range)
    }
}

// MARK: - One call

private func multiply(
    _ m: Int, _ n: Int, _ k: Int, _ alpha: Float, _ a: Operand, _ b: Operand, _ beta: Float,
    _ c: UnsafeMutablePointer<Float>, _ stride: Int
) {
    guard k > 0 else {
        for row in 0..<m { scaleOrClear(c + row * stride, by: beta, n) }
        return
    }
    BLAS.useOneThread()
    cblas_sgemm(
        CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
        b.transposed ? CblasTrans : CblasNoTrans, blasint(m), blasint(n), blasint(k), alpha,
        a.pointer, blasint(a.stride), b.pointer, blasint(b.stride), beta, c, blasint(stride))
}

private func scaleOrClear(_ x: UnsafeMutablePointer<Float>, by factor: Float, _ count: Int) {
    if factor == 0 {
        x.update(repeating: 0, count: count)
    } else if factor != 1 {
        scale(x, by: factor, count: count)
    }
}
