// The innermost part of a product with few rows: the right factor is read where it lies.
//
// A *strip* is eight columns of C for up to four rows of A. B is stored transposed, so a column of it is
// contiguous along the inner index, and the strip's lanes have to be columns: eight columns by some inner
// indices are transposed in registers, and every inner index is then one multiply-add for each row. Eight
// and not more, because columns may lie a multiple of 4 KiB apart: so many lines of the nearest cache can
// have the same place.

import COpenBLAS
import CTiles

typealias EightFloats = SIMD8<Float>

/// Up to four rows of eight sums; those that are not asked for stay zero, and the compiler drops them.
struct ColumnStrip {
    var row0 = EightFloats.zero
    var row1 = EightFloats.zero
    var row2 = EightFloats.zero
    var row3 = EightFloats.zero

    /// Adds the products of inner index `k`; `b` has its elements of eight columns.
    @inline(__always)
    mutating func addProducts(_ a: FewRows, _ k: Int, _ b: EightFloats, rows: Int) {
        row0 = add_product(row0, a.pointer[k], b)
        if rows > 1 { row1 = add_product(row1, a.pointer[a.stride + k], b) }
        if rows > 2 { row2 = add_product(row2, a.pointer[2 * a.stride + k], b) }
        if rows > 3 { row3 = add_product(row3, a.pointer[3 * a.stride + k], b) }
    }

    /// Puts the first `count` columns to `target`, or adds them to what is there.
    @inline(__always)
    func finish(
        _ target: UnsafeMutablePointer<Float>, stride: Int, rows: Int, count: Int = 8, adds: Bool
    ) {
        put(row0, target, count, adds)
        if rows > 1 { put(row1, target + stride, count, adds) }
        if rows > 2 { put(row2, target + 2 * stride, count, adds) }
        if rows > 3 { put(row3, target + 3 * stride, count, adds) }
    }

    @inline(__always)
    private func put(
        _ sums: EightFloats, _ target: UnsafeMutablePointer<Float>, _ count: Int, _ adds: Bool
    ) {
        if count == 8 {
            let memory = UnsafeMutableRawPointer(target)
            let result = adds ? memory.loadUnaligned(as: EightFloats.self) + sums : sums
            memory.storeBytes(of: result, as: EightFloats.self)
        } else {
            for lane in 0..<count {
                target[lane] = adds ? target[lane] + sums[lane] : sums[lane]
            }
        }
    }
}

/// Rows of the left factor as floats, contiguous along the inner index.
struct FewRows {
    let pointer: UnsafePointer<Float>
    let stride: Int

    @inline(__always)
    static func + (rows: FewRows, inner: Int) -> FewRows {
        FewRows(pointer: rows.pointer + inner, stride: rows.stride)
    }

    @inline(__always)
    func dropping(rows: Int) -> FewRows {
        FewRows(pointer: pointer + rows * stride, stride: stride)
    }
}

/// Columns of the right factor as they are stored, `stride` elements apart.
struct StoredColumns<Element: ColumnElement> {
    let pointer: UnsafePointer<Element>
    let stride: Int

    @inline(__always)
    static func + (columns: StoredColumns, inner: Int) -> StoredColumns {
        StoredColumns(pointer: columns.pointer + inner, stride: columns.stride)
    }

    @inline(__always)
    func dropping(columns: Int) -> StoredColumns {
        StoredColumns(pointer: pointer + columns * stride, stride: stride)
    }

    /// Inner index `k` of the first `count` columns; zeros for the others.
    @inline(__always)
    func elements(at k: Int, count: Int) -> EightFloats {
        var result = EightFloats.zero
        for lane in 0..<count { result[lane] = pointer[lane * stride + k].float }
        return result
    }

    @inline(__always)
    func prefetch() {
        for column in 0..<8 { prefetch_for_reading(pointer + column * stride) }
    }
}

/// Chains from 0 of some strips.
struct StripWork<Element: ColumnElement> {
    /// At most `mostStrips`.
    let strips: Int
    /// At most `chainLength`.
    let inner: Int
    let a: FewRows
    let b: StoredColumns<Element>
    let ahead: Ahead
    let target: UnsafeMutablePointer<Float>
    let stride: Int
    /// Whether the chains are added to what is there.
    let adds: Bool

    /// For 1 to 4 rows.
    func run(rows: Int) {
        switch rows {
        case 1: multiplyOneRow(self)
        case 2: multiplyTwoRows(self)
        case 3: multiplyThreeRows(self)
        default: multiplyFourRows(self)
        }
    }

