// Matrix products: what is asked for.
//
// m, n, k: rows of C, columns of C, inner extent.

/// A row-major matrix in memory, `stride` elements from row to row as stored; `transposed`: it is read
/// with its axes exchanged.
package struct Operand {
    package let elements: Elements
    package let stride: Int
    package let transposed: Bool

    package init(_ elements: Elements, stride: Int, transposed: Bool = false) {
        (self.elements, self.stride, self.transposed) = (elements, stride, transposed)
    }

    package init(_ floats: UnsafePointer<Float>, stride: Int, transposed: Bool = false) {
        self.init(Elements(floats), stride: stride, transposed: transposed)
    }
}

/// One term of a sum of products: `inner` is its own contracted extent.
package struct ProductSlice {
    package let inner: Int
    package let a: Operand
    package let b: Operand

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

/// One of several products that do not depend on each other: C[m,n] = A[m,k] · B[k,n], added to C where
/// `accumulate`.
package struct Product {
    package let task: ProductTask

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

/// A sum of products, as the functions above take it.
package struct ProductTask {
    package let (rows, columns): (Int, Int)
    package let slices: [ProductSlice]
    /// Of factors that are both in bfloat16, pairs.
    package let rule: ChainRule
    package let links: [Link]
    package let c: UnsafeMutablePointer<Float>?
    package let stride: Int
    package let accumulate: Bool
    package let epilogue: ((ProductBlock) -> Void)?

    package init(
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
    package var inner: Int { slices.reduce(0) { $0 + $1.inner } }
    /// Levels of partial sums below C.
    package var levelCount: Int { links.reduce(0) { max($0, $1.written) } }
}

/// Matrix products.
package protocol ProductKernels: Sendable {
    /// The tile whose sums fit the registers of the kernels' instructions.
    static var nativeTile: TileShape { get }

    /// Computes `tasks`, whose results do not overlap; those with few rows without packing, unless a tile is asked
    /// for.
    static func compute(_ tasks: [ProductTask], tile: TileShape?)

    /// Packs the right factors of a task, whose rows do not matter, for `compute(_:packed:)`: where many products have the same ones and few
    /// rows, packing would take as long as multiplying.
    static func pack(_ task: ProductTask, into packed: UnsafeMutablePointer<Float>)

    /// Computes a task, with the bits of `sumOfProducts`; its right factors, of which only type and extents are
    /// looked at, are those of a task that was packed. Both have left factors of one type.
    /// - Parameter packed: `packedCount` floats.
    static func compute(_ task: ProductTask, packed: UnsafeMutablePointer<Float>)
}

extension ProductKernels {
    /// C[m,n] = A[m,k] · B[k,n], added to C where `accumulate`.
    ///
    /// Every element is a sum of chains of fused multiply-adds (`chainLength`), in order of the inner index;
    /// so its bits depend on its row of A, its column of B and on nothing else. `epilogue` is called once for
    /// each finished block of C, on the thread that made it; the blocks are disjoint and cover C. Without
    /// `c`, only `epilogue` sees the result.
    package static func product(
        rows m: Int, columns n: Int, inner k: Int, _ a: Operand, _ b: Operand,
        accumulate: Bool = false,
        into c: UnsafeMutablePointer<Float>? = nil, stride: Int = 0,
        epilogue: ((ProductBlock) -> Void)? = nil
    ) {
        sumOfProducts(
            rows: m, columns: n, slices: [ProductSlice(inner: k, a: a, b: b)],
            accumulate: accumulate,
            into: c, stride: stride, epilogue: epilogue)
    }

    /// C[m,n] = Σₛ Aₛ[m,kₛ] · Bₛ[kₛ,n], the terms added as a perfect binary tree, and that to C where
    /// `accumulate`.
    ///
    /// The number of terms is a power of two. Each term is rounded to Float32 by itself, so that ranks
    /// which hold half of the terms each get the two halves of the same tree. An empty term is a matrix of
    /// zeros. The rest is as in `product`.
    package static func sumOfProducts(
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

    /// Floats that the right factors of a task take, packed.
    package static func packedCount(_ task: ProductTask) -> Int {
        let tile = task.rule == .pairs && MatrixUnit.isUsed ? TileShape.matrix : nativeTile
        return (task.columns + tile.width - 1) / tile.width * tile.width
            * task.links.reduce(0) { $0 + tile.packed(inner: $1.inner.count) }
    }

    /// Computes `terms`, whose results do not overlap, each with the bits of `product`; threads share all of
    /// them at once.
    package static func products(_ terms: [Product]) {
        compute(terms.map(\.task), tile: nil)
    }
}
