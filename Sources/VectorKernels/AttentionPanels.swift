// Between heads as they are stored and panels of Float32: the only place where attention reads or
// writes stored elements.

import COpenBLAS

/// Copies rows of a head into a panel `[padded × stride]`, scaled; what is beyond rows and width is zero.
func packRows(
    _ source: HeadRows, rows: Range<Int>, width: Int, scale: Float = 1, padded: Int,
    into panel: UnsafeMutablePointer<Float>, stride: Int
) {
    switch source.base.type {
    case .float32: packRows(Float.self, source, rows, width, scale, panel, stride)
    case .float16: packRows(Float16.self, source, rows, width, scale, panel, stride)
    case .bfloat16: packRows(BFloat16.self, source, rows, width, scale, panel, stride)
    }
    let rest = padded - rows.count
    if rest > 0 { (panel + rows.count * stride).update(repeating: 0, count: rest * stride) }
}

private func packRows<Element: StoredElement>(
    _ type: Element.Type, _ source: HeadRows, _ rows: Range<Int>, _ width: Int, _ scale: Float,
    _ panel: UnsafeMutablePointer<Float>, _ stride: Int
) {
    var target = panel
    for row in rows {
        prefetch(source, row: row + 8, width: width)
        let x = UnsafePointer(source.row(row, of: type))
        forEachVector(width) { column, count in
            target.store(x.part(at: column, count: count) * scale, at: column)
        }
        target += stride
    }
}

/// Copies rows of a head transposed into panels of 16 rows: element (row, d) of panel n at
/// panels[(n·width + d)·16 + row]; rows beyond the last are zero.
func packTransposed(
    _ source: HeadRows, rows: Range<Int>, width: Int, into panels: UnsafeMutablePointer<Float>
) {
    switch source.base.type {
    case .float32: packTransposed(Float.self, source, rows, width, panels)
    case .float16: packTransposed(Float16.self, source, rows, width, panels)
    case .bfloat16: packTransposed(BFloat16.self, source, rows, width, panels)
    }
}

private func packTransposed<Element: StoredElement>(
    _ type: Element.Type, _ source: HeadRows, _ rows: Range<Int>, _ width: Int,
    _ panels: UnsafeMutablePointer<Float>
) {
    var panel = panels
    for first in stride(from: rows.lowerBound, to: rows.upperBound, by: 16) {
        let count = min(16, rows.upperBound - first)
        for row in 0..<count { prefetch(source, row: first + 16 + row, width: width) }
        let quads = count == 16 ? width & ~3 : 0
        for half in stride(from: 0, to: count == 16 ? 16 : 0, by: 8) {
            for d in stride(from: 0, to: quads, by: 4) {
                transposeEightByFour(
                    UnsafePointer(source.row(first + half, of: type)) + d, stride: source.stride,
                    into: panel + d * 16 + half)
            }
        }
        for d in quads..<width {
            var column = Vector.zero
            for row in 0..<count { column[row] = source.row(first + row, of: type)[d].float }
            panel.store(column, at: d * 16)
        }
        panel += width * 16
    }
}

/// Eight rows of four elements to four runs of eight, 16 apart.
@inline(__always)
private func transposeEightByFour<Element: StoredElement>(
    _ x: UnsafePointer<Element>, stride: Int, into y: UnsafeMutablePointer<Float>
) {
    @inline(__always)
    func rows(_ index: Int) -> SIMD8<Float> {
        SIMD8(
            lowHalf: Element.loadFour(x + index * stride),
            highHalf: Element.loadFour(x + (index + 4) * stride))
    }
    let (a, b, c, d) = (rows(0), rows(1), rows(2), rows(3))
    let ab0 = SIMD8(a[0], b[0], a[1], b[1], a[4], b[4], a[5], b[5])
    let ab2 = SIMD8(a[2], b[2], a[3], b[3], a[6], b[6], a[7], b[7])
    let cd0 = SIMD8(c[0], d[0], c[1], d[1], c[4], d[4], c[5], d[5])
    let cd2 = SIMD8(c[2], d[2], c[3], d[3], c[6], d[6], c[7], d[7])
    let run0 = SIMD8(ab0[0], ab0[1], cd0[0], cd0[1], ab0[4], ab0[5], cd0[4], cd0[5])
    let run1 = SIMD8(ab0[2], ab0[3], cd0[2], cd0[3], ab0[6], ab0[7], cd0[6], cd0[7])
    let run2 = SIMD8(ab2[0], ab2[1], cd2[0], cd2[1], ab2[4], ab2[5], cd2[4], cd2[5])
    let run3 = SIMD8(ab2[2], ab2[3], cd2[2], cd2[3], ab2[6], ab2[7], cd2[6], cd2[7])
    let target = UnsafeMutableRawPointer(y)
    target.storeBytes(of: run0, as: SIMD8<Float>.self)
    target.storeBytes(of: run1, toByteOffset: 64, as: SIMD8<Float>.self)
    target.storeBytes(of: run2, toByteOffset: 128, as: SIMD8<Float>.self)
    target.storeBytes(of: run3, toByteOffset: 192, as: SIMD8<Float>.self)
}

