// Softmax cross-entropy over logits whose vocabulary (columns) is cut into slices, so that ranks may
// hold a part of them each.
//
//   mᵢ = max of slice i,  sᵢ = Σ exp(x − mᵢ)           softmaxStatistics
//   M = max mᵢ                                          maximaOverSlices      (exchange of maxima)
//   s = tree of sᵢ·exp(mᵢ − M)                          rescaleSums, treeAdd  (exchange of sums)
//   L = M + ln s                                        logSumExp
//   loss = L − x[target],  dx[c] = (exp(x[c] − L) − [c = target])·w
//
// Logits and their gradient are stored elements, whose gradient is computed in Float32 and rounded once;
// all else is Float32. Per-slice values are laid out [slices × rows]. A row whose target is negative is ignored: its
// loss is 0, and the caller gives it the weight 0.

import Glibc

/// Maximum and Σ exp(x − maximum) of every row of every column slice.
///
/// The pattern of a sum is fixed by the slice's own extent, wherever the slice stands.
/// - Parameters:
///   - logits: rows `stride` elements apart; the slices are columns of it.
///   - maxima, sums: `[slices × rows]`, overwritten; an empty slice gives −∞ and 0.
package func softmaxStatistics(
    _ logits: Elements, rows: Int, stride: Int, columnSlices: [Range<Int>],
    into maxima: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Float>
) {
    func run<Element: StoredElement>(_ type: Element.Type) {
        softmaxStatistics(
            UnsafePointer(logits.pointer(to: type)), rows: rows, stride: stride,
            columnSlices: columnSlices, into: maxima, sums: sums)
    }
    switch logits.type {
    case .float32: run(Float.self)
    case .float16: run(Float16.self)
    }
}

private func softmaxStatistics<Element: StoredElement>(
    _ logits: UnsafePointer<Element>, rows: Int, stride: Int, columnSlices: [Range<Int>],
    into maxima: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Float>
) {
    let width = columnSlices.reduce(0) { $0 + $1.count }
    parallelRows(rows, width: width) { block in
        for row in block {
            for (index, slice) in columnSlices.enumerated() {
                let x = logits + row * stride + slice.lowerBound
                let maximum = largest(x, slice.count)
                maxima[index * rows + row] = maximum
                sums[index * rows + row] = sumOfExponentials(x, slice.count, maximum: maximum)
            }
        }
    }
}

/// global[r] = max over the slices of maxima[i, r].
package func maximaOverSlices(
    _ maxima: UnsafePointer<Float>, slices: Int, rows: Int,
    into global: UnsafeMutablePointer<Float>
) {
    forEachVector(rows) { row, count in
        var best = Vector(repeating: -.infinity)
        for slice in 0..<slices {
            best = best.maximum(maxima.part(at: slice * rows + row, count: count))
        }
        global.storePart(best, at: row, count: count)
    }
}

/// sums[i, r] *= exp(maxima[i, r] − global[r]): brings the sums of all slices to one maximum.
package func rescaleSums(
    _ sums: UnsafeMutablePointer<Float>, maxima: UnsafePointer<Float>,
    global: UnsafePointer<Float>, slices: Int, rows: Int
) {
    for slice in 0..<slices {
        let offset = slice * rows
        forEachVector(rows) { row, count in
            let scale = totalExponential(
                maxima.part(at: offset + row, count: count)
                    - reference(global.part(at: row, count: count)))
            sums.storePart(
                sums.part(at: offset + row, count: count) * scale, at: offset + row, count: count)
        }
    }
}

/// logSumExp[r] = maxima[r] + ln sums[r]; −∞ for a row without columns.
package func logSumExp(
    maxima: UnsafePointer<Float>, sums: UnsafePointer<Float>,
    into logSumExp: UnsafeMutablePointer<Float>, rows: Int
) {
    for row in 0..<rows {
        logSumExp[row] = Float(Double(maxima[row]) + log(Double(sums[row])))
    }
}

/// out[r] = logits[r, targets[r] − firstColumn] where that column is held here, 0 elsewhere: the sum over
/// ranks is the target's logit.
package func targetLogits(
    _ logits: Elements, targets: UnsafePointer<Int32>,
    into out: UnsafeMutablePointer<Float>, rows: Int, stride: Int, firstColumn: Int = 0,
    columns: Int
) {
    for row in 0..<rows {
        let column = Int(targets[row]) - firstColumn
        let held = targets[row] >= 0 && column >= 0 && column < columns
        out[row] = held ? logits.float(at: row * stride + column) : 0
    }
}

