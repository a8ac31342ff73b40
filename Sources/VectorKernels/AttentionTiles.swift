// The matrix products of attention, on small panels that stay in cache. Every element of a product is
// one chain of fused multiply-adds over the inner index in order, whatever stands beside it; so a
// row's bits depend on no other row, inner elements that are zero change nothing, and the form of the
// tiles shows in no bit.

extension AttentionTile {
    @inline(__always)
    static var native: AttentionTile { hasWideRegisters ? .wide : .tall }
}

extension VectorKernels {
    package static func multiplyRows(
        _ a: Broadcast, rows: Int, _ b: Columns, vectors: Int, inner: Int,
        into c: UnsafeMutablePointer<Float>, stride: Int, accumulate: Bool,
        tile: AttentionTile?
    ) {
        multiplyPanel(
            a, rows: rows, b, vectors: vectors, inner: inner, into: c, stride: stride,
            accumulate: accumulate, tile: tile ?? .native)
    }
}

@inline(__always)
func multiplyPanel(
    _ a: Broadcast, rows: Int, _ b: Columns, vectors: Int, inner: Int,
    into c: UnsafeMutablePointer<Float>, stride: Int, accumulate: Bool,
    tile: AttentionTile = .native
) {
    switch tile {
    case .wide: multiplyWide(a, rows, b, vectors, inner, c, stride, accumulate)
    case .tall: multiplyTall(a, rows, b, vectors, inner, c, stride, accumulate)
    }
}

private func multiplyWide(
    _ a: Broadcast, _ rows: Int, _ b: Columns, _ vectors: Int, _ inner: Int,
    _ c: UnsafeMutablePointer<Float>, _ stride: Int, _ accumulate: Bool
) {
    var vector = 0
    while vector < vectors {
        let b = b.dropping(vectors: vector)
        let left = vectors - vector
        for row in Swift.stride(from: 0, to: rows, by: 4) {
            let a = a.dropping(rows: row)
            let c = c + row * stride + vector * 16
            if left >= 4 {
                multiplyFourByFour(a, b, inner, c, stride, accumulate)
            } else if left >= 2 {
                multiplyFourByTwo(a, b, inner, c, stride, accumulate)
            } else {
                multiplyFourByOne(a, b, inner, c, stride, accumulate)
            }
        }
        vector += left >= 4 ? 4 : left >= 2 ? 2 : 1
    }
}

private func multiplyTall(
    _ a: Broadcast, _ rows: Int, _ b: Columns, _ vectors: Int, _ inner: Int,
    _ c: UnsafeMutablePointer<Float>, _ stride: Int, _ accumulate: Bool
) {
    for vector in 0..<vectors {
        let b = b.dropping(vectors: vector)
        var row = 0
        while row < rows {
            let a = a.dropping(rows: row)
            let c = c + row * stride + vector * 16
            // Sixteen rows are 6 + 6 + 4, twelve 6 + 6, eight 4 + 4.
            if rows - row >= 6 && rows - row != 8 {
                multiplySixByOne(a, b, inner, c, stride, accumulate)
                row += 6
            } else {
                multiplyFourByOne(a, b, inner, c, stride, accumulate)
                row += 4
            }
        }
    }
}

/// Four rows of one vector each.
private struct Strip {
    var row0 = Vector.zero
    var row1 = Vector.zero
    var row2 = Vector.zero
    var row3 = Vector.zero