/// Writes rows of a head from a panel, times `factor`.
func writeRows(
    _ panel: UnsafePointer<Float>, stride: Int, scale factor: Float = 1, width: Int,
    to target: HeadRows, rows: Range<Int>
) {
    switch target.base.type {
    case .float32: writeRows(Float.self, panel, stride, width, target, rows) { $1 * factor }
    case .float16: writeRows(Float16.self, panel, stride, width, target, rows) { $1 * factor }
    case .bfloat16: writeRows(BFloat16.self, panel, stride, width, target, rows) { $1 * factor }
    }
}

/// Writes rows of a head from a panel, row r divided by `sums[r]`; zeros where that is 0.
func writeRows(
    _ panel: UnsafePointer<Float>, stride: Int, dividedBy sums: UnsafePointer<Float>, width: Int,
    to target: HeadRows, rows: Range<Int>
) {
    @inline(__always)
    func quotient(_ row: Int, _ x: Vector) -> Vector { sums[row] == 0 ? .zero : x / sums[row] }
    switch target.base.type {
    case .float32: writeRows(Float.self, panel, stride, width, target, rows, quotient)
    case .float16: writeRows(Float16.self, panel, stride, width, target, rows, quotient)
    case .bfloat16: writeRows(BFloat16.self, panel, stride, width, target, rows, quotient)
    }
}

@inline(__always)
private func writeRows<Element: StoredElement>(
    _ type: Element.Type, _ panel: UnsafePointer<Float>, _ stride: Int, _ width: Int,
    _ target: HeadRows, _ rows: Range<Int>, _ body: (_ row: Int, Vector) -> Vector
) {
    for row in 0..<rows.count {
        let source = panel + row * stride
        let target = target.row(rows.lowerBound + row, of: type)
        forEachVector(width) { column, count in
            target.storePart(body(row, source.vector(at: column)), at: column, count: count)
        }
    }
}

/// Zeros for rows of a head.
func clearRows(of target: HeadRows, rows: Range<Int>, width: Int) {
    for row in rows {
        let size = target.base.type.size
        let start = target.base.base + row * target.stride * size
        start.initializeMemory(as: UInt8.self, repeating: 0, count: width * size)
    }
}

/// The products of rows of two heads that are stored alike.
func writeDots(
    _ x: HeadRows, _ y: HeadRows, rows: Range<Int>, width: Int,
    to products: UnsafeMutablePointer<Float>
) {
    switch x.base.type {
    case .float32: writeDots(Float.self, x, y, rows, width, products)
    case .float16: writeDots(Float16.self, x, y, rows, width, products)
    case .bfloat16: writeDots(BFloat16.self, x, y, rows, width, products)
    }
}

private func writeDots<Element: StoredElement>(
    _ type: Element.Type, _ x: HeadRows, _ y: HeadRows, _ rows: Range<Int>, _ width: Int,
    _ products: UnsafeMutablePointer<Float>
) {
    for row in rows {
        prefetch(x, row: row + 8, width: width)
        let (x, y) = (x.row(row, of: type), y.row(row, of: type))
        var sum = Vector.zero
        forEachVector(width) { column, count in
            sum.addProduct(x.part(at: column, count: count), y.part(at: column, count: count))
        }
        products[row - rows.lowerBound] = sum.treeSum()
    }
}

/// Asks for a row that is going to be read: rows lie too far apart for the hardware to foresee. An
/// address beyond the tensor does no harm.
@inline(__always)
private func prefetch(_ source: HeadRows, row: Int, width: Int) {
    let size = source.base.type.size
    let start = source.base.base + row * source.stride * size
    for line in stride(from: 0, to: width * size, by: 64) { prefetch_for_reading(start + line) }
}

/// Hands out consecutive parts of a block of working memory.
struct PanelMemory {
    private var next: UnsafeMutablePointer<Float>

    init(_ start: UnsafeMutablePointer<Float>) { next = start }

    mutating func take(_ count: Int) -> UnsafeMutablePointer<Float> {
        defer { next += count }
        return next
    }
}
