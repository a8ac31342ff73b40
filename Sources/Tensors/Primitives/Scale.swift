import Kernels

/// x · factor, computed in Float32 and rounded once to the type of x. Nothing is saved.
public func scale(_ input: Tensor, by factor: Float, tape: Tape?) -> Tensor {
    let span = Trace.begin(.forward, bytes: 2 * input.buffer.byteCount)
    defer { span.end() }
    let output = Tensor(like: input)
    scaleElements(input, by: factor, into: output)
    return tape.record(output, inputs: [input], bytes: 2 * input.buffer.byteCount) {
        upstream, backward in
        let gradient = Tensor(like: input)
        scaleElements(upstream.gradient, by: factor, into: gradient)
        backward.add(gradient, to: input)
    }
}

/// Elements that a thread holds as Float32 at once.
private let blockCount = 1024

private func scaleElements(_ input: Tensor, by factor: Float, into output: Tensor) {
    let (x, y) = (input.elements, output.elements)
    parallelRuns(of: input.buffer.count) { run in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: blockCount) { memory in
            guard let values = memory.baseAddress else { return }
            let block = Elements(values)
            for start in stride(from: run.lowerBound, to: run.upperBound, by: blockCount) {
                let count = min(blockCount, run.upperBound - start)
                kernels.convert(from: x + start, to: block, count: count)
                kernels.scale(values, by: factor, count: count)
                kernels.convert(from: block, to: y + start, count: count)
            }
        }
    }
}