    @inline(__always)
    init(_ c: UnsafeMutablePointer<Float>, stride: Int, _ accumulate: Bool) {
        guard accumulate else { return }
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

@inline(never)
private func multiplyFourByFour(
    _ a: Broadcast, _ b: Columns, _ inner: Int, _ c: UnsafeMutablePointer<Float>, _ stride: Int,
    _ accumulate: Bool
) {
    var first = Strip(c, stride: stride, accumulate)
    var second = Strip(c + 16, stride: stride, accumulate)
    var third = Strip(c + 32, stride: stride, accumulate)
    var fourth = Strip(c + 48, stride: stride, accumulate)
    var left = a.pointer
    var right = b.pointer
    for _ in 0..<inner {
        let a0 = Vector(repeating: left[0])
        let a1 = Vector(repeating: left[a.rowStride])
        let a2 = Vector(repeating: left[2 * a.rowStride])
        let a3 = Vector(repeating: left[3 * a.rowStride])
        first.add(right.vector(at: 0), a0, a1, a2, a3)
        second.add(right.vector(at: b.vectorStride), a0, a1, a2, a3)
        third.add(right.vector(at: 2 * b.vectorStride), a0, a1, a2, a3)
        fourth.add(right.vector(at: 3 * b.vectorStride), a0, a1, a2, a3)
        left += a.innerStride
        right += b.innerStride
    }
    first.store(c, stride: stride)
    second.store(c + 16, stride: stride)
    third.store(c + 32, stride: stride)
    fourth.store(c + 48, stride: stride)
}

@inline(never)
private func multiplyFourByTwo(
    _ a: Broadcast, _ b: Columns, _ inner: Int, _ c: UnsafeMutablePointer<Float>, _ stride: Int,
    _ accumulate: Bool
) {
    var first = Strip(c, stride: stride, accumulate)
    var second = Strip(c + 16, stride: stride, accumulate)
    var left = a.pointer
    var right = b.pointer
    for _ in 0..<inner {
        let a0 = Vector(repeating: left[0])
        let a1 = Vector(repeating: left[a.rowStride])
        let a2 = Vector(repeating: left[2 * a.rowStride])
        let a3 = Vector(repeating: left[3 * a.rowStride])
        first.add(right.vector(at: 0), a0, a1, a2, a3)
        second.add(right.vector(at: b.vectorStride), a0, a1, a2, a3)
        left += a.innerStride
        right += b.innerStride
    }
    first.store(c, stride: stride)
    second.store(c + 16, stride: stride)
}

@inline(never)
private func multiplyFourByOne(
    _ a: Broadcast, _ b: Columns, _ inner: Int, _ c: UnsafeMutablePointer<Float>, _ stride: Int,
    _ accumulate: Bool
) {
    var strip = Strip(c, stride: stride, accumulate)
    var left = a.pointer
    var right = b.pointer
    for _ in 0..<inner {
        strip.add(
            right.vector(at: 0), Vector(repeating: left[0]), Vector(repeating: left[a.rowStride]),
            Vector(repeating: left[2 * a.rowStride]), Vector(repeating: left[3 * a.rowStride]))
        left += a.innerStride
        right += b.innerStride
    }
    strip.store(c, stride: stride)
}

@inline(never)
private func multiplySixByOne(
    _ a: Broadcast, _ b: Columns, _ inner: Int, _ c: UnsafeMutablePointer<Float>, _ stride: Int,
    _ accumulate: Bool
) {
    var strip = Strip(c, stride: stride, accumulate)
    var (row4, row5) = (Vector.zero, Vector.zero)
    if accumulate {
        row4 = c.vector(at: 4 * stride)
        row5 = c.vector(at: 5 * stride)
    }
    var left = a.pointer
    var right = b.pointer
    for _ in 0..<inner {
        let vector = right.vector(at: 0)
        strip.add(
            vector, Vector(repeating: left[0]), Vector(repeating: left[a.rowStride]),
            Vector(repeating: left[2 * a.rowStride]), Vector(repeating: left[3 * a.rowStride]))
        row4.addProduct(vector, Vector(repeating: left[4 * a.rowStride]))
        row5.addProduct(vector, Vector(repeating: left[5 * a.rowStride]))
        left += a.innerStride
        right += b.innerStride
    }
    strip.store(c, stride: stride)
    c.store(row4, at: 4 * stride)
    c.store(row5, at: 5 * stride)
}
