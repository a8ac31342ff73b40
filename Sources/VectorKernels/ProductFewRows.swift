// A product with few rows: generation with cached keys and values multiplies one row, or one of each prompt,
// by every weight. The weight is read once and hardly used, so that memory is the bound; to pack it would
// take its bytes once more to write and once more to read. Here it is transposed in registers
// (`ProductStrip.swift`), and the sums are those of the definition: a chain of 1,024 is never put aside.

/// Rows up to which a right factor that is stored transposed is read where it lies: with 16, the tiles of the
/// packed form are as fast.
package let fewRows = 8

extension ProductTask {
    /// Whether its right factor is read where it lies; a matter of shape and
    /// of the rule of its chains alone.
    var hasFewRows: Bool {
        rows <= fewRows && rule == .single && slices.allSatisfy { $0.b.transposed }
    }

    /// Floats of the left factor that are converted or copied.
    fileprivate var copiedFloats: Int {
        rows * slices.reduce(0) { $0 + ($1.a.isRowsOfFloats ? 0 : $1.inner) }
    }
}

extension Operand {
    fileprivate var isRowsOfFloats: Bool { elements.type == .float32 && !transposed }
}

/// Computes a task that has few rows.
func computeFewRows(_ task: ProductTask) {
    withScratch(task.copiedFloats) { scratch in
        if let log = WorkLog.dry { return log.share(scratch: FewRowsProduct.scratch(task)) }
        let product = FewRowsProduct(task, copies: scratch)
        let count = product.pieceCount
        if task.rows * task.columns * task.inner <= Blocking.inlineWork {
            for piece in 0..<count { product.multiply(piece: piece) }
        } else {
            parallelFor(count, label: "product") { product.multiply(piece: $0) }
        }
    }
}

private struct FewRowsProduct {
    private let task: ProductTask
    /// The left factor of each slice.
    private let rows: [FewRows]
    /// Columns of a piece of work, whole blocks.
    private let pieceWidth: Int
    /// Columns that are gone through together.
    private static let blockWidth = 8 * mostStrips
    private var blockWidth: Int { Self.blockWidth }

    init(_ task: ProductTask, copies: UnsafeMutablePointer<Float>) {
        self.task = task
        pieceWidth = Self.pieceWidth(task)
        var next = copies
        rows = task.slices.map { slice in
            if slice.a.isRowsOfFloats {
                return FewRows(
                    pointer: UnsafePointer(slice.a.elements.pointer(to: Float.self)),
                    stride: slice.a.stride)
            }
            defer { next += task.rows * slice.inner }
            slice.a.copy(rows: task.rows, columns: slice.inner, into: next)
            return FewRows(pointer: next, stride: slice.inner)
        }
    }

    /// As many bytes that a thread is long enough at work, and as few that all end together.
    private static func pieceWidth(_ task: ProductTask) -> Int {
        let elements = Blocking.pieceElements / max(1, task.inner)
        return min(Blocking.columns, max(32, elements / 32 * 32))
    }

    /// Floats that a piece takes: sums that nobody else keeps, and a level of the tree for each bit of a slice's number
    /// with the sum of the slice itself.
    static func scratch(_ task: ProductTask) -> Int {
        let levels = task.slices.count > 1 ? task.slices.count.trailingZeroBitCount + 1 : 0
        return task.rows * ((task.c == nil ? pieceWidth(task) : 0) + levels * blockWidth)
    }

    var pieceCount: Int { (task.columns + pieceWidth - 1) / pieceWidth }

    func multiply(piece: Int) {
        let columns = piece * pieceWidth..<min(task.columns, (piece + 1) * pieceWidth)
        let keepsC = task.c == nil
        let block = keepsC ? task.rows * pieceWidth : 0
        withScratch(Self.scratch(task)) { scratch in
            let stride = keepsC ? pieceWidth : task.stride
            let target = task.c.map { $0 + columns.lowerBound } ?? scratch
            for first in Swift.stride(from: 0, to: columns.count, by: blockWidth) {
                let count = min(blockWidth, columns.count - first)
                multiply(
                    columns.lowerBound + first..<columns.lowerBound + first + count,
                    into: Sums(
                        pointer: target + first, stride: stride, rows: task.rows, count: count),
                    levels: scratch + block)
            }
            task.epilogue?(
                ProductBlock(
                    rows: 0..<task.rows, columns: columns, values: target, stride: stride))
        }
    }

