// Layer normalisation (Ba, Kiros and Hinton, 2016), forward and backward.
//
//   μ = Σ x / n,  σ² = Σ (x − μ)² / n,  x̂ = (x − μ)·ρ with ρ = 1/√(σ² + ε),  y = x̂·g + b
//   dx = ρ·(d − Σ d / n − x̂·Σ d·x̂ / n) with d = dy·g;  dg = Σ_rows dy·x̂,  db = Σ_rows dy
//
// Sums along a row have one pattern, fixed by the width: four interleaved registers over runs of
// 64, then single registers, then a padded one.

extension VectorKernels {
    package static func layerNorm(
        _ x: Elements, gain: Elements, bias: Elements?, into y: Elements,
        means: UnsafeMutablePointer<Float>, reciprocalDeviations: UnsafeMutablePointer<Float>,
        rows: Int, width: Int, epsilon: Float
    ) {
        precondition(
            x.type == y.type && x.type == gain.type && x.type == (bias ?? x).type,
            "layerNorm: operands of one type expected, found \(x.type), \(gain.type), \(y.type)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            layerNorm(
                UnsafePointer(x.pointer(to: type)), gain: gain.pointer(to: type),
                bias: bias?.pointer(to: type), into: y.pointer(to: type), means: means,
                reciprocalDeviations: reciprocalDeviations, rows: rows, width: width,
                epsilon: epsilon)
        }
        switch x.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    private static func layerNorm<Element: StoredElement>(
        _ x: UnsafePointer<Element>, gain: UnsafePointer<Element>, bias: UnsafePointer<Element>?,
        into y: UnsafeMutablePointer<Element>, means: UnsafeMutablePointer<Float>,
        reciprocalDeviations: UnsafeMutablePointer<Float>, rows: Int, width: Int, epsilon: Float
    ) {
        parallelRows(rows, width: width) { block in
            for row in block {
                let source = x + row * width
                let target = y + row * width
                let mean = rowSum(source, width) / Float(width)
                let variance = squaredDeviations(source, mean: mean, width) / Float(width)
                let reciprocal = 1 / (variance + epsilon).squareRoot()
                means[row] = mean
                reciprocalDeviations[row] = reciprocal
                @inline(__always)
                func normalise(_ column: Int, _ count: Int) {
                    let normal = (source.part(at: column, count: count) - mean) * reciprocal
                    let shift = bias?.part(at: column, count: count) ?? .zero
                    target.storePart(
                        shift.addingProduct(normal, gain.part(at: column, count: count)),
                        at: column, count: count)
                }
                forEachVector(width, normalise)
            }
        }
    }

    package static func layerNormBackward(
        gradient dy: Elements, _ x: Elements, gain: Elements,
        means: UnsafePointer<Float>, reciprocalDeviations: UnsafePointer<Float>,
        into dx: Elements, gainPartials: UnsafeMutablePointer<Float>?,
        biasPartials: UnsafeMutablePointer<Float>?, rows: Int, width: Int, tokenSlices: [Range<Int>]
    ) {
        precondition(
            x.type == dy.type && x.type == gain.type && x.type == dx.type,
            "layerNormBackward: operands of one type expected, found "
                + "\(dy.type), \(x.type), \(gain.type), \(dx.type)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            layerNormBackward(
                gradient: UnsafePointer(dy.pointer(to: type)), x.pointer(to: type),
                gain: gain.pointer(to: type), means: means,
                reciprocalDeviations: reciprocalDeviations, into: dx.pointer(to: type),
                gainPartials: gainPartials, biasPartials: biasPartials, rows: rows, width: width,
                tokenSlices: tokenSlices)
        }
        switch x.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    private static func layerNormBackward<Element: StoredElement>(
        gradient dy: UnsafePointer<Element>, _ x: UnsafePointer<Element>,
        gain: UnsafePointer<Element>,
        means: UnsafePointer<Float>, reciprocalDeviations: UnsafePointer<Float>,
        into dx: UnsafeMutablePointer<Element>, gainPartials: UnsafeMutablePointer<Float>?,
        biasPartials: UnsafeMutablePointer<Float>?, rows: Int, width: Int, tokenSlices: [Range<Int>]
    ) {
        precondition(
            tokenSlices.reduce(0) { $1.lowerBound == $0 ? $1.upperBound : -1 } == rows,
            "layerNormBackward: token slices that cover 0..<\(rows) in order expected, "
                + "found \(tokenSlices)")
        let blocks = TokenBlocks(tokenSlices)
        let blockCount = blocks.rows.count
        withScratch(2 * blockCount * width) { sums in
            parallelFor(blockCount) { block in
                let gainSum = sums + block * width
                let biasSum = sums + (blockCount + block) * width
                gainSum.update(repeating: 0, count: width)
                biasSum.update(repeating: 0, count: width)
                for row in blocks.rows[block] {
                    let offset = row * width
                    rowBackward(
                        gradient: dy + offset, x + offset, gain: gain, mean: means[row],
                        reciprocalDeviation: reciprocalDeviations[row], into: dx + offset,
                        gainSum: gainSum, biasSum: biasSum, width)
                }
            }
            serially {
                if let gainPartials { blocks.addBlocks(sums, width: width, into: gainPartials) }
                if let biasPartials {
                    blocks.addBlocks(sums + blockCount * width, width: width, into: biasPartials)
                }
            }
        }
    }
}

