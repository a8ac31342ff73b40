import Kernels

/// Some tokens of each sequence: output[b, k] = input[b, places[b, k]]; zeros where a place is negative.
///
/// - Parameters:
///   - input: [sequences, tokens, width].
///   - places: Int32 [sequences, K], each below the number of tokens, none twice in a sequence.
///   - tokens: of which the input has those that are here; the output is whole on every rank.
/// - Returns: [sequences, K, width], of the input's type.
///
/// Saved: the places. Bound by memory: twice the output's bytes forward, the input's and the output's backward.
public func select(
    _ input: Tensor, places: Tensor, tokens: TokenSlices, tape: Tape?
) -> Tensor {
    let (sequences, length, width) = (input.shape[0], input.shape[1], input.shape[2])
    precondition(
        places.shape.rank == 2 && places.shape[0] == sequences,
        "select: places of \(places.shape) in \(input.shape)")
    let count = places.shape.count
    let output = Tensor(
        uninitialized: [sequences, places.shape[1], width], dtype: input.dtype)
    let span = Trace.begin(.forward, bytes: 2 * output.buffer.byteCount)
    defer { span.end() }
    let rows = Tensor(uninitialized: places.shape, dtype: .int32)
    serially {
        for index in 0..<count {
            let place = places.buffer.integers[index]
            precondition(place < length, "select: place \(place) of \(length) tokens")
            let first = Int32(index / max(1, places.shape[1]) * length)
            rows.buffer.integers[index] = place < 0 ? -1 : first + place
        }
    }
    let whole = tokens.gathered(input)
    kernels.gatherRows(
        whole.elements, width: width, ids: rows.buffer.integers, count: count,
        into: output.elements, tableRows: sequences * length)
    withExtendedLifetime(whole) {}
    return tape.record(
        output, inputs: [input], bytes: output.buffer.byteCount + input.buffer.byteCount
    ) { upstream, backward in
        let gradient = Tensor(uninitialized: input.shape, dtype: input.dtype)
        kernels.placeRows(
            upstream.gradient.elements, width: width, rows: rows.buffer.integers, count: count,
            into: gradient.elements, outRows: sequences * length)
        backward.add(tokens.scattered(gradient), to: input)
    }
}

/// The tokens that belong here, of a tensor that every rank has whole; where they all are here, the tensor itself. The
/// other way round it is `gather`.
public func scatter(_ input: Tensor, tokens: TokenSlices, tape: Tape?) -> Tensor {
    guard !tokens.isLocal else { return input }
    let span = Trace.begin(.forward)
    defer { span.end() }
    return tape.record(tokens.scattered(input), inputs: [input]) { upstream, backward in
        backward.add(tokens.gathered(upstream.gradient), to: input)
    }
}

/// Every token on every rank; where they all are here already, the tensor itself.
public func gather(_ input: Tensor, tokens: TokenSlices, tape: Tape?) -> Tensor {
    guard !tokens.isLocal else { return input }
    let span = Trace.begin(.forward)
    defer { span.end() }
    return tape.record(tokens.gathered(input), inputs: [input]) { upstream, backward in
        backward.add(tokens.scattered(upstream.gradient), to: input)
    }
}
