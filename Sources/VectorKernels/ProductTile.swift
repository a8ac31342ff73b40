// The innermost part of a matrix product: a tile of C that stays in registers while the inner index runs.
//
// A tile kernel takes a sliver of A ([inner × height]) and one of B ([inner × width]), both packed
// (`ProductPacking.swift`), and makes one chain of fused multiply-adds from 0 for each element; by pairs in
// `ProductTilePairs.swift`. What the chain is added to comes after it (`TileSum`). Tiles at the borders of C run the same kernel on slivers
// filled up with zeros, and keep the part that is C's.

import COpenBLAS

extension TileShape {
    /// The one whose sums fit the registers that these kernels may use.
    static var native: TileShape { hasWideRegisters ? .wide : .narrow }

    static func best(for rule: ChainRule) -> TileShape {
        rule == .pairs && MatrixUnit.isUsed ? .matrix : native
    }
}

/// Where a tile begins and where it goes. What is added to it before it is stored, in this order: partial
/// sums, from the deepest level up, then what is in the target.
struct TileSum {
    var target: UnsafeMutablePointer<Float>
    var stride: Int
    var addsTarget: Bool
    /// Whether the chain goes on from the tile at `start`, or begins with 0.
    var continues: Bool
    var start: UnsafeMutablePointer<Float>
    var startStride: Int
    /// The deepest of `partialCount` tiles, each `levelStride` after the next one up.
    var partial: UnsafeMutablePointer<Float>
    var partialStride: Int
    var levelStride: Int
    var partialCount: Int
    /// Memory for two tiles, of the calling thread's.
    var spare: UnsafeMutablePointer<Float>

    /// To the tile `rows` further down.
    @inline(__always)
    mutating func advance(rows: Int) {
        target += rows * stride
        start += rows * startStride
        partial += rows * partialStride
    }
}

/// What of the next sliver of B is asked for while a tile is made, a little at each inner index: all at once would fill
/// the buffers that wait for memory, and the products would wait behind it.
struct SliverAhead {
    let start: UnsafePointer<Float>
    /// Floats an inner index.
    let step: Int
}

/// Sums of six rows by 16 columns.
struct SixRows {
    var row0 = Vector.zero
    var row1 = Vector.zero
    var row2 = Vector.zero
    var row3 = Vector.zero
    var row4 = Vector.zero
    var row5 = Vector.zero

    @inline(__always)
    init() {}

    /// What the chain goes on from, `row` and `column` the place in the whole tile.
    @inline(__always)
    init(_ sum: TileSum, row: Int, column: Int) {
        self.init()
        guard sum.continues else { return }
        self = SixRows(sum.start + row * sum.startStride + column, stride: sum.startStride)
    }

    @inline(__always)
    init(_ start: UnsafePointer<Float>, stride: Int) {
        row0 = start.vector(at: 0)
        row1 = start.vector(at: stride)
        row2 = start.vector(at: 2 * stride)
        row3 = start.vector(at: 3 * stride)
        row4 = start.vector(at: 4 * stride)
        row5 = start.vector(at: 5 * stride)
    }

    @inline(__always)
    mutating func addProducts(_ a: UnsafePointer<Float>, _ b: Vector) {
        row0.addProduct(Vector(repeating: a[0]), b)
        row1.addProduct(Vector(repeating: a[1]), b)
        row2.addProduct(Vector(repeating: a[2]), b)
        row3.addProduct(Vector(repeating: a[3]), b)
        row4.addProduct(Vector(repeating: a[4]), b)
        row5.addProduct(Vector(repeating: a[5]), b)
    }

    @inline(__always)
    mutating func add(_ tile: UnsafePointer<Float>, stride: Int) {
        row0 += tile.vector(at: 0)
        row1 += tile.vector(at: stride)
        row2 += tile.vector(at: 2 * stride)
        row3 += tile.vector(at: 3 * stride)
        row4 += tile.vector(at: 4 * stride)
        row5 += tile.vector(at: 5 * stride)
    }

    @inline(__always)
    func store(_ tile: UnsafeMutablePointer<Float>, stride: Int) {
        tile.store(row0, at: 0)
        tile.store(row1, at: stride)
        tile.store(row2, at: 2 * stride)
        tile.store(row3, at: 3 * stride)
        tile.store(row4, at: 4 * stride)
        tile.store(row5, at: 5 * stride)
    }

    /// Adds what `sum` says, and stores the tile.
    @inline(__always)
    mutating func finish(_ sum: TileSum, row: Int, column: Int) {
        var partial = UnsafePointer(sum.partial + row * sum.partialStride + column)
        for _ in 0..<sum.partialCount {
            add(partial, stride: sum.partialStride)
            partial -= sum.levelStride
        }
        let target = sum.target + row * sum.stride + column
        if sum.addsTarget { add(target, stride: sum.stride) }
        store(target, stride: sum.stride)
    }
}

