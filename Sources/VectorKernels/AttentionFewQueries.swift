// Products of attention with few queries, from keys and values as they are stored: to pack them takes longer than to use
// them once. Every sum is the chain of fused multiply-adds of AttentionTiles.swift, in the same order.

import COpenBLAS

/// Queries up to which keys and values are not packed.
let fewQueries = 4

/// c[rows, columns] = a[rows, inner]·bᵀ, b's rows `columns` being rows of a head; row r of c begins at c[r·stride]. `rows`
/// is 1 to 4.
func multiplyStoredColumns(
    _ a: FewRows, rows: Int, _ b: HeadRows, columns: Range<Int>, inner: Int,
    into c: UnsafeMutablePointer<Float>, stride: Int
) {
    switch b.base.type {
    case .float32: multiplyStoredColumns(Float.self, a, rows, b, columns, inner, c, stride)
    case .float16: multiplyStoredColumns(Float16.self, a, rows, b, columns, inner, c, stride)
    case .bfloat16: multiplyStoredColumns(BFloat16.self, a, rows, b, columns, inner, c, stride)
    }
}

@inline(__always)
private func multiplyStoredColumns<Element: ColumnElement>(
    _ type: Element.Type, _ a: FewRows, _ rows: Int, _ b: HeadRows, _ columns: Range<Int>,
    _ inner: Int, _ c: UnsafeMutablePointer<Float>, _ stride: Int
) {
    let width = 8 * mostStrips
    var first = 0
    while first < columns.count {
        let count = min(width, columns.count - first)
        let start = UnsafePointer(b.row(columns.lowerBound + first, of: type))
        let stored = StoredColumns<Element>(pointer: start, stride: b.stride)
        let whole = count & ~7
        if whole > 0 {
            // All of the next columns are asked for at once: a head's part of them is short.
            let next = width * b.stride
            StripWork(
                strips: whole / 8, inner: inner, a: a, b: stored,
                ahead: Ahead(turn: 0, near: next, far: next, next: nil), target: c + first,
                stride: stride, adds: false
            ).run(rows: rows)
        }
        if whole < count {
            multiplyPartOfStrip(
                rows: rows, count: count - whole, inner: inner, a, stored.dropping(columns: whole),
                into: c + first + whole, stride: stride, adds: false)
        }
        first += width
    }
}

/// output[width] = Σ weights[i]·(row i of `rows`), a chain from 0 for each element; what is behind `width` in the last
/// vector is zero.
func weighStoredRows(
    _ source: HeadRows, rows: Range<Int>, width: Int, weights: UnsafePointer<Float>,
    into output: UnsafeMutablePointer<Float>
) {
    switch source.base.type {
    case .float32: weighStoredRows(Float.self, source, rows, width, weights, output)
    case .float16: weighStoredRows(Float16.self, source, rows, width, weights, output)
    case .bfloat16: weighStoredRows(BFloat16.self, source, rows, width, weights, output)
    }
}

@inline(__always)
private func weighStoredRows<Element: StoredElement>(
    _ type: Element.Type, _ source: HeadRows, _ rows: Range<Int>, _ width: Int,
    _ weights: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>
) {
    var column = 0
    // Four vectors side by side: the multiply-adds of one wait for each other.
    while width - column >= 64 {
        weighFourVectors(type, source, rows, column, weights, output + column)
        column += 64
    }
    while column < width {
        let count = min(16, width - column)
        var sum = Vector.zero
        for (index, row) in rows.enumerated() {
            let x = UnsafePointer(source.row(row, of: type))
            sum.addProduct(x.part(at: column, count: count), Vector(repeating: weights[index]))
        }
        output.store(sum, at: column)
        column += 16
    }
}

@inline(__always)
private func weighFourVectors<Element: StoredElement>(
    _ type: Element.Type, _ source: HeadRows, _ rows: Range<Int>, _ column: Int,
    _ weights: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>
) {
    var (first, second, third, fourth) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var x = UnsafePointer(source.row(rows.lowerBound, of: type)) + column
    for index in 0..<rows.count {
        // Rows lie too far apart for the hardware to foresee.
        let ahead = UnsafeRawPointer(x + 8 * source.stride)
        for line in Swift.stride(from: 0, to: 64 * MemoryLayout<Element>.size, by: 64) {
            prefetch_for_reading(ahead + line)
        }
        let weight = Vector(repeating: weights[index])
        first.addProduct(x.part(at: 0, count: 16), weight)
        second.addProduct(x.part(at: 16, count: 16), weight)
        third.addProduct(x.part(at: 32, count: 16), weight)
        fourth.addProduct(x.part(at: 48, count: 16), weight)
        x += source.stride
    }
    output.store(first, at: 0)
    output.store(second, at: 16)
    output.store(third, at: 32)
    output.store(fourth, at: 48)
}
