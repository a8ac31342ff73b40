import Kernels

/// Cosines and sines of every position's angles, Float32.
public struct RotaryTable {
    /// [positions, pairs].
    public let cosines: Tensor
    public let sines: Tensor
    public let pairs: RotaryPairs

    public init(cosines: Tensor, sines: Tensor, pairs: RotaryPairs) {
        precondition(
            cosines.shape == sines.shape && cosines.shape.rank == 2
                && cosines.dtype == .float32 && sines.dtype == .float32,
            "RotaryTable: two float32 tables of one shape [positions, pairs] expected, found "
                + "\(cosines.shape) and \(sines.shape)")
        (self.cosines, self.sines, self.pairs) = (cosines, sines, pairs)
    }

    /// Positions that it covers, from 0 on.
    public var positionCount: Int { cosines.shape[0] }
    /// Features of a head that it turns: its first ones.
    public var rotaryDimension: Int { 2 * cosines.shape[1] }
}

/// Rotary positions (Su et al. 2021, eq. 34): turns each pair (a, b) of a head's first features by the
/// token's angle φ: (a·cos φ − b·sin φ, b·cos φ + a·sin φ).
///
/// **In place**: the result has the memory of `x`, so `x` must have no other use, and what made it must not
/// need it in its own backward pass; a product without activation, and `headNorm`, do not.
/// - Parameters:
///   - x: [batch, length, width], such as a fused projection; what is in no head given stays.
///   - headOffsets: where in a token's row each head begins, those of queries and of keys.
///   - starts: the position of each sequence's first token, nil: 0. Below 0 (padding on the left, whose
///     values nobody sees) a token has position 0.
///   - positions: of each token instead, Int32 [batch, length], where a sequence holds several texts.
///
/// Nothing is saved. Bound by memory: 2 times the bytes of the rotated features, forward and backward.
public func rotary(
    _ x: Tensor, headOffsets: [Int], table: RotaryTable, starts: [Int]? = nil,
    positions: Tensor? = nil, tape: Tape?
) -> Tensor {
    precondition(x.shape.rank == 3, "rotary: expected [batch, length, width], got \(x.shape)")
    let (batch, length, width) = (x.shape[0], x.shape[1], x.shape[2])
    precondition(
        x.heldRows.count == batch * length,
        "rotary: \(batch) whole sequences expected, found rows \(x.heldRows)")
    precondition(
        headOffsets.allSatisfy { $0 >= 0 && $0 + table.rotaryDimension <= width },
        "rotary: heads of at least \(table.rotaryDimension) features in a width of \(width) "
            + "expected, found offsets \(headOffsets)")
    let bytes =
        2 * batch * length * headOffsets.count * table.rotaryDimension * x.dtype.size
    let span = Trace.begin(.forward, bytes: bytes)
    defer { span.end() }
    let places =
        rotaryPlaces(positions, [batch, length], table)
        ?? rotaryPlaces(starts ?? Array(repeating: 0, count: batch), [batch, length], table)
    func turn(_ tensor: Tensor, backwards: Bool) {
        withExtendedLifetime(table) {
            places.withUnsafeBufferPointer { places in
                guard let first = places.baseAddress else { return }
                kernels.rotate(
                    tensor.elements, rows: batch * length, stride: width,
                    headOffsets: headOffsets, arrangement: table.pairs,
                    pairs: table.rotaryDimension / 2, cosines: table.cosines.floats,
                    sines: table.sines.floats, positions: first, backwards: backwards)
            }
        }
    }
    turn(x, backwards: false)
    return tape.record(x.detached, inputs: [x], bytes: bytes) { upstream, backward in
        var gradient = upstream.gradient
        if !upstream.isOwned {
            gradient = Tensor(like: x)
            gradient.buffer.copyBytes(from: upstream.gradient.buffer)
        }
        turn(gradient, backwards: true)
        backward.add(gradient, to: x)
    }
}

/// The position of each token of sequences that begin at `starts`.
private func rotaryPlaces(_ starts: [Int], _ shape: Shape, _ table: RotaryTable) -> [Int32] {
    let length = shape[1]
    precondition(
        starts.count == shape[0],
        "rotary: the starts of \(shape[0]) sequences expected, found \(starts.count)")
    precondition(
        starts.allSatisfy { $0 + length <= table.positionCount },
        "rotary: \(length) tokens from positions \(starts) on, in a table of "
            + "\(table.positionCount)")
    return starts.flatMap { start in
        (0..<length).map { Int32(max(0, start + $0)) }
    }
}

/// The positions that are given; nil where none are, or where they have no numbers, as in a plan.
private func rotaryPlaces(_ positions: Tensor?, _ shape: Shape, _ table: RotaryTable) -> [Int32]? {
    guard let positions else { return nil }
    precondition(
        positions.shape == shape,
        "rotary: positions \(shape) expected, found \(positions.shape)")
    guard let places = positions.integers else { return nil }
    precondition(
        places.allSatisfy { $0 >= 0 && Int($0) < table.positionCount },
        "rotary: positions beyond a table of \(table.positionCount)")
    return places
}
