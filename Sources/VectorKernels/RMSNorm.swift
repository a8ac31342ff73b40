// Normalisation by the root mean square (Zhang and Sennrich, 2019), forward and backward, of whole rows or
// of each head of a row.
//
//   ρ = 1/√(Σ x² / n + ε),  x̂ = x·ρ,  y = x̂·g
//   dx = ρ·(d − x̂·Σ d·x̂ / n) with d = dy·g;  dg = Σ dy·x̂
//
// The sum of squares has the pattern of layer normalisation's, so that it is fixed by the width alone.

extension VectorKernels {
    package static func rmsNorm(
        _ x: Elements, runs: NormalisedRuns, gain: Elements, into y: Elements,
        reciprocals: UnsafeMutablePointer<Float>, rows: Int, width: Int, epsilon: Float
    ) {
        precondition(
            x.type == y.type && x.type == gain.type,
            "rmsNorm: operands of one type expected, found \(x.type), \(gain.type), \(y.type)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            rmsNorm(
                UnsafePointer(x.pointer(to: type)), runs: runs, gain: gain.pointer(to: type),
                into: y.pointer(to: type), reciprocals: reciprocals, rows: rows, width: width,
                epsilon: epsilon)
        }
        switch x.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    private static func rmsNorm<Element: StoredElement>(
        _ x: UnsafePointer<Element>, runs: NormalisedRuns, gain: UnsafePointer<Element>,
        into y: UnsafeMutablePointer<Element>, reciprocals: UnsafeMutablePointer<Float>, rows: Int,
        width: Int, epsilon: Float
    ) {
        let count = runs.offsets.count
        parallelRows(rows, width: width * count) { block in
            for row in block {
                for index in 0..<count {
                    let offset = row * runs.stride + runs.offsets[index]
                    let (source, target) = (x + offset, y + offset)
                    let square = squaredDeviations(source, mean: 0, width) / Float(width)
                    let reciprocal = 1 / (square + epsilon).squareRoot()
                    reciprocals[row * count + index] = reciprocal
                    @inline(__always)
                    func normalise(_ column: Int, _ count: Int) {
                        let normal = source.part(at: column, count: count) * reciprocal
                        target.storePart(
                            normal * gain.part(at: column, count: count), at: column, count: count)
                    }
                    forEachVector(width, normalise)
                }
            }
        }
    }

    package static func rmsNormBackward(
        gradient dy: Elements, _ x: Elements, runs: NormalisedRuns, gain: Elements,
        reciprocals: UnsafePointer<Float>, into dx: Elements,
        gainPartials: UnsafeMutablePointer<Float>?, rows: Int, width: Int, slices: [NormalisedSlice]
    ) {
        precondition(
            x.type == dy.type && x.type == gain.type && x.type == dx.type,
            "rmsNormBackward: operands of one type expected, found "
                + "\(dy.type), \(x.type), \(gain.type), \(dx.type)")
        precondition(
            slices.reduce(0) { $0 + $1.rows.count * $1.offsets.count } == rows * runs.offsets.count
                && slices.allSatisfy {
                    $0.rows.lowerBound >= 0 && $0.rows.upperBound <= rows
                        && $0.offsets.upperBound <= runs.offsets.count
                },
            "rmsNormBackward: slices expected that hold each of \(rows) rows and "
                + "\(runs.offsets.count) offsets once, found \(slices)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            rmsNormBackward(
                gradient: UnsafePointer(dy.pointer(to: type)), x.pointer(to: type), runs: runs,
                gain: gain.pointer(to: type), reciprocals: reciprocals, into: dx.pointer(to: type),
                gainPartials: gainPartials, width: width, slices: slices)
        }
        switch x.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    private static func rmsNormBackward<Element: StoredElement>(
        gradient dy: UnsafePointer<Element>, _ x: UnsafePointer<Element>, runs: NormalisedRuns,
        gain: UnsafePointer<Element>, reciprocals: UnsafePointer<Float>,
        into dx: UnsafeMutablePointer<Element>, gainPartials: UnsafeMutablePointer<Float>?,
        width: Int, slices: [NormalisedSlice]
    ) {
        let blocks = TokenBlocks(slices.map { $0.offsets.isEmpty ? 0..<0 : $0.rows })
        let offsets = zip(blocks.blocksOfSlice, slices).flatMap { blocks, slice in
            blocks.map { _ in slice.offsets }
        }
        withScratch(blocks.rows.count * width) { sums in
            parallelFor(blocks.rows.count) { block in
                let gainSum = sums + block * width
                gainSum.update(repeating: 0, count: width)
                for row in blocks.rows[block] {
                    for index in offsets[block] {
                        let offset = row * runs.stride + runs.offsets[index]
                        runBackward(
                            gradient: dy + offset, x + offset, gain: gain,
                            reciprocal: reciprocals[row * runs.offsets.count + index],
                            into: dx + offset, gainSum: gainSum, width)
                    }
                }
            }
            serially {
                if let gainPartials { blocks.addBlocks(sums, width: width, into: gainPartials) }
            }
        }
    }
}

/// One run of the backward pass; adds dy·x̂ to the block's sums.
@inline(__always)
private func runBackward<Element: StoredElement>(
    gradient dy: UnsafePointer<Element>, _ x: UnsafePointer<Element>, gain: UnsafePointer<Element>,
    reciprocal: Float, into dx: UnsafeMutablePointer<Element>,
    gainSum: UnsafeMutablePointer<Float>, _ width: Int
) {
    var (productA, productB) = (Vector.zero, Vector.zero)
    var odd = false
    forEachVector(width) { column, count in
        let d = dy.part(at: column, count: count) * gain.part(at: column, count: count)
        let normal = x.part(at: column, count: count) * reciprocal
        if odd { productB.addProduct(d, normal) } else { productA.addProduct(d, normal) }
        odd.toggle()
    }
    let meanOfProduct = (productA + productB).treeSum() / Float(width)
    forEachVector(width) { column, count in
        let upstream = dy.part(at: column, count: count)
        let normal = x.part(at: column, count: count) * reciprocal
        let d = upstream * gain.part(at: column, count: count)
        dx.storePart((d - normal * meanOfProduct) * reciprocal, at: column, count: count)
        let gainBefore = gainSum.part(at: column, count: count)
        gainSum.storePart(gainBefore.addingProduct(upstream, normal), at: column, count: count)
    }
}
