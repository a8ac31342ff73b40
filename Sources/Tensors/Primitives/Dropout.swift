import Kernels

/// A dropout site in one forward pass: which elements are dropped is a function of the seed, the
/// stream (step and site) and an element's *global* index, so that a rank decides for its part what one
/// process would decide for all.
public struct DropoutSite: Sendable {
    /// The probability with which an element becomes 0; the others are divided by 1 − rate.
    public let rate: Float
    package let stream: RandomStream
    /// Global index of the tensor's first element.
    package let firstIndex: UInt64

    package init(rate: Float, stream: RandomStream, firstIndex: UInt64) {
        precondition(rate > 0 && rate < 1, "Dropout: expected a rate in (0, 1), got \(rate)")
        (self.rate, self.stream, self.firstIndex) = (rate, stream, firstIndex)
    }

    /// The same mask serves forward and backward; `output` may be `input`, and is of its type.
    func apply(_ input: Tensor, into output: Tensor) {
        let (x, y, here) = (input.elements, output.elements, at(input))
        parallelRuns(of: input.buffer.count) { here.apply(x, into: y, run: $0) }
    }

    /// The same site for the rows of a tensor that are here.
    func at(_ tensor: Tensor) -> DropoutSite {
        DropoutSite(
            rate: rate, stream: stream,
            firstIndex: firstIndex + UInt64(tensor.heldRows.lowerBound * tensor.shape.width))
    }

    /// Elements `run` of a tensor, whose first elements are `x` and `y`.
    func apply(_ x: Elements, into y: Elements, run: Range<Int>) {
        kernels.dropout(
            stream, x + run.lowerBound, into: y + run.lowerBound, count: run.count,
            firstIndex: firstIndex + UInt64(run.lowerBound), rate: rate)
    }

    /// Float32 values of elements `run` of the tensor, in place: `row` is the first of the run.
    func apply(toRow row: UnsafeMutablePointer<Float>, run: Range<Int>) {
        kernels.dropout(
            stream, row, into: row, count: run.count,
            firstIndex: firstIndex + UInt64(run.lowerBound),
            rate: rate)
    }
}

/// Inverted dropout (Srivastava et al. 2014). Nothing is saved: the mask is made again.
public func dropout(_ input: Tensor, site: DropoutSite, tape: Tape?) -> Tensor {
    let span = Trace.begin(.forward, bytes: 2 * input.buffer.byteCount)
    defer { span.end() }
    let output = Tensor(like: input)
    site.apply(input, into: output)
    return tape.record(output, inputs: [input], bytes: 2 * input.buffer.byteCount) {
        upstream, backward in
        let gradient = Tensor(like: input)
        site.apply(upstream.gradient, into: gradient)
        backward.add(gradient, to: input)
    }
}
