import Kernels

/// Rows of a table: output[t] = table[ids[t]].
///
/// - Parameters:
///   - ids: Int32, any shape; each in 0 ..< table rows.
///   - table: [vocabulary, width]; `vocabulary` slices where its rows may be split across ranks, whose
///     owner's row is taken, not summed with zeros (−0 + 0 would be +0).
///   - frozen: an id whose row takes no gradient from here: that of padding.
///   - tokens: of which the output has those that belong here.
/// - Returns: [ids…, width], of the table's type.
///
/// The gradient's rows are summed in token order, whoever had them (`Leaf.contribute(rows:)`). Saved: the ids.
public func embedding(
    _ ids: Tensor, table: Leaf, vocabulary: Slices? = nil, frozen: Int32? = nil,
    tokens: TokenSlices, tape: Tape?
) -> Tensor {
    let span = Trace.begin(.forward)
    defer { span.end() }
    let (rows, width) = (table.value.shape[0], table.value.shape[1])
    let first = vocabulary?.held.lowerBound ?? 0
    let whole = Tensor(
        uninitialized: Shape(ids.shape.extents + [width]), dtype: table.value.dtype)
    let numbers = ids.buffer.integers
    kernels.gatherRows(
        table.value.elements, width: width, ids: numbers, count: ids.shape.count,
        into: whole.elements, firstRow: first, tableRows: rows)
    if let vocabulary {
        vocabulary.sum.finishRows(whole.buffer, width: width) {
            vocabulary.slice(of: Int(numbers[$0]))
        }
    }
    return tape.record(tokens.scattered(whole), inputs: [], leaves: [table]) { upstream, _ in
        let gradient = tokens.gathered(upstream.gradient)
        table.contribute(
            rows: gradient, ids: frozen.map { ids.without($0) } ?? ids, firstRow: first)
        withExtendedLifetime(gradient) {}
    }
}

extension Tensor {
    /// Integers among which one is replaced by −1, which is no row.
    fileprivate func without(_ id: Int32) -> Tensor {
        guard let integers else { return self }
        return Tensor(integers: integers.map { $0 == id ? -1 : $0 }, shape: shape)
    }
}
