// Softmax cross-entropy over logits whose vocabulary (columns) is cut into slices, so that ranks may
// hold a part of them each.
//
//   mᵢ = max of slice i,  sᵢ = Σ exp(x − mᵢ),  tᵢ = Σ x   softmaxStatistics
//   M = max mᵢ                                            maximaOverSlices      (exchange of maxima)
//   s = tree of sᵢ·exp(mᵢ − M),  t = tree of tᵢ           rescaleSums, treeAdd  (exchange of sums)
//   L = M + ln s                                          logSumExp
//   loss = L − x[target],  dx[c] = (exp(x[c] − L) − [c = target])·w
//
// With labels smoothed by ε over V classes (only then is t made) the target distribution is
// q[c] = (1 − ε)·[c = target] + ε/V:
//
//   loss = L − (1 − ε)·x[target] − (ε/V)·t,  dx[c] = (exp(x[c] − L) − q[c])·w
//
// Logits and their gradient are stored elements, whose gradient is computed in Float32 and rounded once;
// all else is Float32. Per-slice values are laid out [slices × rows]. A row whose target is negative is ignored: its
// loss is 0, and the caller gives it the weight 0.

import Glibc

extension VectorKernels {
    package static func softmaxStatistics(
        _ logits: Elements, rows: Int, stride: Int, columnSlices: [Range<Int>],
        into maxima: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Float>,
        totals: UnsafeMutablePointer<Float>?
    ) {
        func run<Element: StoredElement>(_ type: Element.Type) {
            softmaxStatistics(
                UnsafePointer(logits.pointer(to: type)), rows: rows, stride: stride,
                columnSlices: columnSlices, into: maxima, sums: sums, totals: totals)
        }
        switch logits.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    private static func softmaxStatistics<Element: StoredElement>(
        _ logits: UnsafePointer<Element>, rows: Int, stride: Int, columnSlices: [Range<Int>],
        into maxima: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Float>,
        totals: UnsafeMutablePointer<Float>?
    ) {
        let width = columnSlices.reduce(0) { $0 + $1.count }
        parallelRows(rows, width: width) { block in
            for row in block {
                for (index, slice) in columnSlices.enumerated() {
                    let x = logits + row * stride + slice.lowerBound
                    let maximum = largest(x, slice.count)
                    maxima[index * rows + row] = maximum
                    sums[index * rows + row] = sumOfExponentials(x, slice.count, maximum: maximum)
                    if let totals { totals[index * rows + row] = sum(x, slice.count) }
                }
            }
        }
    }

    package static func maximaOverSlices(
        _ maxima: UnsafePointer<Float>, slices: Int, rows: Int,
        into global: UnsafeMutablePointer<Float>
    ) {
        serially {
            forEachVector(rows) { row, count in
                var best = Vector(repeating: -.infinity)
                for slice in 0..<slices {
                    best = best.maximum(maxima.part(at: slice * rows + row, count: count))
                }
                global.storePart(best, at: row, count: count)
            }
        }
    }

    package static func rescaleSums(
        _ sums: UnsafeMutablePointer<Float>, maxima: UnsafePointer<Float>,
        global: UnsafePointer<Float>, slices: Int, rows: Int
    ) {
        serially {
            for slice in 0..<slices {
                let offset = slice * rows
                forEachVector(rows) { row, count in
                    let scale = totalExponential(
                        maxima.part(at: offset + row, count: count)
                            - reference(global.part(at: row, count: count)))
                    sums.storePart(
                        sums.part(at: offset + row, count: count) * scale, at: offset + row,
                        count: count)
                }
            }
        }
    }

    package static func logSumExp(
        maxima: UnsafePointer<Float>, sums: UnsafePointer<Float>,
        into logSumExp: UnsafeMutablePointer<Float>, rows: Int
    ) {
        serially {
            for row in 0..<rows {
                logSumExp[row] = Float(Double(maxima[row]) + log(Double(sums[row])))
            }
        }
    }

    package static func targetLogits(
        _ logits: Elements, targets: UnsafePointer<Int32>,
        into out: UnsafeMutablePointer<Float>, rows: Int, stride: Int, firstColumn: Int,
        columns: Int
    ) {
        serially {
            for row in 0..<rows {
                let column = Int(targets[row]) - firstColumn
                let held = targets[row] >= 0 && column >= 0 && column < columns
                out[row] = held ? logits.float(at: row * stride + column) : 0
            }
        }
    }

    package static func crossEntropyBackward(
        _ logits: Elements, targets: UnsafePointer<Int32>,
        logSumExp: UnsafePointer<Float>, rowScales: UnsafePointer<Float>, rows: Int, stride: Int,
        columns: Int, firstColumn: Int, smoothing: LabelSmoothing
    ) {
        func run<Element: StoredElement>(_ type: Element.Type) {
            crossEntropyBackward(
                logits.pointer(to: type), targets: targets, logSumExp: logSumExp,
                rowScales: rowScales, rows: rows, stride: stride, columns: columns,
                firstColumn: firstColumn, smoothing: smoothing)
        }
        switch logits.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    private static func crossEntropyBackward<Element: StoredElement>(
        _ logits: UnsafeMutablePointer<Element>, targets: UnsafePointer<Int32>,
        logSumExp: UnsafePointer<Float>, rowScales: UnsafePointer<Float>, rows: Int, stride: Int,
        columns: Int, firstColumn: Int, smoothing: LabelSmoothing
    ) {
        let (floor, peak) = (smoothing.floor, smoothing.peak)
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
                // −0 leaves every product its bits, also a zero its sign.
                let base = floor == 0 ? -0.0 : -floor * scale
                scaledSoftmax(x, columns, offset: offset, scale: scale, base: base)
                if held {
                    let probability = totalExponential(Vector(repeating: targetLogit - offset))[0]
                    x[target] = Element((probability - peak) * scale)
                }
            }
        }
    }
}

/// x = exp(x − offset)·scale + base, rounded once, in place.
@inline(__always)
private func scaledSoftmax<Element: StoredElement>(
    _ x: UnsafeMutablePointer<Element>, _ count: Int, offset: Float, scale: Float, base: Float
) {
    let (scale, base) = (Vector(repeating: scale), Vector(repeating: base))
    var index = 0
    while index + 32 <= count {
        let a = base.addingProduct(totalExponential(x.vector(at: index) - offset), scale)
        let b = base.addingProduct(totalExponential(x.vector(at: index + 16) - offset), scale)
        x.store(a, at: index)
        x.store(b, at: index + 16)
        index += 32
    }
    forEachVector(count - index) { rest, count in
        let part = x.part(at: index + rest, count: count)
        let a = base.addingProduct(totalExponential(part - offset), scale)
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

/// Σ x over `count` elements.
@inline(__always)
private func sum<Element: StoredElement>(_ x: UnsafePointer<Element>, _ count: Int) -> Float {
    var (a, b) = (Vector.zero, Vector.zero)
    var index = 0
    while index + 32 <= count {
        a += x.vector(at: index)
        b += x.vector(at: index + 16)
        index += 32
    }
    while index < count {
        a += x.part(at: index, count: min(16, count - index))
        index += 16
    }
    return (a + b).treeSum()
}
