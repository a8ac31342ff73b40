import Kernels

/// Layer normalisation over the last axis (Ba et al. 2016): (x − μ)·(σ² + ε)^(−1/2)·gain + bias.
///
/// - Parameters:
///   - input: […, width].
///   - gain, bias: [width], of the input's type, which is the output's too.
///   - tokens: the gradients of gain and bias are sums over tokens, taken slice by slice.
///
/// Saved: the input, and mean and reciprocal deviation of each row.
public func layerNorm(
    _ input: Tensor, gain: Leaf, bias: Leaf, epsilon: Float, tokens: TokenSlices, tape: Tape?
) -> Tensor {
    let span = Trace.begin(.forward, bytes: 2 * input.buffer.byteCount)
    defer { span.end() }
    let (rows, width) = (input.heldRows.count, input.shape.width)
    let output = Tensor(like: input)
    let means = Tensor(uninitialized: [rows])
    let reciprocals = Tensor(uninitialized: [rows])
    kernels.layerNorm(
        input.elements, gain: gain.value.elements, bias: bias.value.elements, into: output.elements,
        means: means.floats, reciprocalDeviations: reciprocals.floats, rows: rows, width: width,
        epsilon: epsilon)
    return tape.record(
        output, inputs: [input], leaves: [gain, bias], bytes: 3 * input.buffer.byteCount
    ) { upstream, backward in
        let gradient = Tensor(like: input)
        let slices = tokens.ranges(of: input.shape.rows, isWhole: false)
        let gainPartials = Tensor(uninitialized: [slices.count, width])
        let biasPartials = Tensor(uninitialized: [slices.count, width])
        kernels.layerNormBackward(
            gradient: upstream.gradient.elements, input.elements, gain: gain.value.elements,
            means: means.floats, reciprocalDeviations: reciprocals.floats, into: gradient.elements,
            gainPartials: gainPartials.floats, biasPartials: biasPartials.floats, rows: rows,
            width: width, tokenSlices: slices)
        contribute([(gain, gainPartials), (bias, biasPartials)], over: tokens)
        backward.add(gradient, to: input)
    }
}

/// Adds to each leaf the tree over the slices of a reduction over tokens, of which `partials` are those that
/// are here, [slices, width]; a frozen leaf ignores it.
///
/// - Parameter tokens: nil where all slices are here. Collective over its group otherwise: one exchange.
func contribute(_ sums: [(leaf: Leaf, partials: Tensor)], over tokens: TokenSlices?) {
    let wanted = sums.filter(\.leaf.isTrainable)
    let widths = wanted.map { $0.partials.shape.width }
    let roots = Buffer(count: widths.reduce(0, +))
    var start = 0
    for ((_, partials), width) in zip(wanted, widths) {
        kernels.treeAdd(partials.floats, slices: partials.shape[0], stride: width, count: width)
        roots[start..<start + width].copyBytes(from: partials.buffer[0..<width])
        start += width
    }
    if let tokens, roots.count > 0 { tokens.finishSum(roots) }
    start = 0
    for ((leaf, _), width) in zip(wanted, widths) {
        leaf.contribute(adding: roots[start..<start + width])
        start += width
    }
}
