// Tiles whose chains add by pairs (`ChainRule.pairs`): in the matrix unit, or with ordinary multiply-adds that give its bits.

import COpenBLAS
import CTiles

/// Chains of even and of odd inner indices, three rows by 16 columns each.
private struct ThreeRowPairs {
    var even0 = Vector.zero
    var even1 = Vector.zero
    var even2 = Vector.zero
    var odd0 = Vector.zero
    var odd1 = Vector.zero
    var odd2 = Vector.zero

    /// Two inner indices, `height` and `width` floats apart.
    @inline(__always)
    mutating func addProducts(_ a: UnsafePointer<Float>, height: Int, _ even: Vector, _ odd: Vector)
    {
        even0.addProduct(Vector(repeating: a[0]), even)
        even1.addProduct(Vector(repeating: a[1]), even)
        even2.addProduct(Vector(repeating: a[2]), even)
        odd0.addProduct(Vector(repeating: a[height]), odd)
        odd1.addProduct(Vector(repeating: a[height + 1]), odd)
        odd2.addProduct(Vector(repeating: a[height + 2]), odd)
    }

    /// The last of an odd number.
    @inline(__always)
    mutating func addLast(_ a: UnsafePointer<Float>, _ even: Vector) {
        even0.addProduct(Vector(repeating: a[0]), even)
        even1.addProduct(Vector(repeating: a[1]), even)
        even2.addProduct(Vector(repeating: a[2]), even)
    }

    /// The zeros that fill a block of `count` up, whose products make a sum of −0 a +0.
    @inline(__always)
    mutating func fillUp(from count: Int) {
        if count < 31 {
            even0 += 0
            even1 += 0
            even2 += 0
        }
        if count < 32 {
            odd0 += 0
            odd1 += 0
            odd2 += 0
        }
    }

    /// The chains' sum to what is in a tile.
    @inline(__always)
    func add(to tile: UnsafeMutablePointer<Float>, stride: Int) {
        tile.store(tile.vector(at: 0) + (even0 + odd0), at: 0)
        tile.store(tile.vector(at: stride) + (even1 + odd1), at: stride)
        tile.store(tile.vector(at: 2 * stride) + (even2 + odd2), at: 2 * stride)
    }
}

/// A tile of six rows and 16 columns, block by block, three rows at a time.
@inline(never)
private func addPairsNarrow(
    _ inner: Int, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ ahead: SliverAhead,
    _ tile: UnsafeMutablePointer<Float>
) {
    for start in stride(from: 0, to: inner, by: ChainRule.block) {
        let count = min(ChainRule.block, inner - start)
        for part in 0..<2 {
            var (a, b) = (a + 6 * start + 3 * part, b + 16 * start)
            var chains = ThreeRowPairs()
            prefetch_for_later(ahead.start + (start + 16 * part) * ahead.step)
            for _ in 0..<count >> 1 {
                chains.addProducts(a, height: 6, b.vector(at: 0), b.vector(at: 16))
                a += 12
                b += 32
            }
            if count & 1 == 1 { chains.addLast(a, b.vector(at: 0)) }
            chains.fillUp(from: count)
            chains.add(to: tile + 48 * part, stride: 16)
        }
    }
}

extension TileShape {
    /// A whole tile by pairs, with ordinary multiply-adds.
    @inline(never)
    func multiplyPairs(
        _ inner: Int, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ ahead: SliverAhead,
        _ sum: TileSum
    ) {
        let tile = sum.spare
        forEachSixRows { row, column in
            SixRows(sum, row: row, column: column).store(
                tile + row * width + column, stride: width)
        }
        let denormals = denormals_off()
        if self == .narrow {
            addPairsNarrow(inner, a, b, ahead, tile)
        } else {
            add_pairs_wide(inner, a, b, tile, ahead.start, ahead.step)
        }
        denormals_restore(denormals)
        forEachSixRows { row, column in
            var rows = SixRows(tile + row * width + column, stride: width)
            rows.finish(sum, row: row, column: column)
        }
    }

    @inline(__always)
    private func forEachSixRows(_ body: (_ row: Int, _ column: Int) -> Void) {
        for row in stride(from: 0, to: height, by: 6) {
            for column in stride(from: 0, to: width, by: 16) { body(row, column) }
        }
    }

    /// A whole tile in the matrix unit.
    @inline(never)
    func multiplyMatrix(
        _ inner: Int, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ ahead: SliverAhead,
        _ sum: TileSum
    ) {
        let blocks = ChainRule.blocks(of: inner)
        func run(into c: UnsafeMutablePointer<Float>, stride: Int) {
            multiply_tiles(
                blocks, a, b, sum.continues ? UnsafePointer(sum.start) : nil, 4 * sum.startStride,
                c,
                4 * stride, ahead.start, 64 * ahead.step)
        }
        guard sum.addsTarget || sum.partialCount > 0 else {
            return run(into: sum.target, stride: sum.stride)
        }
        run(into: sum.spare, stride: width)
        sum.finish(sum.spare, stride: width, rows: height, columns: width)
    }
}