    /// A line of the cache of each column at a time, strip by strip: the multiply-adds of a strip wait for each
    /// other, those of different strips do not. `rows` is a literal wherever this is called.
    @inline(__always)
    fileprivate func multiply(rows: Int) {
        withUnsafeTemporaryAllocation(of: ColumnStrip.self, capacity: mostStrips) { sums in
            guard let sums = sums.baseAddress else { return }
            for strip in 0..<strips { sums[strip] = ColumnStrip() }
            let whole = inner / Element.columnStep * Element.columnStep
            // One line that is there already, where there is nothing to ask for: a branch less.
            var next = ahead.next ?? UnsafeRawPointer(b.pointer)
            let step = ahead.next == nil ? 0 : 8 * 64
            for k in Swift.stride(from: 0, to: whole, by: Element.columnStep) {
                let a = a + k
                var b = b + k
                let distance = k < ahead.turn ? ahead.near : ahead.far
                for strip in 0..<strips {
                    (b + distance).prefetch()
                    for line in 0..<8 { prefetch_for_later(next + line * 64) }
                    next += step
                    var sum = sums[strip]
                    Element.addProducts(a, b, to: &sum, rows: rows)
                    sums[strip] = sum
                    b = b.dropping(columns: 8)
                }
            }
            for strip in 0..<strips {
                var sum = sums[strip]
                let b = b.dropping(columns: 8 * strip)
                for k in whole..<inner {
                    sum.addProducts(a, k, b.elements(at: k, count: 8), rows: rows)
                }
                sum.finish(target + 8 * strip, stride: stride, rows: rows, adds: adds)
            }
        }
    }
}

/// Strips that are gone through together.
let mostStrips = 4

@inline(never)
private func multiplyOneRow<Element: ColumnElement>(_ work: StripWork<Element>) {
    work.multiply(rows: 1)
}

@inline(never)
private func multiplyTwoRows<Element: ColumnElement>(_ work: StripWork<Element>) {
    work.multiply(rows: 2)
}

@inline(never)
private func multiplyThreeRows<Element: ColumnElement>(_ work: StripWork<Element>) {
    work.multiply(rows: 3)
}

@inline(never)
private func multiplyFourRows<Element: ColumnElement>(_ work: StripWork<Element>) {
    work.multiply(rows: 4)
}

/// The last `count` < 8 columns of C.
func multiplyPartOfStrip<Element: ColumnElement>(
    rows: Int, count: Int, inner: Int, _ a: FewRows, _ b: StoredColumns<Element>,
    into target: UnsafeMutablePointer<Float>, stride: Int, adds: Bool
) {
    for row in 0..<rows {
        var strip = ColumnStrip()
        let a = a.dropping(rows: row)
        for k in 0..<inner {
            strip.addProducts(a, k, b.elements(at: k, count: count), rows: 1)
        }
        strip.finish(target + row * stride, stride: stride, rows: 1, count: count, adds: adds)
    }
}

/// Which elements are asked for while others are multiplied: `near` elements further on in the same columns
/// until inner index `turn`, then `far` further on, where the next columns begin. Those are asked for too, for the
/// second-level cache and from end to end, as memory is read fastest: a block of columns before they are used.
struct Ahead {
    let turn: Int
    let near: Int
    let far: Int
    /// What the next block of columns has of this chain, one column behind the other as a weight has them; nil: not
    /// asked for.
    let next: UnsafeRawPointer?
}

/// An element type whose columns are transposed in registers.
protocol ColumnElement: StoredElement {
    /// Inner indices that `addProducts` takes: a line of the cache.
    static var columnStep: Int { get }
    /// `columnStep` inner indices of eight columns, in order.
    static func addProducts(
        _ a: FewRows, _ b: StoredColumns<Self>, to strip: inout ColumnStrip, rows: Int)
}

extension Float: ColumnElement {
    @inline(__always)
    static var columnStep: Int { 16 }

    @inline(__always)
    static func addProducts(
        _ a: FewRows, _ b: StoredColumns<Float>, to strip: inout ColumnStrip, rows: Int
    ) {
        addFour(a, b, to: &strip, rows)
        addFour(a + 4, b + 4, to: &strip, rows)
        addFour(a + 8, b + 8, to: &strip, rows)
        addFour(a + 12, b + 12, to: &strip, rows)
    }

    /// Columns 0 to 3 in the lower halves of registers, 4 to 7 in the upper ones: the two transpositions of
    /// four by four are the same instructions.
    @inline(__always)
    private static func addFour(
        _ a: FewRows, _ b: StoredColumns<Float>, to strip: inout ColumnStrip, _ rows: Int
    ) {
        @inline(__always)
        func pair(_ column: Int) -> EightFloats {
            join_halves(
                loadFour(b.pointer + column * b.stride),
                loadFour(b.pointer + (column + 4) * b.stride))
        }
        let (b0, b1, b2, b3) = (pair(0), pair(1), pair(2), pair(3))
        let (lower01, lower23) = (zip_lower(b0, b1), zip_lower(b2, b3))
        let (upper01, upper23) = (zip_upper(b0, b1), zip_upper(b2, b3))
        strip.addProducts(a, 0, zip_lower_pairs(lower01, lower23), rows: rows)
        strip.addProducts(a, 1, zip_upper_pairs(lower01, lower23), rows: rows)
        strip.addProducts(a, 2, zip_lower_pairs(upper01, upper23), rows: rows)
        strip.addProducts(a, 3, zip_upper_pairs(upper01, upper23), rows: rows)
    }
}