/// The target's lines are on their way while the chain runs.
@inline(__always)
private func prefetch(_ sum: TileSum, rows: Int) {
    for row in 0..<rows {
        prefetch_for_writing(sum.target + row * sum.stride)
        if rows == 12 { prefetch_for_writing(sum.target + row * sum.stride + 16) }
    }
}

@inline(never)
private func multiplyNarrow(
    _ inner: Int, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ ahead: SliverAhead,
    _ sum: TileSum
) {
    var rows = SixRows(sum, row: 0, column: 0)
    var (a, b, next) = (a, b, ahead.start)
    prefetch(sum, rows: 6)
    for _ in 0..<inner >> 2 {
        prefetch_for_later(next)
        next += 4 * ahead.step
        for step in 0..<4 { rows.addProducts(a + 6 * step, b.vector(at: 16 * step)) }
        a += 24
        b += 64
    }
    for _ in 0..<inner & 3 {
        rows.addProducts(a, b.vector(at: 0))
        a += 6
        b += 16
    }
    rows.finish(sum, row: 0, column: 0)
}

@inline(never)
private func multiplyWide(
    _ inner: Int, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ ahead: SliverAhead,
    _ sum: TileSum
) {
    var upperLeft = SixRows(sum, row: 0, column: 0)
    var upperRight = SixRows(sum, row: 0, column: 16)
    var lowerLeft = SixRows(sum, row: 6, column: 0)
    var lowerRight = SixRows(sum, row: 6, column: 16)
    var (a, b, next) = (a, b, ahead.start)
    prefetch(sum, rows: 12)
    for _ in 0..<inner {
        prefetch_for_later(next)
        next += ahead.step
        let left = b.vector(at: 0)
        let right = b.vector(at: 16)
        upperLeft.addProducts(a, left)
        upperRight.addProducts(a, right)
        lowerLeft.addProducts(a + 6, left)
        lowerRight.addProducts(a + 6, right)
        a += 12
        b += 32
    }
    upperLeft.finish(sum, row: 0, column: 0)
    upperRight.finish(sum, row: 0, column: 16)
    lowerLeft.finish(sum, row: 6, column: 0)
    lowerRight.finish(sum, row: 6, column: 16)
}

extension TileSum {
    /// Adds what is to be added to a tile that is made, and stores it.
    func finish(
        _ tile: UnsafePointer<Float>, stride tileStride: Int, rows: Int, columns: Int
    ) {
        for row in 0..<rows {
            var column = 0
            while column < columns {
                let count = min(16, columns - column)
                var value = tile.part(at: row * tileStride + column, count: count)
                for level in 0..<partialCount {
                    value += partial.part(
                        at: row * partialStride + column - level * levelStride, count: count)
                }
                if addsTarget { value += target.part(at: row * stride + column, count: count) }
                target.storePart(value, at: row * stride + column, count: count)
                column += 16
            }
        }
    }
}

extension TileShape {
    /// A whole tile.
    @inline(__always)
    func multiply(
        _ rule: ChainRule, inner: Int, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>,
        ahead: SliverAhead, into sum: TileSum
    ) {
        switch (rule, self) {
        case (.single, .narrow): multiplyNarrow(inner, a, b, ahead, sum)
        case (.single, .wide): multiplyWide(inner, a, b, ahead, sum)
        case (.pairs, .narrow), (.pairs, .wide): multiplyPairs(inner, a, b, ahead, sum)
        case (.pairs, .matrix): multiplyMatrix(inner, a, b, ahead, sum)
        case (.single, .matrix): preconditionFailure("TileShape: the matrix unit adds by pairs")
        }
    }

    /// The first `rows` and `columns` of a tile.
    @inline(never)
    func multiplyPart(
        _ rule: ChainRule, rows: Int, columns: Int, inner: Int, _ a: UnsafePointer<Float>,
        _ b: UnsafePointer<Float>, into sum: TileSum
    ) {
        let tile = sum.spare + Self.mostElements
        if sum.continues {
            for row in 0..<rows {
                (tile + row * width).update(
                    from: sum.start + row * sum.startStride, count: columns)
            }
        }
        var whole = sum
        (whole.target, whole.stride, whole.addsTarget) = (tile, width, false)
        (whole.start, whole.startStride, whole.partialCount) = (tile, width, 0)
        multiply(rule, inner: inner, a, b, ahead: SliverAhead(start: b, step: 0), into: whole)
        sum.finish(tile, stride: width, rows: rows, columns: columns)
    }
}
