import Kernels

/// A tensor that outlives every tape and gathers a gradient: what a parameter is to a primitive.
///
/// The gradient is Float32 and is *accumulated*: the first contribution after `beginAccumulation()`
/// overwrites the buffer (β = 0), the others are added (β = 1), in the order in which the backward passes
/// make them. Rows that an embedding adds to a table with other users are summed apart and added last. A frozen
/// leaf has no gradient storage, and pullbacks skip it.
public final class Leaf {
    public let shape: Shape
    public var isTrainable: Bool

    /// Whether a contribution came in since `beginAccumulation()`.
    package private(set) var hasContribution = false
    private var bound: Tensor?
    private var target: Tensor?
    /// Whether all contributions so far were rows.
    private var hasOnlyRows = false
    /// What embeddings have added beside other contributions.
    private var rowSum: RowSum?

    /// A leaf whose memory is bound later, so that a model can be described before anything is allocated.
    public init(shape: Shape, isTrainable: Bool = true) {
        (self.shape, self.isTrainable) = (shape, isTrainable)
    }

    public convenience init(_ value: Tensor, isTrainable: Bool = true) {
        self.init(shape: value.shape, isTrainable: isTrainable)
        bind(value)
    }

    /// The working weights.
    public var value: Tensor {
        guard let bound else {
            preconditionFailure("Leaf: of shape \(shape), read before it is bound")
        }
        return bound
    }

    /// The sum of the contributions, which ends with the first look at it; nil where there is none.
    public var gradient: Tensor? {
        finishRows()
        return hasContribution ? target : nil
    }

    package func bind(_ value: Tensor) {
        precondition(value.shape == shape, "Leaf: \(value.shape) bound to a leaf of \(shape)")
        bound = value
    }

    /// The next contribution overwrites. `target`: where gradients go from now on; nil: where they went
    /// before, or storage of the leaf's own.
    package func beginAccumulation(into target: Tensor? = nil) {
        if let target {
            precondition(
                target.shape == shape && target.dtype == .float32,
                "Leaf: a gradient of \(target.shape) for a leaf of \(shape)")
            self.target = target
        }
        (hasContribution, hasOnlyRows) = (false, false)
        rowSum?.clear()
    }

    /// After the last contribution: rows join the rest. Where no contribution came in, since the parameter was not
    /// used, the gradient is zeros.
    package func endAccumulation() {
        guard isTrainable else { return }
        guard hasContribution else { return contribute { gradient, _ in gradient.clear() } }
        finishRows()
    }

    private func finishRows() {
        if let rowSum, let target { rowSum.finish(into: target.buffer) }
    }

    /// Takes the memory that the rows of a group of micro-batches leave, of which there was one.
    package func reserveRows(microBatches: Int) { rowSum?.reserve(microBatches: microBatches) }

    /// Hands out the gradient, which is overwritten where `accumulates` is false, and added to otherwise.
    func contribute(_ body: (_ gradient: Buffer, _ accumulates: Bool) -> Void) {
        precondition(isTrainable, "Leaf: a frozen leaf takes no gradient")
        let target = self.target ?? Tensor(uninitialized: shape)
        self.target = target
        body(target.buffer, hasContribution)
        (hasContribution, hasOnlyRows) = (true, false)
    }

    /// Adds rows to those of a table [rows, width]: gradient[t] to row ids[t] − `firstRow`, in order of t. A table
    /// that has no other user takes them at once.
    func contribute(rows gradient: Tensor, ids: Tensor, firstRow: Int) {
        let (tableRows, width) = (shape[0], shape[1])
        guard hasContribution, !hasOnlyRows else {
            contribute { sum, accumulates in
                if !accumulates { clear(sum.floats, count: tableRows * width) }
                kernels.scatterAddRows(
                    gradient.elements, ids: ids.buffer.integers, count: ids.shape.count,
                    into: sum.floats, width: width, tableRows: tableRows, firstRow: firstRow)
            }
            hasOnlyRows = true
            return
        }
        let sum = rowSum ?? RowSum(tableRows: tableRows, width: width)
        rowSum = sum
        sum.add(gradient.elements, ids: ids, firstRow: firstRow)
    }

    /// Adds a Float32 contribution that was made elsewhere.
    func contribute(adding values: Buffer) {
        contribute { gradient, accumulates in
            if accumulates {
                serially {
                    kernels.accumulate(values.floats, into: gradient.floats, count: values.count)
                }
            } else {
                gradient.copyBytes(from: values)
            }
        }
    }
}

private func clear(_ pointer: UnsafeMutablePointer<Float>, count: Int) {
    parallelRuns(of: count) { run in
        (pointer + run.lowerBound).update(repeating: 0, count: run.count)
    }
}
