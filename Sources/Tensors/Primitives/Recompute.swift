/// Runs `body` and keeps nothing of it but `inputs`: the backward pass runs it again, then goes back
/// through it (Chen et al. 2016).
///
/// Every gradient has the bits that it has without, and every leaf is announced at the same place of the
/// order. A leaf that no gradient reaches is announced after the others.
///
/// - Parameters:
///   - inputs: the tensors of `tape` that `body` uses.
///   - leaves: those that `body` uses; others may be among them.
///   - body: a pure function of inputs and leaves, run on no tape or on the one it is given.
public func recompute(
    inputs: [Tensor], leaves: [Leaf], tape: Tape?, _ body: @escaping (Tape?) -> Tensor
) -> Tensor {
    let output = body(nil)
    return tape?.record(output, inputs: inputs, leaves: leaves, again: body) ?? output
}
