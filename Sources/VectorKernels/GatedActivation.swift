// The gated unit of a feed-forward layer (Shazeer 2020): y = f(gate) · up, on one run of a row.
//
//   dgate = dy · up · f′(gate),  dup = dy · f(gate)
//
// Element by element, so that no bit depends on where a run begins.

extension VectorKernels {
    package static func gatedActivate(
        _ kind: Activation, gate: Elements, up: Elements, into y: Elements, count: Int
    ) {
        precondition(
            gate.type == up.type && gate.type == y.type,
            "gatedActivate: operands of one type expected, found \(gate.type), \(up.type), \(y.type)"
        )
        func run<Element: StoredElement>(_ type: Element.Type) {
            let gate = UnsafePointer(gate.pointer(to: type))
            let up = UnsafePointer(up.pointer(to: type))
            let y = y.pointer(to: type)
            switch kind {
            case .geluTanh: map(gate, up, into: y, count) { geluTanh($0) * $1 }
            case .geluErf: map(gate, up, into: y, count) { geluErf($0) * $1 }
            case .silu: map(gate, up, into: y, count) { silu($0) * $1 }
            case .relu: map(gate, up, into: y, count) { relu($0) * $1 }
            case .tanh: map(gate, up, into: y, count) { hyperbolicTangent($0) * $1 }
            }
        }
        switch y.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    package static func gatedActivateBackward(
        _ kind: Activation, gate: Elements, up: Elements, gradient dy: Elements, dgate: Elements,
        dup: Elements, count: Int
    ) {
        precondition(
            [up, dy, dgate, dup].allSatisfy { $0.type == gate.type },
            "gatedActivateBackward: operands of one type expected, the gate's \(gate.type)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            let pass = GatedBackward(
                gate: gate.pointer(to: type), up: up.pointer(to: type), dy: dy.pointer(to: type),
                dgate: dgate.pointer(to: type), dup: dup.pointer(to: type), count: count)
            switch kind {
            case .geluTanh: pass.run(geluTanhAndDerivative)
            case .geluErf: pass.run(geluErfAndDerivative)
            case .silu: pass.run(siluAndDerivative)
            case .relu: pass.run(reluAndDerivative)
            case .tanh: pass.run(hyperbolicTangentAndDerivative)
            }
        }
        switch gate.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }
}

private struct GatedBackward<Element: StoredElement> {
    let gate: UnsafePointer<Element>
    let up: UnsafePointer<Element>
    let dy: UnsafePointer<Element>
    let dgate: UnsafeMutablePointer<Element>
    let dup: UnsafeMutablePointer<Element>
    let count: Int

    @inline(__always)
    func run(_ function: (Vector) -> (value: Vector, derivative: Vector)) {
        forEachVector(count) { index, count in
            let (value, derivative) = function(gate.part(at: index, count: count))
            let upstream = dy.part(at: index, count: count)
            let factor = up.part(at: index, count: count)
            dgate.storePart(upstream * factor * derivative, at: index, count: count)
            dup.storePart(upstream * value, at: index, count: count)
        }
    }
}