/// Elements of 16 bits: they are transposed as they are, and converted afterwards.
protocol HalfWidthElement: ColumnElement {
    /// The lower eight of 16, and the upper eight.
    static func floatsOfLower(_ bits: SIMD16<UInt16>) -> EightFloats
    static func floatsOfUpper(_ bits: SIMD16<UInt16>) -> EightFloats
}

extension Float16: HalfWidthElement {
    @inline(__always)
    static func floatsOfLower(_ bits: SIMD16<UInt16>) -> EightFloats { floats_of_lower(bits) }
    @inline(__always)
    static func floatsOfUpper(_ bits: SIMD16<UInt16>) -> EightFloats { floats_of_upper(bits) }
}

extension BFloat16: HalfWidthElement {
    @inline(__always)
    static func floatsOfLower(_ bits: SIMD16<UInt16>) -> EightFloats {
        floats_of_lower_brains(bits)
    }
    @inline(__always)
    static func floatsOfUpper(_ bits: SIMD16<UInt16>) -> EightFloats {
        floats_of_upper_brains(bits)
    }
}

extension HalfWidthElement {
    @inline(__always)
    static var columnStep: Int { 32 }

    @inline(__always)
    static func addProducts(
        _ a: FewRows, _ b: StoredColumns<Self>, to strip: inout ColumnStrip, rows: Int
    ) {
        addSixteen(a, b, to: &strip, rows)
        addSixteen(a + 16, b + 16, to: &strip, rows)
    }

    /// Halves are transposed as they are, two blocks of eight by eight at once, and converted eight by eight
    /// afterwards: half as many bytes go through the shuffles.
    @inline(__always)
    private static func addSixteen(
        _ a: FewRows, _ b: StoredColumns<Self>, to strip: inout ColumnStrip, _ rows: Int
    ) {
        @inline(__always)
        func column(_ index: Int) -> SIMD16<UInt16> {
            UnsafeRawPointer(b.pointer + index * b.stride).loadUnaligned(as: SIMD16<UInt16>.self)
        }
        let (b0, b1, b2, b3) = (column(0), column(1), column(2), column(3))
        let (b4, b5, b6, b7) = (column(4), column(5), column(6), column(7))
        // Inner indices 0 to 3 (and 8 to 11, in the upper half) of two columns, then 4 to 7.
        let (lower01, lower23) = (zip_lower_ones(b0, b1), zip_lower_ones(b2, b3))
        let (lower45, lower67) = (zip_lower_ones(b4, b5), zip_lower_ones(b6, b7))
        let (upper01, upper23) = (zip_upper_ones(b0, b1), zip_upper_ones(b2, b3))
        let (upper45, upper67) = (zip_upper_ones(b4, b5), zip_upper_ones(b6, b7))
        // Two inner indices of four columns.
        let (first0, first1) = (zip_lower_twos(lower01, lower23), zip_lower_twos(lower45, lower67))
        let (second0, second1) = (
            zip_upper_twos(lower01, lower23), zip_upper_twos(lower45, lower67)
        )
        let (third0, third1) = (zip_lower_twos(upper01, upper23), zip_lower_twos(upper45, upper67))
        let (fourth0, fourth1) = (
            zip_upper_twos(upper01, upper23), zip_upper_twos(upper45, upper67)
        )
        let (k0, k1) = (zip_lower_fours(first0, first1), zip_upper_fours(first0, first1))
        let (k2, k3) = (zip_lower_fours(second0, second1), zip_upper_fours(second0, second1))
        let (k4, k5) = (zip_lower_fours(third0, third1), zip_upper_fours(third0, third1))
        let (k6, k7) = (zip_lower_fours(fourth0, fourth1), zip_upper_fours(fourth0, fourth1))
        strip.addProducts(a, 0, floatsOfLower(k0), rows: rows)
        strip.addProducts(a, 1, floatsOfLower(k1), rows: rows)
        strip.addProducts(a, 2, floatsOfLower(k2), rows: rows)
        strip.addProducts(a, 3, floatsOfLower(k3), rows: rows)
        strip.addProducts(a, 4, floatsOfLower(k4), rows: rows)
        strip.addProducts(a, 5, floatsOfLower(k5), rows: rows)
        strip.addProducts(a, 6, floatsOfLower(k6), rows: rows)
        strip.addProducts(a, 7, floatsOfLower(k7), rows: rows)
        strip.addProducts(a, 8, floatsOfUpper(k0), rows: rows)
        strip.addProducts(a, 9, floatsOfUpper(k1), rows: rows)
        strip.addProducts(a, 10, floatsOfUpper(k2), rows: rows)
        strip.addProducts(a, 11, floatsOfUpper(k3), rows: rows)
        strip.addProducts(a, 12, floatsOfUpper(k4), rows: rows)
        strip.addProducts(a, 13, floatsOfUpper(k5), rows: rows)
        strip.addProducts(a, 14, floatsOfUpper(k6), rows: rows)
        strip.addProducts(a, 15, floatsOfUpper(k7), rows: rows)
    }
}
