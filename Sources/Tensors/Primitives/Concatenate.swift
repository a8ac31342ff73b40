import Kernels

/// The tokens of two tensors one after the other in each sequence: [sequences, n, width] and [sequences, m, width] →
/// [sequences, n + m, width].
///
/// Every token is on every rank. Saved: nothing. Bound by memory: twice the output's bytes each way.
public func concatenate(_ first: Tensor, _ second: Tensor, tape: Tape?) -> Tensor {
    let (sequences, width) = (first.shape[0], first.shape[2])
    precondition(
        second.shape[0] == sequences && second.shape[2] == width && first.dtype == second.dtype,
        "concatenate: \(first.shape) \(first.dtype) and \(second.shape) \(second.dtype)")
    let lengths = [first.shape[1], second.shape[1]]
    let output = Tensor(
        uninitialized: [sequences, lengths[0] + lengths[1], width], dtype: first.dtype)
    let span = Trace.begin(.forward, bytes: 2 * output.buffer.byteCount)
    defer { span.end() }
    forEachPart(lengths, sequences, width) { part, source, target, count in
        copy((part == 0 ? first : second).elements + source, to: output.elements + target, count)
    }
    return tape.record(output, inputs: [first, second], bytes: 2 * output.buffer.byteCount) {
        upstream, backward in
        let gradients = [first, second].map { Tensor(like: $0) }
        forEachPart(lengths, sequences, width) { part, source, target, count in
            copy(
                upstream.gradient.elements + target, to: gradients[part].elements + source, count)
        }
        backward.add(gradients[0], to: first)
        backward.add(gradients[1], to: second)
    }
}

/// Where the tokens of each part of each sequence lie, in the part and in the whole.
private func forEachPart(
    _ lengths: [Int], _ sequences: Int, _ width: Int,
    _ body: (_ part: Int, _ source: Int, _ target: Int, _ count: Int) -> Void
) {
    let whole = lengths[0] + lengths[1]
    parallelFor(sequences) { sequence in
        for part in 0..<2 {
            let target = (sequence * whole + (part == 0 ? 0 : lengths[0])) * width
            body(part, sequence * lengths[part] * width, target, lengths[part] * width)
        }
    }
}

private func copy(_ source: Elements, to target: Elements, _ count: Int) {
    target.base.copyMemory(from: source.base, byteCount: count * source.type.size)
}