/// Turns logits into their gradient in place: (exp(x − logSumExp) − [column is the target])·rowScale.
///
/// - Parameters:
///   - rowScales: weight times upstream gradient of each row; a row of scale 0 becomes exact zeros.
///   - firstColumn, columns: the part of the vocabulary held here.
package func crossEntropyBackward(
    _ logits: Elements, targets: UnsafePointer<Int32>,
    logSumExp: UnsafePointer<Float>, rowScales: UnsafePointer<Float>, rows: Int, stride: Int,
    columns: Int, firstColumn: Int = 0
) {
    func run<Element: StoredElement>(_ type: Element.Type) {
        crossEntropyBackward(
            logits.pointer(to: type), targets: targets, logSumExp: logSumExp,
            rowScales: rowScales, rows: rows, stride: stride, columns: columns,
            firstColumn: firstColumn)
    }
    switch logits.type {
    case .float32: run(Float.self)
    case .float16: run(Float16.self)
    }
}

private func crossEntropyBackward<Element: StoredElement>(
    _ logits: UnsafeMutablePointer<Element>, targets: UnsafePointer<Int32>,
    logSumExp: UnsafePointer<Float>, rowScales: UnsafePointer<Float>, rows: Int, stride: Int,
    columns: Int, firstColumn: Int = 0
) {
    parallelRows(rows, width: columns) { block in
        for row in block {
            let x = logits + row * stride
            let scale = rowScales[row]
            if scale == 0 {
                x.update(repeating: Element(0), count: columns)
                continue
            }
            let offset = logSumExp[row]
            let target = Int(targets[row]) - firstColumn
            let held = targets[row] >= 0 && target >= 0 && target < columns
            let targetLogit = held ? x[target].float : 0
            scaledSoftmax(x, columns, offset: offset, scale: scale)
            if held {
                let probability = totalExponential(Vector(repeating: targetLogit - offset))[0]
                x[target] = Element((probability - 1) * scale)
            }
        }
    }
}

/// x = exp(x − offset)·scale, in place.
@inline(__always)
private func scaledSoftmax<Element: StoredElement>(
    _ x: UnsafeMutablePointer<Element>, _ count: Int, offset: Float, scale: Float
) {
    var index = 0
    while index + 32 <= count {
        let a = totalExponential(x.vector(at: index) - offset) * scale
        let b = totalExponential(x.vector(at: index + 16) - offset) * scale
        x.store(a, at: index)
        x.store(b, at: index + 16)
        index += 32
    }
    forEachVector(count - index) { rest, count in
        let a = totalExponential(x.part(at: index + rest, count: count) - offset) * scale
        x.storePart(a, at: index + rest, count: count)
    }
}

/// A maximum to subtract: 0 in place of −∞, so that no column at all gives exp(−∞) = 0 and not a NaN.
@inline(__always)
private func reference(_ maximum: Vector) -> Vector {
    maximum.replacing(with: 0, where: maximum .== -Float.infinity)
}

/// The largest of `count` elements, −∞ for none.
@inline(__always)
private func largest<Element: StoredElement>(_ x: UnsafePointer<Element>, _ count: Int) -> Float {
    let none = Vector(repeating: -.infinity)
    var (a, b, c, d) = (none, none, none, none)
    var index = 0
    while index + 64 <= count {
        a = a.maximum(x.vector(at: index))
        b = b.maximum(x.vector(at: index + 16))
        c = c.maximum(x.vector(at: index + 32))
        d = d.maximum(x.vector(at: index + 48))
        index += 64
    }
    while index < count {
        a = a.maximum(x.part(at: index, count: min(16, count - index), fill: -.infinity))
        index += 16
    }
    return a.maximum(b).maximum(c.maximum(d)).largest()
}

/// Σ exp(x − maximum) over `count` elements.
@inline(__always)
private func sumOfExponentials<Element: StoredElement>(
    _ x: UnsafePointer<Element>, _ count: Int, maximum: Float
) -> Float {
    let maximum = reference(Vector(repeating: maximum))
    var (a, b) = (Vector.zero, Vector.zero)
    var index = 0
    while index + 32 <= count {
        a += totalExponential(x.vector(at: index) - maximum)
        b += totalExponential(x.vector(at: index + 16) - maximum)
        index += 32
    }
    while index < count {
        let part = x.part(at: index, count: min(16, count - index), fill: -.infinity)
        a += totalExponential(part - maximum)
        index += 16
    }
    return (a + b).treeSum()
}
