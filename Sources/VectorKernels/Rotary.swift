// Rotary positions (Su et al. 2021): the features of a head, taken in pairs, are turned by an angle that is
// the token's position times the pair's frequency.
//
//   a′ = a·cos φ − b·sin φ,  b′ = b·cos φ + a·sin φ
//
// The gradient is turned back: by −φ. An element's result depends on its pair and its position alone.

extension VectorKernels {
    package static func rotate(
        _ x: Elements, rows: Int, stride: Int, headOffsets: [Int], arrangement: RotaryPairs,
        pairs: Int, cosines: UnsafePointer<Float>, sines: UnsafePointer<Float>,
        positions: UnsafePointer<Int32>, backwards: Bool
    ) {
        func run<Element: StoredElement>(_ type: Element.Type) {
            let x = x.pointer(to: type)
            parallelRows(rows, width: headOffsets.count * 2 * pairs) { block in
                for row in block {
                    let angle = Int(positions[row]) * pairs
                    for offset in headOffsets {
                        let head = x + row * stride + offset
                        switch arrangement {
                        case .half:
                            rotateHalves(
                                head, pairs, cosines + angle, sines + angle, backwards: backwards)
                        case .interleaved:
                            rotateNeighbours(
                                head, pairs, cosines + angle, sines + angle, backwards: backwards)
                        }
                    }
                }
            }
        }
        switch x.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }
}

@inline(__always)
private func turned(
    _ a: Vector, _ b: Vector, _ cosine: Vector, _ sine: Vector
) -> (Vector, Vector) {
    ((a * cosine).addingProduct(Vector.zero - b, sine), (b * cosine).addingProduct(a, sine))
}

@inline(__always)
private func rotateHalves<Element: StoredElement>(
    _ head: UnsafeMutablePointer<Element>, _ pairs: Int, _ cosines: UnsafePointer<Float>,
    _ sines: UnsafePointer<Float>, backwards: Bool
) {
    let sign: Float = backwards ? -1 : 1
    forEachVector(pairs) { index, count in
        let (a, b) = turned(
            head.part(at: index, count: count), head.part(at: pairs + index, count: count),
            cosines.part(at: index, count: count), sines.part(at: index, count: count) * sign)
        head.storePart(a, at: index, count: count)
        head.storePart(b, at: pairs + index, count: count)
    }
}

@inline(__always)
private func rotateNeighbours<Element: StoredElement>(
    _ head: UnsafeMutablePointer<Element>, _ pairs: Int, _ cosines: UnsafePointer<Float>,
    _ sines: UnsafePointer<Float>, backwards: Bool
) {
    let sign: Float = backwards ? -1 : 1
    forEachVector(pairs) { index, count in
        let pair = head + 2 * index
        var (a, b) = (Vector.zero, Vector.zero)
        for lane in 0..<count {
            (a[lane], b[lane]) = (pair[2 * lane].float, pair[2 * lane + 1].float)
        }
        (a, b) = turned(
            a, b, cosines.part(at: index, count: count),
            sines.part(at: index, count: count) * sign)
        for lane in 0..<count {
            (pair[2 * lane], pair[2 * lane + 1]) = (Element(a[lane]), Element(b[lane]))
        }
    }
}
