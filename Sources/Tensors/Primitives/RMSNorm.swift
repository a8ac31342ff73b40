import Kernels

/// Normalisation by the root mean square over the last axis (Zhang and Sennrich 2019):
/// x·(mean(x²) + ε)^(−1/2)·gain.
///
/// - Parameters:
///   - input: […, width].
///   - gain: [width], of the input's type, which is the output's too.
///   - tokens: the gain's gradient is a sum over tokens, taken slice by slice.
///
/// Statistics are Float32, and the product with the gain is rounded once. (Where transformers rounds before
/// the gain too, results of Float32 storage are the same.)
///
/// Saved: the input, and a reciprocal root mean square of each row. Bound by memory: 2 times the input's
/// bytes forward, 3 times backward.
public func rmsNorm(
    _ input: Tensor, gain: Leaf, epsilon: Float, tokens: TokenSlices, tape: Tape?
) -> Tensor {
    let span = Trace.begin(.forward, bytes: 2 * input.buffer.byteCount)
    defer { span.end() }
    let (rows, width) = (input.heldRows.count, input.shape.width)
    precondition(
        gain.shape == [width], "rmsNorm: a gain of \(gain.shape) for a width of \(width)")
    let runs = NormalisedRuns(width: width)
    let output = Tensor(like: input)
    let reciprocals = Tensor(uninitialized: [rows])
    kernels.rmsNorm(
        input.elements, runs: runs, gain: gain.value.elements, into: output.elements,
        reciprocals: reciprocals.floats, rows: rows, width: width, epsilon: epsilon)
    return tape.record(
        output, inputs: [input], leaves: [gain], bytes: 3 * input.buffer.byteCount
    ) { upstream, backward in
        let gradient = Tensor(like: input)
        let slices = tokens.ranges(of: input.shape.rows, isWhole: false)
        let gainPartials = Tensor(uninitialized: [slices.count, width])
        kernels.rmsNormBackward(
            gradient: upstream.gradient.elements, input.elements, runs: runs,
            gain: gain.value.elements, reciprocals: reciprocals.floats, into: gradient.elements,
            gainPartials: gainPartials.floats, rows: rows, width: width,
            slices: slices.map { NormalisedSlice(rows: $0, offsets: 0..<1) })
        contribute([(gain, gainPartials)], over: tokens)
        backward.add(gradient, to: input)
    }
}
