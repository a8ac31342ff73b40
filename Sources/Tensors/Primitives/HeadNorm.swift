import Kernels

/// Heads of a fused projection that share a gain.
public struct NormalisedHeads {
    /// [head dimension].
    public let gain: Leaf
    public let epsilon: Float
    /// Where in a token's row the heads begin, by canonical slice of the slices that are here.
    public let offsets: [[Int]]

    public init(gain: Leaf, epsilon: Float, offsets: [[Int]]) {
        (self.gain, self.epsilon, self.offsets) = (gain, epsilon, offsets)
    }

    /// Places in the list of all heads, by slice.
    var slices: [Range<Int>] {
        var start = 0
        return offsets.map { heads in
            defer { start += heads.count }
            return start..<start + heads.count
        }
    }
}

/// Normalises each head named by its root mean square (`rmsNorm`), with one gain for each group of heads; what
/// is in no group is copied.
///
/// The gain's gradient is a sum over tokens and heads: over the heads of a slice, token by token, in blocks
/// of 64 tokens; over slices as the tree of `sum`, so that it has the same bits on any number of ranks.
/// - Parameters:
///   - x: [batch, length, width], with every token of the micro-batch; its heads are cut by `sum`.
///   - groups: such as q and k.
/// - Returns: a new tensor of the same shape.
///
/// Collective over the group of `sum`, in the backward pass, where other ranks hold slices.
///
/// Saved: x, and a reciprocal of each head. Bound by memory: at most 4 times the bytes of x forward (a copy,
/// then the norm in place), and 4 times backward; where the upstream gradient is shared, a copy more.
public func headNorm(
    _ x: Tensor, _ groups: [NormalisedHeads], headDimension: Int, sum: any SliceSum, tape: Tape?
) -> Tensor {
    let span = Trace.begin(.forward, bytes: 4 * x.buffer.byteCount)
    defer { span.end() }
    let (rows, width) = (x.shape.rows, x.shape.width)
    precondition(
        x.heldRows.count == rows
            && groups.allSatisfy {
                $0.gain.shape == [headDimension] && $0.offsets.count == sum.localSlices.count
            },
        "headNorm: all tokens, gains of [\(headDimension)] and heads of \(sum.localSlices.count) "
            + "slices expected, found \(groups.map(\.gain.shape)) and "
            + "\(groups.map(\.offsets.count)) slices")
    let output = Tensor(like: x)
    copyElements(of: x, into: output)
    let runs = groups.map { NormalisedRuns(stride: width, offsets: $0.offsets.flatMap { $0 }) }
    let reciprocals = runs.map { Tensor(uninitialized: [rows, $0.offsets.count]) }
    for (index, group) in groups.enumerated() {
        kernels.rmsNorm(
            output.elements, runs: runs[index], gain: group.gain.value.elements,
            into: output.elements, reciprocals: reciprocals[index].floats, rows: rows,
            width: headDimension, epsilon: group.epsilon)
    }
    return tape.record(
        output, inputs: [x], leaves: groups.map(\.gain), bytes: 4 * x.buffer.byteCount
    ) { upstream, backward in
        var gradient = upstream.gradient
        if !upstream.isOwned {
            gradient = Tensor(like: x)
            copyElements(of: upstream.gradient, into: gradient)
        }
        var partials: [(leaf: Leaf, partials: Tensor)] = []
        for (index, group) in groups.enumerated() {
            let sums = Tensor(uninitialized: [group.offsets.count, headDimension])
            kernels.rmsNormBackward(
                gradient: gradient.elements, x.elements, runs: runs[index],
                gain: group.gain.value.elements, reciprocals: reciprocals[index].floats,
                into: gradient.elements, gainPartials: sums.floats, rows: rows,
                width: headDimension,
                slices: group.slices.map { NormalisedSlice(rows: 0..<rows, offsets: $0) })
            partials.append((group.gain, sums))
        }
        contribute(partials, over: sum.isLocal ? nil : TokenSlices(scatteredOver: sum))
        backward.add(gradient, to: x)
    }
}

/// In runs, on all threads.
func copyElements(of source: Tensor, into target: Tensor) {
    let (from, to) = (source.buffer, target.buffer)
    parallelRuns(of: from.count, length: 1 << 16) { run in to[run].copyBytes(from: from[run]) }
}
