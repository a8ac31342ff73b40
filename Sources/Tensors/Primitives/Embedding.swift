import Kernels

/// Rows of a table: output[t] = table[ids[t]].
///
/// - Parameters:
///   - ids: Int32, any shape; each in 0 ..< table rows.
///   - table: [vocabulary, width]; `vocabulary` slices where its rows may be split across ranks, whose
///     owner's row is taken, not summed with zeros (−0 + 0 would be +0).
/// - Returns: [ids…, width], of the table's type.
///
/// The gradient's rows are added to the table's in token order. Saved: the ids.
public func embedding(
    _ ids: Tensor, table: Leaf, vocabulary: Slices? = nil, tape: Tape?
) -> Tensor {
    let span = Trace.begin(.forward)
    defer { span.end() }
    let (rows, width) = (table.value.shape[0], table.value.shape[1])
    let first = vocabulary?.first ?? 0
    let output = Tensor(
        uninitialized: Shape(ids.shape.extents + [width]), dtype: table.value.dtype)
    let tokens = ids.buffer.integers
    gatherRows(
        table.value.elements, width: width, ids: tokens, count: ids.shape.count,
        into: output.elements, firstRow: first, tableRows: rows)
    vocabulary?.sum.finishRows(output.buffer, width: width) { token in
        (first..<first + rows).contains(Int(tokens[token]))
    }
    return tape.record(output, inputs: [], leaves: [table]) { upstream, _ in
        table.contribute { gradient, beta in
            if beta == 0 { clear(gradient, count: rows * width) }
            scatterAddRows(
                upstream.gradient.elements, ids: ids.buffer.integers, count: ids.shape.count,
                into: gradient, width: width, tableRows: rows, firstRow: first)
        }
    }
}

private func clear(_ pointer: UnsafeMutablePointer<Float>, count: Int) {
    parallelRuns(of: count) { run in
        (pointer + run.lowerBound).update(repeating: 0, count: run.count)
    }
}
