import Kernels

/// The sum of two tensors of one shape and type. Nothing is saved.
public func add(_ first: Tensor, _ second: Tensor, tape: Tape?) -> Tensor {
    let span = Trace.begin(.forward, bytes: 3 * first.buffer.byteCount)
    defer { span.end() }
    precondition(first.shape == second.shape, "add: shapes \(first.shape) and \(second.shape)")
    let output = Tensor(like: first)
    addElements(first, second, into: output)
    return tape.record(output, inputs: [first, second]) { upstream, backward in
        backward.add(upstream.gradient, to: first, shared: true)
        backward.add(upstream.gradient, to: second, shared: true)
    }
}

/// All of one type; `output` may be one of the two.
func addElements(_ first: Tensor, _ second: Tensor, into output: Tensor) {
    let (a, b, sum) = (first.elements, second.elements, output.elements)
    parallelRuns(of: output.buffer.count) { run in
        kernels.add(
            a + run.lowerBound, b + run.lowerBound, into: sum + run.lowerBound, count: run.count)
    }
}

extension Tape? {
    /// Records on the tape if there is one: without a tape there is no gradient and nothing is kept.
    func record(
        _ output: Tensor, inputs: [Tensor], leaves: [Leaf] = [], name: StaticString = #function,
        bytes: Int = 0, pullback: @escaping Tape.Pullback
    ) -> Tensor {
        self?.record(
            output, inputs: inputs, leaves: leaves, name: name, bytes: bytes, pullback: pullback)
            ?? output
    }
}