    /// A block of columns: slice by slice, sums that have found their sibling in the tree added at once.
    private func multiply(
        _ columns: Range<Int>, into target: Sums, levels: UnsafeMutablePointer<Float>
    ) {
        let sliceCount = task.slices.count
        if sliceCount == 1 {
            multiply(slice: 0, columns, into: target, adds: task.accumulate)
            return
        }
        func level(_ index: Int) -> Sums {
            Sums(
                pointer: levels + index * task.rows * blockWidth, stride: blockWidth,
                rows: task.rows, count: columns.count)
        }
        for slice in 0..<sliceCount {
            // Level l waits with the sum of 2ˡ slices.
            let merged = (~slice).trailingZeroBitCount
            let last = level(sliceCount.trailingZeroBitCount)
            multiply(slice: slice, columns, into: last, adds: false)
            for index in 0..<min(merged, sliceCount.trailingZeroBitCount) {
                last.add(level(index), before: true)
            }
            if slice < sliceCount - 1 { level(merged).set(last) }
        }
        let root = level(sliceCount.trailingZeroBitCount)
        if task.accumulate { target.add(root, before: false) } else { target.set(root) }
    }

    /// One slice's chains, in order.
    private func multiply(slice: Int, _ columns: Range<Int>, into target: Sums, adds: Bool) {
        let term = task.slices[slice]
        switch term.b.elements.type {
        case .float32: multiply(Float.self, slice, columns, target, adds)
        case .float16: multiply(Float16.self, slice, columns, target, adds)
        case .bfloat16: multiply(BFloat16.self, slice, columns, target, adds)
        }
    }

    @inline(__always)
    private func multiply<Element: ColumnElement>(
        _ type: Element.Type, _ slice: Int, _ columns: Range<Int>, _ target: Sums, _ adds: Bool
    ) {
        let term = task.slices[slice]
        let base = term.b.elements.pointer(to: type)
        let b = StoredColumns<Element>(
            pointer: base + columns.lowerBound * term.b.stride, stride: term.b.stride)
        // What is read after this slice's part of these columns: the next slice's, or the next columns.
        let isLast = slice == task.slices.count - 1
        let following = task.slices[isLast ? 0 : slice + 1].b
        let start =
            following.elements.pointer(to: type)
            + (isLast ? columns.upperBound : columns.lowerBound) * following.stride
        let distance = (UInt(bitPattern: start) &- UInt(bitPattern: b.pointer))
        let jump = Int(bitPattern: distance) / MemoryLayout<Element>.size
        var first = 0
        repeat {
            let inner = min(chainLength, term.inner - first)
            let turn = term.inner - Element.prefetched
            multiplyChain(
                inner, rows[slice] + first, b + first, target, adds || first > 0,
                Ahead(
                    turn: turn - first, near: Element.prefetched,
                    far: jump - first - turn,
                    next: UnsafeRawPointer(start + first * columns.count)))
            first += chainLength
        } while first < term.inner
    }

    /// One chain of every row and column.
    @inline(__always)
    private func multiplyChain<Element: ColumnElement>(
        _ inner: Int, _ a: FewRows, _ b: StoredColumns<Element>, _ target: Sums, _ adds: Bool,
        _ ahead: Ahead
    ) {
        for row in stride(from: 0, to: target.rows, by: 4) {
            let a = a.dropping(rows: row)
            let count = min(4, target.rows - row)
            let sums = target.pointer + row * target.stride
            let column = target.count & ~7
            if column > 0 {
                StripWork(
                    strips: column / 8, inner: inner, a: a, b: b, ahead: ahead, target: sums,
                    stride: target.stride, adds: adds
                ).run(rows: count)
            }
            if column < target.count {
                multiplyPartOfStrip(
                    rows: count, count: target.count - column, inner: inner, a,
                    b.dropping(columns: column), into: sums + column, stride: target.stride,
                    adds: adds)
            }
        }
    }
}

/// A few columns of sums.
private struct Sums {
    let pointer: UnsafeMutablePointer<Float>
    let stride: Int
    let rows: Int
    let count: Int

    func set(_ other: Sums) {
        for row in 0..<rows {
            (pointer + row * stride).update(from: other.pointer + row * other.stride, count: count)
        }
    }

    /// Adds `other`, which comes first in the order where it is `before`.
    func add(_ other: Sums, before: Bool) {
        for row in 0..<rows {
            let (sums, others) = (pointer + row * stride, other.pointer + row * other.stride)
            for column in 0..<count {
                sums[column] =
                    before ? others[column] + sums[column] : sums[column] + others[column]
            }
        }
    }
}

extension Operand {
    /// The first `rows` × `columns` as floats, rows contiguous.
    fileprivate func copy(rows: Int, columns: Int, into target: UnsafeMutablePointer<Float>) {
        for row in 0..<rows {
            for column in 0..<columns {
                let index = transposed ? column * stride + row : row * stride + column
                target[row * columns + column] = elements.float(at: index)
            }
        }
    }
}

extension ColumnElement {
    /// How far ahead of the multiply-adds elements are asked for; they come from the second-level cache, where the
    /// block before has brought them.
    fileprivate static var prefetched: Int { 256 / MemoryLayout<Self>.size }
}
