// Matrix products: what is asked for. `ProductPanel.swift` does it.
//
// m, n, k: rows of C, columns of C, inner extent.

/// One term of a sum of products: `inner` is its own contracted extent.
package struct ProductSlice {
    let inner: Int
    let a: Operand
    let b: Operand

    package init(inner: Int, a: Operand, b: Operand) {
        (self.inner, self.a, self.b) = (inner, a, b)
    }
}

/// A finished block of C in Float32, in cache: element (`rows.lowerBound`, `columns.lowerBound`) is the first
/// of `values`, whose rows are `stride` elements apart.
package struct ProductBlock {
    package let rows: Range<Int>
    package let columns: Range<Int>
    package let values: UnsafeMutablePointer<Float>
    package let stride: Int

    /// The block's part of a row of C.
    package func row(_ row: Int) -> UnsafeMutablePointer<Float> {
        values + (row - rows.lowerBound) * stride
    }

    package init(
        rows: Range<Int>, columns: Range<Int>, values: UnsafeMutablePointer<Float>, stride: Int
    ) {
        (self.rows, self.columns, self.values, self.stride) = (rows, columns, values, stride)
    }
}

/// C[m,n] = A[m,k] · B[k,n], added to C where `accumulate`.
///
/// Every element is a sum of chains of fused multiply-adds (`chainLength`), in order of the inner index;
/// so its bits depend on its row of A, its column of B and on nothing else. `epilogue` is called once for
/// each finished block of C, on the thread that made it; the blocks are disjoint and cover C. Without
/// `c`, only `epilogue` sees the result.
package func product(
    rows m: Int, columns n: Int, inner k: Int, _ a: Operand, _ b: Operand, accumulate: Bool = false,
    into c: UnsafeMutablePointer<Float>? = nil, stride: Int = 0,
    epilogue: ((ProductBlock) -> Void)? = nil
) {
    sumOfProducts(
        rows: m, columns: n, slices: [ProductSlice(inner: k, a: a, b: b)], accumulate: accumulate,
        into: c, stride: stride, epilogue: epilogue)
}

/// C[m,n] = Σₛ Aₛ[m,kₛ] · Bₛ[kₛ,n], the terms added as a perfect binary tree, and that to C where
/// `accumulate`.
///
/// The number of terms is a power of two. Each term is rounded to Float32 by itself, so that ranks
/// which hold half of the terms each get the two halves of the same tree. An empty term is a matrix of
/// zeros. The rest is as in `product`.
package func sumOfProducts(
    rows m: Int, columns n: Int, slices: [ProductSlice], accumulate: Bool = false,
    into c: UnsafeMutablePointer<Float>? = nil, stride: Int = 0, tile: TileShape? = nil,
    epilogue: ((ProductBlock) -> Void)? = nil
) {
    compute(
        [
            ProductTask(
                rows: m, columns: n, slices: slices, accumulate: accumulate, into: c,
                stride: stride,
                epilogue: epilogue)
        ], tile: tile)
}

/// One of several products that do not depend on each other: C[m,n] = A[m,k] · B[k,n], added to C where
/// `accumulate`.
package struct Product {
    let task: ProductTask

    package init(
        rows: Int, columns: Int, inner: Int, _ a: Operand, _ b: Operand, accumulate: Bool = false,
        into c: UnsafeMutablePointer<Float>? = nil, stride: Int = 0,
        epilogue: ((ProductBlock) -> Void)? = nil
    ) {
        task = ProductTask(
            rows: rows, columns: columns, slices: [ProductSlice(inner: inner, a: a, b: b)],
            accumulate: accumulate, into: c, stride: stride, epilogue: epilogue)
    }
}

/// Computes `terms`, whose results do not overlap, each with the bits of `product`; threads share all of
/// them at once.
package func products(_ terms: [Product]) {
    compute(terms.map(\.task), tile: nil)
}

/// A sum of products, as the functions above take it.
struct ProductTask {
    let (rows, columns): (Int, Int)
    let slices: [ProductSlice]
    /// Of factors that are both in bfloat16, pairs.
    let rule: ChainRule
    let links: [Link]
    let c: UnsafeMutablePointer<Float>?
    let stride: Int
    let accumulate: Bool
    let epilogue: ((ProductBlock) -> Void)?

    init(
        rows: Int, columns: Int, slices: [ProductSlice], accumulate: Bool,
        into c: UnsafeMutablePointer<Float>?, stride: Int, epilogue: ((ProductBlock) -> Void)?
    ) {
        precondition(
            slices.count > 0 && slices.count & (slices.count - 1) == 0,
            "sumOfProducts: expected a power of two of slices, got \(slices.count)")
        precondition(c != nil || !accumulate, "sumOfProducts: nothing there to add to")
        (self.rows, self.columns, self.slices) = (rows, columns, slices)
        (self.c, self.stride, self.accumulate, self.epilogue) = (c, stride, accumulate, epilogue)
        rule =
            slices.allSatisfy { $0.a.elements.type == .bfloat16 && $0.b.elements.type == .bfloat16 }
            ? .pairs : .single
        links = Link.of(slices, accumulate: accumulate, rule: rule)
    }

    /// Inner indices of all slices together.
    var inner: Int { slices.reduce(0) { $0 + $1.inner } }
    /// Levels of partial sums below C.
    var levelCount: Int { links.reduce(0) { max($0, $1.written) } }
}