/// One row of the backward pass; adds dy·x̂ and dy to the block's sums.
@inline(__always)
private func rowBackward<Element: StoredElement>(
    gradient dy: UnsafePointer<Element>, _ x: UnsafePointer<Element>, gain: UnsafePointer<Element>,
    mean: Float, reciprocalDeviation: Float, into dx: UnsafeMutablePointer<Element>,
    gainSum: UnsafeMutablePointer<Float>, biasSum: UnsafeMutablePointer<Float>, _ width: Int
) {
    var (sumA, sumB) = (Vector.zero, Vector.zero)
    var (productA, productB) = (Vector.zero, Vector.zero)
    var odd = false
    forEachVector(width) { column, count in
        let d = dy.part(at: column, count: count) * gain.part(at: column, count: count)
        let normal = (x.part(at: column, count: count) - mean) * reciprocalDeviation
        if odd {
            sumB += d
            productB.addProduct(d, normal)
        } else {
            sumA += d
            productA.addProduct(d, normal)
        }
        odd.toggle()
    }
    let meanOfGradient = (sumA + sumB).treeSum() / Float(width)
    let meanOfProduct = (productA + productB).treeSum() / Float(width)
    forEachVector(width) { column, count in
        let upstream = dy.part(at: column, count: count)
        let normal = (x.part(at: column, count: count) - mean) * reciprocalDeviation
        let d = upstream * gain.part(at: column, count: count)
        let centred = (d - meanOfGradient) - normal * meanOfProduct
        dx.storePart(centred * reciprocalDeviation, at: column, count: count)
        let gainBefore = gainSum.part(at: column, count: count)
        gainSum.storePart(gainBefore.addingProduct(upstream, normal), at: column, count: count)
        let biasBefore = biasSum.part(at: column, count: count)
        biasSum.storePart(biasBefore + upstream, at: column, count: count)
    }
}

/// Σ x over one row.
@inline(__always)
private func rowSum<Element: StoredElement>(_ x: UnsafePointer<Element>, _ width: Int) -> Float {
    var (a, b, c, d) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var column = 0
    while column + 64 <= width {
        a += x.vector(at: column)
        b += x.vector(at: column + 16)
        c += x.vector(at: column + 32)
        d += x.vector(at: column + 48)
        column += 64
    }
    while column < width {
        a += x.part(at: column, count: min(16, width - column))
        column += 16
    }
    return ((a + b) + (c + d)).treeSum()
}

/// Σ (x − mean)² over one row.
@inline(__always)
func squaredDeviations<Element: StoredElement>(
    _ x: UnsafePointer<Element>, mean: Float, _ width: Int
) -> Float {
    var (a, b, c, d) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var column = 0
    while column + 64 <= width {
        a.addSquare(x.vector(at: column) - mean)
        b.addSquare(x.vector(at: column + 16) - mean)
        c.addSquare(x.vector(at: column + 32) - mean)
        d.addSquare(x.vector(at: column + 48) - mean)
        column += 64
    }
    while column < width {
        a.addSquare(x.part(at: column, count: min(16, width - column), fill: mean) - mean)
        column += 16
    }
    return ((a + b) + (c + d)).treeSum()
}
