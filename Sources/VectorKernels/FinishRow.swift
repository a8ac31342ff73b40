// What follows a product, on one row of a block whose sums have just been made: bias, the stored
// preactivation, activation, dropout, residual, and one rounding into the output.

extension VectorKernels {
    package static func finishRow(
        values: UnsafeMutablePointer<Float>, count: Int, bias: Elements?,
        activation: Activation?, preactivation: Elements?, residual: Elements?,
        output: Elements, dropout: ((UnsafeMutablePointer<Float>) -> Void)?
    ) {
        precondition(
            [bias, preactivation, residual].allSatisfy { ($0 ?? output).type == output.type },
            "finishRow: operands of one type expected, the output's \(output.type)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            let row = FinishedRow(
                values: values, count: count, bias: bias?.pointer(to: type),
                preactivation: preactivation?.pointer(to: type),
                residual: residual?.pointer(to: type), output: output.pointer(to: type),
                dropped: output.type == .float32 ? output.pointer(to: Float.self) : values)
            switch activation {
            case nil: row.finish(dropout) { $0 }
            case .geluTanh: row.finish(dropout, geluTanh)
            case .geluErf: row.finish(dropout, geluErf)
            case .silu: row.finish(dropout, silu)
            case .relu: row.finish(dropout, relu)
            case .tanh: row.finish(dropout, hyperbolicTangent)
            }
        }
        switch output.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }
}

private struct FinishedRow<Element: StoredElement> {
    let values: UnsafeMutablePointer<Float>
    let count: Int
    let bias: UnsafePointer<Element>?
    let preactivation: UnsafeMutablePointer<Element>?
    let residual: UnsafePointer<Element>?
    let output: UnsafeMutablePointer<Element>
    /// The Float32 row that dropout changes. Sums may be the memory of a Float32 preactivation, which must
    /// stay: the row is then the output. With Float16 storage the sums are nobody else's.
    let dropped: UnsafeMutablePointer<Float>

    @inline(__always)
    func finish(
        _ dropout: ((UnsafeMutablePointer<Float>) -> Void)?, _ activation: (Vector) -> Vector
    ) {
        guard let dropout else {
            forEachVector(count) { index, count in
                let value = activation(sum(at: index, count: count))
                storeOutput(value, at: index, count: count)
            }
            return
        }
        forEachVector(count) { index, count in
            dropped.storePart(activation(sum(at: index, count: count)), at: index, count: count)
        }
        dropout(dropped)
        forEachVector(count) { index, count in
            storeOutput(dropped.part(at: index, count: count), at: index, count: count)
        }
    }

    /// The sum and the bias, as the preactivation stores it if there is one.
    @inline(__always)
    func sum(at index: Int, count: Int) -> Vector {
        var value = values.part(at: index, count: count)
        if let bias { value += bias.part(at: index, count: count) }
        guard let preactivation else { return value }
        preactivation.storePart(value, at: index, count: count)
        return preactivation.part(at: index, count: count)
    }

    @inline(__always)
    func storeOutput(_ value: Vector, at index: Int, count: Int) {
        let residue = residual?.part(at: index, count: count)
        output.storePart(residue.map { value + $0 } ?? value, at: index, count: count)
    }
}
