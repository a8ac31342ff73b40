import Kernels

/// Layer normalisation over the last axis (Ba et al. 2016): (x − μ)·(σ² + ε)^(−1/2)·gain + bias.
///
/// - Parameters:
///   - input: […, width].
///   - gain, bias: [width], of the input's type, which is the output's too.
///   - tokenSlices: S; the gradients of gain and bias are sums over tokens, taken slice by slice.
///
/// Saved: the input, and mean and reciprocal deviation of each row.
public func layerNorm(
    _ input: Tensor, gain: Leaf, bias: Leaf, epsilon: Float, tokenSlices: Int, tape: Tape?
) -> Tensor {
    let span = Trace.begin(.forward, bytes: 2 * input.buffer.byteCount)
    defer { span.end() }
    let (rows, width) = (input.shape.rows, input.shape.width)
    let output = Tensor(uninitialized: input.shape, dtype: input.dtype)
    let means = Tensor(uninitialized: [rows])
    let reciprocals = Tensor(uninitialized: [rows])
    Kernels.layerNorm(
        input.elements, gain: gain.value.elements, bias: bias.value.elements, into: output.elements,
        means: means.floats, reciprocalDeviations: reciprocals.floats, rows: rows, width: width,
        epsilon: epsilon)
    return tape.record(
        output, inputs: [input], leaves: [gain, bias], bytes: 3 * input.buffer.byteCount
    ) { upstream, backward in
        let gradient = Tensor(uninitialized: input.shape, dtype: input.dtype)
        let gainPartials = Tensor(uninitialized: [tokenSlices, width])
        let biasPartials = Tensor(uninitialized: [tokenSlices, width])
        layerNormBackward(
            gradient: upstream.gradient.elements, input.elements, gain: gain.value.elements,
            means: means.floats, reciprocalDeviations: reciprocals.floats, into: gradient.elements,
            gainPartials: gainPartials.floats, biasPartials: biasPartials.floats, rows: rows,
            width: width, tokenSlices: Slices.ofTokens(rows, slices: tokenSlices))
        gain.contribute(sumOfSlices: gainPartials)
        bias.contribute(sumOfSlices: biasPartials)
        backward.add(gradient, to: input)
    }
}

extension Leaf {
    /// Adds the tree over the slices of a reduction over tokens, [S, width]; a frozen leaf ignores it.
    func contribute(sumOfSlices partials: Tensor) {
        guard isTrainable else { return }
        let (slices, width) = (partials.shape[0], partials.shape[1])
        treeAdd(partials.floats, slices: slices, stride: width, count: width)
        contribute { gradient, beta in
            if beta == 0 {
                gradient.update(from: partials.floats, count: width)
            } else {
                accumulate(partials.floats, into: gradient, count: width)
            }
        }
    }
}
