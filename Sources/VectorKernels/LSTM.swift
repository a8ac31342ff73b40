// One step of a long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers, Schmidhuber and
// Cummins 2000), on the units of one row:
//
//   i = σ(zᵢ), f = σ(z_f), g = tanh z_g, o = σ(zₒ);  c = f·c′ + i·g,  h = o·tanh c
//
//   dc += dh·o·(1 − tanh² c);  dzᵢ = dc·g·i·(1 − i),  dz_f = dc·c′·f·(1 − f),  dz_g = dc·i·(1 − g²),
//   dzₒ = dh·tanh c·o·(1 − o);  dc′ = dc·f
//
// z: preactivations, the input's part + (bias + the recurrent part); c′: the cell before the step. All is Float32 but what
// is stored: h and the four dz.

extension VectorKernels {
    package static func lstmStep(
        count: Int, recurrent: UnsafePointer<Float>, gates: Elements, bias: Elements?,
        previous: UnsafePointer<Float>, activations: UnsafeMutablePointer<Float>?,
        cell: UnsafeMutablePointer<Float>, hidden: Elements
    ) {
        precondition(
            hidden.type == gates.type && (bias ?? gates).type == gates.type,
            "lstmStep: operands of one type expected, the gates' \(gates.type)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            Step<Element>(
                count: count, recurrent: recurrent, gates: gates.pointer(to: type),
                bias: bias.map { UnsafePointer($0.pointer(to: type)) }, previous: previous,
                activations: activations, cell: cell, hidden: hidden.pointer(to: type)
            ).run()
        }
        switch gates.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    package static func lstmStepBackward(
        count: Int, activations: UnsafePointer<Float>, cell: UnsafePointer<Float>,
        previous: UnsafePointer<Float>, upstream: Elements, hidden: UnsafePointer<Float>,
        cellGradient: UnsafeMutablePointer<Float>, gates: Elements
    ) {
        precondition(
            upstream.type == gates.type,
            "lstmStepBackward: operands of one type expected, found \(upstream.type), \(gates.type)"
        )
        func run<Element: StoredElement>(_ type: Element.Type) {
            StepBackward<Element>(
                count: count, activations: activations, cell: cell, previous: previous,
                upstream: upstream.pointer(to: type), hidden: hidden, cellGradient: cellGradient,
                gates: gates.pointer(to: type)
            ).run()
        }
        switch gates.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }
}

private struct Step<Element: StoredElement> {
    let count: Int
    let recurrent: UnsafePointer<Float>
    let gates: UnsafePointer<Element>
    let bias: UnsafePointer<Element>?
    let previous: UnsafePointer<Float>
    let activations: UnsafeMutablePointer<Float>?
    let cell: UnsafeMutablePointer<Float>
    let hidden: UnsafeMutablePointer<Element>

    func run() {
        forEachVector(count) { index, lanes in
            let input = sigmoid(preactivation(0, index, lanes))
            let forget = sigmoid(preactivation(1, index, lanes))
            let candidate = hyperbolicTangent(preactivation(2, index, lanes))
            let output = sigmoid(preactivation(3, index, lanes))
            let sum = (input * candidate)
                .addingProduct(forget, previous.part(at: index, count: lanes))
            cell.storePart(sum, at: index, count: lanes)
            hidden.storePart(output * hyperbolicTangent(sum), at: index, count: lanes)
            guard let activations else { return }
            activations.storePart(input, at: index, count: lanes)
            activations.storePart(forget, at: count + index, count: lanes)
            activations.storePart(candidate, at: 2 * count + index, count: lanes)
            activations.storePart(output, at: 3 * count + index, count: lanes)
        }
    }

    @inline(__always)
    private func preactivation(_ gate: Int, _ index: Int, _ lanes: Int) -> Vector {
        let place = gate * count + index
        var sum = recurrent.part(at: place, count: lanes)
        if let bias { sum += bias.part(at: place, count: lanes) }
        return sum + gates.part(at: place, count: lanes)
    }
}

private struct StepBackward<Element: StoredElement> {
    let count: Int
    let activations: UnsafePointer<Float>
    let cell: UnsafePointer<Float>
    let previous: UnsafePointer<Float>
    let upstream: UnsafePointer<Element>
    let hidden: UnsafePointer<Float>
    let cellGradient: UnsafeMutablePointer<Float>
    let gates: UnsafeMutablePointer<Element>

    func run() {
        forEachVector(count) { index, lanes in
            let input = activations.part(at: index, count: lanes)
            let forget = activations.part(at: count + index, count: lanes)
            let candidate = activations.part(at: 2 * count + index, count: lanes)
            let output = activations.part(at: 3 * count + index, count: lanes)
            let (tangent, slope) = hyperbolicTangentAndDerivative(
                cell.part(at: index, count: lanes))
            let dh =
                upstream.part(at: index, count: lanes) + hidden.part(at: index, count: lanes)
            let dc = cellGradient.part(at: index, count: lanes)
                .addingProduct(dh * output, slope)
            cellGradient.storePart(dc * forget, at: index, count: lanes)
            let before = previous.part(at: index, count: lanes)
            let gradients = (
                dc * candidate * input * (1 - input), dc * before * forget * (1 - forget),
                dc * input * (1 - candidate * candidate), dh * tangent * output * (1 - output)
            )
            gates.storePart(gradients.0, at: index, count: lanes)
            gates.storePart(gradients.1, at: count + index, count: lanes)
            gates.storePart(gradients.2, at: 2 * count + index, count: lanes)
            gates.storePart(gradients.3, at: 3 * count + index, count: lanes)
        }
    }
}
