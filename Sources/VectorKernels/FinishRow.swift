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
            case nil: row.finish(dropout, Identity.self)
            case .geluTanh: row.finish(dropout, GELUTanhValue.self)
            case .geluErf: row.finish(dropout, GELUErfValue.self)
            case .silu: row.finish(dropout, SiLUValue.self)
            case .relu: row.finish(dropout, ReLUValue.self)
            case .tanh: row.finish(dropout, TanhValue.self)
            }
        }
        switch output.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }
}

/// A function of an element as a type. One that is passed as a value through two closures is called for each vector and
/// not inlined: a third of a GELU's time.
private protocol ElementwiseFunction {
    static func value(at x: Vector) -> Vector
}

private enum Identity: ElementwiseFunction {
    @inline(__always)
    static func value(at x: Vector) -> Vector { x }
}

private enum GELUTanhValue: ElementwiseFunction {
    @inline(__always)
    static func value(at x: Vector) -> Vector { geluTanh(x) }
}

private enum GELUErfValue: ElementwiseFunction {
    @inline(__always)
    static func value(at x: Vector) -> Vector { geluErf(x) }
}

private enum SiLUValue: ElementwiseFunction {
    @inline(__always)
    static func value(at x: Vector) -> Vector { silu(x) }
}

private enum ReLUValue: ElementwiseFunction {
    @inline(__always)
    static func value(at x: Vector) -> Vector { relu(x) }
}

private enum TanhValue: ElementwiseFunction {
    @inline(__always)
    static func value(at x: Vector) -> Vector { hyperbolicTangent(x) }
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

    func finish<Function: ElementwiseFunction>(
        _ dropout: ((UnsafeMutablePointer<Float>) -> Void)?, _ function: Function.Type
    ) {
        guard let dropout else {
            forEachVector(count) { index, count in
                let value = Function.value(at: sum(at: index, count: count))
                storeOutput(value, at: index, count: count)
            }
            return
        }
        forEachVector(count) { index, count in
            let value = Function.value(at: sum(at: index, count: count))
            dropped.storePart(value, at: index, count: count)
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
