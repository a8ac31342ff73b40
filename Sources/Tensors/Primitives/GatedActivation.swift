import Kernels

/// Where in a row of a fused projection a run of gates and the run of values that they gate lie.
public struct GatedColumns: Hashable, Sendable {
    public let gate: Range<Int>
    public let up: Range<Int>

    public init(gate: Range<Int>, up: Range<Int>) {
        precondition(
            gate.count == up.count, "GatedColumns: \(gate.count) gates for \(up.count) values")
        (self.gate, self.up) = (gate, up)
    }
}

/// f(gate)·up, element by element (Shazeer 2020, section 2): SwiGLU with SiLU, GeGLU with GELU, ReGLU.
///
/// - Parameters:
///   - fused: […, width], which holds gates and values.
///   - columns: their runs, in the order of the output: one a canonical slice of a fused weight. Together
///     they cover the width, each element once.
/// - Returns: […, width/2], of the type of `fused`.
///
/// Saved: `fused`. Bound by memory: 1.5 times the bytes of `fused` forward, 2.5 times backward.
public func gatedActivation(
    _ fused: Tensor, columns: [GatedColumns], activation: Activation, tape: Tape?
) -> Tensor {
    let (width, inner) = (fused.shape.width, columns.reduce(0) { $0 + $1.gate.count })
    let span = Trace.begin(.forward, bytes: 3 * fused.buffer.byteCount / 2)
    defer { span.end() }
    precondition(
        2 * inner == width
            && columns.allSatisfy { $0.gate.upperBound <= width && $0.up.upperBound <= width },
        "gatedActivation: columns that cover a width of \(width) expected, found \(columns)")
    let rows = fused.heldRows.count
    let output = Tensor(
        uninitialized: Shape(fused.shape.extents.dropLast() + [inner]), dtype: fused.dtype,
        rows: fused.heldRows)
    let (x, y) = (fused.elements, output.elements)
    forEachRun(rows, columns, inner) { start, gate, up, count in
        kernels.gatedActivate(
            activation, gate: x + gate, up: x + up, into: y + start, count: count)
    }
    return tape.record(output, inputs: [fused], bytes: 5 * fused.buffer.byteCount / 2) {
        upstream, backward in
        let gradient = Tensor(like: fused)
        let (x, dy, dx) = (fused.elements, upstream.gradient.elements, gradient.elements)
        forEachRun(rows, columns, inner) { start, gate, up, count in
            kernels.gatedActivateBackward(
                activation, gate: x + gate, up: x + up, gradient: dy + start, dgate: dx + gate,
                dup: dx + up, count: count)
        }
        backward.add(gradient, to: fused)
    }
}

/// The runs of every row: where the output, the gates and the values begin.
private func forEachRun(
    _ rows: Int, _ columns: [GatedColumns], _ inner: Int,
    _ body: (_ output: Int, _ gate: Int, _ up: Int, _ count: Int) -> Void
) {
    let height = max(1, Threads.runLength / max(1, inner))
    parallelRuns(of: rows, length: height) { block in
        for row in block {
            var start = row * inner
            for run in columns {
                let base = row * 2 * inner
                body(start, base + run.gate.lowerBound, base + run.up.lowerBound, run.gate.count)
                start += run.gate.count
            }
        }
    }
}
