// The conjugate pairs of tensor parallelism: what happens to activations and their gradients where a
// region with split weights begins and ends (Megatron-LM: Shoeybi et al. 2019, section 3; with sequence
// parallelism Korthikanti et al. 2022, section 4.2.2). Between such regions every rank of a group has
// every token, or, with sequence parallelism, the tokens of its own slices.
//
//                                    every rank has every token    each has its own tokens
//   into a column-parallel product   forward   copy                gather
//                                    backward  reduce              reduce-scatter, and gather again
//   out of a row-parallel product    forward   reduce              reduce-scatter
//                                    backward  copy                gather
//   out of an embedding              forward   copy                split
//                                    backward  copy                gather
//   gain or bias in between          backward  the whole sum       partial sums, reduced
//
// *Reduce* takes Float32 partial sums and rounds after the root of their tree (`Linear.swift`); *gather*,
// *split* and *copy* move stored values. A copy is nothing to do.

/// The tokens of a micro-batch as a canonical axis: S slices, of which a rank holds whole ones under
/// sequence parallelism, and all of them otherwise.
public struct TokenSlices {
    private let sum: any SliceSum

    /// All tokens in this process, `slices` of them.
    public init(_ slices: Int) { sum = LocalSliceSum(slices: slices) }

    /// Scattered over the group of `sum`.
    public init(scatteredOver sum: any SliceSum) { self.sum = sum }

    /// Whether every token is here.
    package var isLocal: Bool { sum.isLocal }

    /// Of the whole axis of `count` tokens.
    private func borders(_ count: Int, width: Int = 1) -> [Int] {
        (0...sum.sliceCount).map { $0 * count / sum.sliceCount * width }
    }

    /// Those of `count` tokens that are here.
    package func held(of count: Int) -> Range<Int> {
        let borders = borders(count)
        return borders[sum.localSlices.lowerBound]..<borders[sum.localSlices.upperBound]
    }

    /// The slices of `count` tokens that are here, counted from the first token that is.
    ///
    /// - Parameter isWhole: for a tensor inside a region with split weights: all slices are.
    package func ranges(of count: Int, isWhole: Bool) -> [Range<Int>] {
        let borders = borders(count)
        let slices = isWhole ? 0..<sum.sliceCount : sum.localSlices
        let first = borders[slices.lowerBound]
        return slices.map { borders[$0] - first..<borders[$0 + 1] - first }
    }

    /// Adds up, over the tokens of all ranks, the root of a tree over those that are here.
    func finishSum(_ root: Buffer) { sum.finishSum(root) }

    /// *Gather*: every token, on every rank; where nothing is scattered, the tensor itself. Forward into a
    /// column-parallel product, and once more backward for its weight's gradient; backward out of a
    /// row-parallel product and of an embedding. Collective over the group.
    package func gathered(_ tensor: Tensor) -> Tensor {
        guard !isLocal else { return tensor }
        let (rows, width) = (tensor.shape.rows, tensor.shape.width)
        let whole = Tensor(uninitialized: tensor.shape, dtype: tensor.dtype)
        let held = tensor.heldRows
        whole.buffer[held.lowerBound * width..<held.upperBound * width].copyBytes(
            from: tensor.buffer)
        sum.gather(whole.buffer, borders: borders(rows, width: width))
        return whole
    }

    /// *Split*: the tokens that belong here, of a tensor that has them all. Forward out of an embedding, whose
    /// backward is *gather*. Nothing crosses ranks.
    package func scattered(_ tensor: Tensor) -> Tensor {
        guard !isLocal else { return tensor }
        let width = tensor.shape.width
        let held = held(of: tensor.shape.rows)
        let part = Tensor(uninitialized: tensor.shape, dtype: tensor.dtype, rows: held)
        part.buffer.copyBytes(
            from: tensor.buffer[held.lowerBound * width..<held.upperBound * width])
        return part
    }

    /// *Reduce*, or *reduce-scatter*: begins to sum partial results over `slices`, [tokens, width], for the
    /// tokens that belong here; what is returned ends it. Forward out of a row-parallel product, backward
    /// into a column-parallel one; the other way it is *copy*, or *gather*. Collective over the group.
    package func beginSum(
        _ root: Buffer, over slices: any SliceSum, rows: Int, width: Int
    ) -> () -> Void {
        slices.beginSum(root, scatteredAt: isLocal ? nil : borders(rows, width: width))
    }
}
