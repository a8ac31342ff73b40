// The matrix products of attention, on small panels that stay in cache. Every element of a product is
// one chain of fused multiply-adds over the inner index in order, whatever stands beside it; so a
// row's bits depend on no other row, and inner elements that are zero change nothing. OpenBLAS
// promises neither at these sizes.

/// The left factor: element (row, k) at pointer[row·rowStride + k·innerStride].
struct Broadcast {
    let pointer: UnsafePointer<Float>
    let rowStride: Int
    let innerStride: Int

    init(_ pointer: UnsafePointer<Float>, rowStride: Int, innerStride: Int = 1) {
        self.pointer = pointer
        self.rowStride = rowStride
        self.innerStride = innerStride
    }
}

/// Four rows of one register each.
private struct Strip {
    var row0 = Vector.zero
    var row1 = Vector.zero
    var row2 = Vector.zero
    var row3 = Vector.zero

    @inline(__always)
    init() {}

    @inline(__always)
    init(_ c: UnsafeMutablePointer<Float>, stride: Int) {
        row0 = c.vector(at: 0)
        row1 = c.vector(at: stride)
        row2 = c.vector(at: 2 * stride)
        row3 = c.vector(at: 3 * stride)
    }

    @inline(__always)
    func store(_ c: UnsafeMutablePointer<Float>, stride: Int) {
        c.store(row0, at: 0)
        c.store(row1, at: stride)
        c.store(row2, at: 2 * stride)
        c.store(row3, at: 3 * stride)
    }

    @inline(__always)
    mutating func add(_ b: Vector, _ a0: Vector, _ a1: Vector, _ a2: Vector, _ a3: Vector) {
        row0.addProduct(b, a0)
        row1.addProduct(b, a1)
        row2.addProduct(b, a2)
        row3.addProduct(b, a3)
    }
}

/// c[4, 16·vectors] = a[4, inner]·b[inner, 16·vectors], added to c where `accumulate`.
@inline(__always)
func multiplyFourRows(
    _ a: Broadcast, _ b: UnsafePointer<Float>, stride bStride: Int, inner: Int, vectors: Int,
    into c: UnsafeMutablePointer<Float>, stride: Int, accumulate: Bool
) {
    var done = 0
    while done + 4 <= vectors {
        multiplyFourVectors(
            a, b + 16 * done, bStride, inner, c + 16 * done, stride, accumulate)
        done += 4
    }
    if done + 2 <= vectors {
        multiplyTwoVectors(a, b + 16 * done, bStride, inner, c + 16 * done, stride, accumulate)
        done += 2
    }
    if done < vectors {
        multiplyOneVector(a, b + 16 * done, bStride, inner, c + 16 * done, stride, accumulate)
    }
}

@inline(never)
private func multiplyFourVectors(
    _ a: Broadcast, _ b: UnsafePointer<Float>, _ bStride: Int, _ inner: Int,
    _ c: UnsafeMutablePointer<Float>, _ stride: Int, _ accumulate: Bool
) {
    var (first, second, third, fourth) = (Strip(), Strip(), Strip(), Strip())
    if accumulate {
        first = Strip(c, stride: stride)
        second = Strip(c + 16, stride: stride)
        third = Strip(c + 32, stride: stride)
        fourth = Strip(c + 48, stride: stride)
    }
    var left = a.pointer
    var right = b
    for _ in 0..<inner {
        let a0 = Vector(repeating: left[0])
        let a1 = Vector(repeating: left[a.rowStride])
        let a2 = Vector(repeating: left[2 * a.rowStride])
        let a3 = Vector(repeating: left[3 * a.rowStride])
        first.add(right.vector(at: 0), a0, a1, a2, a3)
        second.add(right.vector(at: 16), a0, a1, a2, a3)
        third.add(right.vector(at: 32), a0, a1, a2, a3)
        fourth.add(right.vector(at: 48), a0, a1, a2, a3)
        left += a.innerStride
        right += bStride
    }
    first.store(c, stride: stride)
    second.store(c + 16, stride: stride)
    third.store(c + 32, stride: stride)
    fourth.store(c + 48, stride: stride)
}

@inline(never)
private func multiplyTwoVectors(
    _ a: Broadcast, _ b: UnsafePointer<Float>, _ bStride: Int, _ inner: Int,
    _ c: UnsafeMutablePointer<Float>, _ stride: Int, _ accumulate: Bool
) {
    var (first, second) = (Strip(), Strip())
    if accumulate {
        first = Strip(c, stride: stride)
        second = Strip(c + 16, stride: stride)
    }
    var left = a.pointer
    var right = b
    for _ in 0..<inner {
        let a0 = Vector(repeating: left[0])
        let a1 = Vector(repeating: left[a.rowStride])
        let a2 = Vector(repeating: left[2 * a.rowStride])
        let a3 = Vector(repeating: left[3 * a.rowStride])
        first.add(right.vector(at: 0), a0, a1, a2, a3)
        second.add(right.vector(at: 16), a0, a1, a2, a3)
        left += a.innerStride
        right += bStride
    }
    first.store(c, stride: stride)
    second.store(c + 16, stride: stride)
}

@inline(never)
private func multiplyOneVector(
    _ a: Broadcast, _ b: UnsafePointer<Float>, _ bStride: Int, _ inner: Int,
    _ c: UnsafeMutablePointer<Float>, _ stride: Int, _ accumulate: Bool
) {
    var first = accumulate ? Strip(c, stride: stride) : Strip()
    var left = a.pointer
    var right = b
    for _ in 0..<inner {
        first.add(
            right.vector(at: 0), Vector(repeating: left[0]), Vector(repeating: left[a.rowStride]),
            Vector(repeating: left[2 * a.rowStride]), Vector(repeating: left[3 * a.rowStride]))
        left += a.innerStride
        right += bStride
    }
    first.store(c, stride: stride)
}

/// Copies rows of a head into a panel `[padded × stride]`, scaled; what is beyond rows and width is zero.
func packRows(
    _ source: HeadRows, rows: Range<Int>, width: Int, scale: Float = 1, padded: Int,
    into panel: UnsafeMutablePointer<Float>, stride: Int
) {
    for (index, row) in rows.enumerated() {
        let x = UnsafePointer(source[row])
        forEachVector(width) { column, count in
            panel.store(x.part(at: column, count: count) * scale, at: index * stride + column)
        }
    }
    let rest = padded - rows.count
    (panel + rows.count * stride).update(repeating: 0, count: rest * stride)
}

/// Copies rows of a head transposed into tiles of 64 rows: element (row, d) of tile n at
/// tiles[(n·width + d)·64 + row]; rows beyond the last are zero.
func packTransposed(
    _ source: HeadRows, rows: Range<Int>, width: Int, into tiles: UnsafeMutablePointer<Float>
) {
    for (index, first) in stride(from: rows.lowerBound, to: rows.upperBound, by: 64).enumerated() {
        let tile = tiles + index * width * 64
        let count = min(64, rows.upperBound - first)
        if count < 64 { tile.update(repeating: 0, count: width * 64) }
        for row in 0..<count {
            let x = UnsafePointer(source[first + row])
            for d in 0..<width { tile[d * 64 + row] = x[d] }
        }
    }
}
