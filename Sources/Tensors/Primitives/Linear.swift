// The product primitive: partial products → `SliceSum` → epilogue. Which of a weight's axes may be
// split across ranks decides which contraction is canonical: that over the inputs in the forward pass
// (row-parallel), or that over the outputs in the input's gradient (column-parallel).

import Kernels

/// Which axis of a weight [outputs, inputs] is cut into canonical slices.
public enum WeightSplit {
    /// Every rank holds the whole weight and does the whole product.
    case replicated
    /// Column-parallel: a rank holds whole slices of the outputs, and a bias likewise.
    case outputs(Slices)
    /// Row-parallel: a rank holds whole slices of the inputs. In memory the weight is slice-major:
    /// slice i is [outputs, inputs of slice i].
    case inputs(Slices)
}

/// What follows a product, in this order: bias, activation, dropout, residual, one rounding.
public struct Epilogue {
    /// [outputs].
    public var bias: Leaf?
    public var activation: Activation?
    public var dropout: DropoutSite?
    /// Of the output's shape.
    public var residual: Tensor?

    public init(
        bias: Leaf? = nil, activation: Activation? = nil, dropout: DropoutSite? = nil,
        residual: Tensor? = nil
    ) {
        (self.bias, self.activation, self.dropout, self.residual) =
            (bias, activation, dropout, residual)
    }
}

/// residual + dropout(activation(x·Wᵀ + b)).
///
/// - Parameters:
///   - input: […, inputs], the inputs that this process holds.
///   - weight: [outputs, inputs] (or its slices, see `WeightSplit`).
///   - tokens: for the bias's gradient, which is a sum over tokens; and where not every token is here
///     (`TokenSlices`), the input of a column-parallel product has those that are, and the output of a
///     row-parallel one gets them.
/// - Returns: […, outputs].
///
/// Collective over the group of the split's slices, forward and backward, where other ranks hold some.
///
/// Saved: the input as it came; with an activation, the sum before it.
public func linear(
    _ input: Tensor, weight: Leaf, split: WeightSplit, epilogue: Epilogue = Epilogue(),
    tokens: TokenSlices, tape: Tape?
) -> Tensor {
    let span = Trace.begin(.forward)
    defer { span.end() }
    let product = LinearProduct(
        rows: input.shape.rows, inputs: input.shape.width,
        outputs: weight.value.shape.count / max(1, input.shape.width), split: split, tokens: tokens)
    precondition(
        product.inputs * product.outputs == weight.value.shape.count,
        "linear: \(product.inputs) inputs for a weight of shape \(weight.value.shape)")
    let output = Tensor(
        uninitialized: Shape(input.shape.extents.dropLast() + [product.outputs]),
        dtype: input.dtype, rows: product.outputRows)
    let preactivation = epilogue.activation.map { _ in Tensor(like: output) }
    let wholeInput = product.whole(input, of: .input)
    product.forward(wholeInput.elements, weight.value.elements) { block in
        epilogue.finish(block, preactivation: preactivation, into: output)
    }
    withExtendedLifetime(wholeInput) {}
    let residual = epilogue.residual
    return tape.record(
        output, inputs: [input] + (residual.map { [$0] } ?? []),
        leaves: [weight] + (epilogue.bias.map { [$0] } ?? [])
    ) { upstream, backward in
        let gradient = epilogue.gradientOfSum(upstream, preactivation: preactivation)
        backward.stored(gradient)
        if let bias = epilogue.bias, bias.isTrainable {
            product.biasGradient(gradient, of: bias)
        }
        let wholeGradient = product.whole(gradient, of: .output)
        let inputGradient = backward.wants(input) ? Tensor(like: input) : nil
        // What crosses ranks is on its way while the weight's gradient is made.
        let finish = inputGradient.map {
            product.beginInputGradient(wholeGradient.elements, weight.value.elements, into: $0)
        }
        if weight.isTrainable {
            let wholeInput = product.whole(input, of: .input)
            weight.contribute {
                product.weightGradient(
                    wholeGradient.elements, wholeInput.elements, into: $0, accumulate: $1)
            }
            withExtendedLifetime(wholeInput) {}
        }
        finish?()
        if let inputGradient { backward.add(inputGradient, to: input) }
        withExtendedLifetime(wholeGradient) {}
        if let residual {
            backward.add(upstream.gradient, to: residual, shared: !upstream.isOwned)
        }
    }
}

extension Epilogue {
    /// On a block of the Float32 sum that has just been made and is in cache; rounds once into `output`,
    /// and, where there is an activation, once into `preactivation`.
    func finish(_ block: ProductBlock, preactivation: Tensor?, into output: Tensor) {
        let (width, firstRow) = (output.shape.width, output.heldRows.lowerBound)
        let site = dropout?.at(output)
        for row in block.rows {
            let start = (row - firstRow) * width + block.columns.lowerBound
            let run = start..<start + block.columns.count
            kernels.finishRow(
                values: block.row(row), count: run.count,
                bias: bias.map { $0.value.elements + block.columns.lowerBound },
                activation: activation, preactivation: preactivation.map { $0.elements + start },
                residual: residual.map { $0.elements + start }, output: output.elements + start,
                dropout: site.map { site in { site.apply(toRow: $0, run: run) } })
        }
    }

    /// The gradient that reaches the product's sum: the upstream one taken back through dropout and
    /// activation.
    func gradientOfSum(_ upstream: Tape.Upstream, preactivation: Tensor?) -> Tensor {
        guard dropout != nil || activation != nil else { return upstream.gradient }
        let gradient = Tensor(like: upstream.gradient)
        let (dy, dz) = (upstream.gradient.elements, gradient.elements)
        let site = dropout?.at(gradient)
        parallelRuns(of: gradient.buffer.count) { run in
            var source = dy
            if let site {
                site.apply(dy, into: dz, run: run)
                source = dz
            }
            if let activation, let preactivation {
                kernels.activateBackward(
                    activation, preactivation.elements + run.lowerBound,
                    gradient: source + run.lowerBound, into: dz + run.lowerBound, count: run.count)
            }
        }
        return gradient
    }
}

/// The three products of a linear map: y = x·Wᵀ, dx = dy·W, dW = dyᵀ·x. Operands are of any storage type,
/// sums are Float32, and a result that is stored is rounded block by block.
struct LinearProduct {
    /// Of the whole micro-batch: every operand has all of its tokens.
    let rows: Int
    let inputs: Int
    let outputs: Int
    let split: WeightSplit
    let tokens: TokenSlices

    enum Side { case input, output }

    /// Whether a tensor on this side of the map has only the tokens that belong here: outside of the region
    /// that the weight's split begins or ends.
    private func isScattered(_ side: Side) -> Bool {
        guard !tokens.isLocal else { return false }
        switch split {
        case .replicated: preconditionFailure("linear: a replicated weight on scattered tokens")
        case .outputs(let slices), .inputs(let slices):
            precondition(
                !slices.sum.isLocal,
                "linear: tokens are scattered, but the weight is whole; its plan leaves it out")
        }
        if case .outputs = split { return side == .input }
        return side == .output
    }

    /// The rows of the output that are made here.
    var outputRows: Range<Int> { isScattered(.output) ? tokens.held(of: rows) : 0..<rows }

    /// A tensor on this side, or its gradient, with every token.
    func whole(_ tensor: Tensor, of side: Side) -> Tensor {
        isScattered(side) ? tokens.gathered(tensor) : tensor
    }

    /// Adds the sum of the output's gradient over tokens.
    func biasGradient(_ gradient: Tensor, of bias: Leaf) {
        let isScattered = isScattered(.output)
        let slices = tokens.ranges(of: rows, isWhole: !isScattered)
        let partials = Tensor(uninitialized: [slices.count, outputs])
        kernels.columnSums(
            gradient.elements, rows: gradient.heldRows.count, width: outputs, stride: outputs,
            into: partials.floats, tokenSlices: slices)
        contribute([(bias, partials)], over: isScattered ? tokens : nil)
    }

    /// x[rows, inputs]·W[outputs, inputs]ᵀ, in finished blocks, disjoint and covering it.
    func forward(
        _ x: Elements, _ weight: Elements, finish: @escaping (ProductBlock) -> Void
    ) {
        let span = Trace.begin(.product, "product", operations: 2 * rows * inputs * outputs)
        defer { span.end() }
        WorkLog.current?.multiply(rows: rows, inputs: inputs, outputs: outputs)
        switch split {
        case .replicated, .outputs:
            kernels.product(
                rows: rows, columns: outputs, inner: inputs, Operand(x, stride: inputs),
                Operand(weight, stride: inputs, transposed: true),
                epilogue: finish)
        case .inputs(let slices):
            let parts = slices.ranges.map { part in
                ProductSlice(
                    inner: part.count, a: Operand(x + part.lowerBound, stride: inputs),
                    b: Operand(
                        weight + part.lowerBound * outputs, stride: part.count, transposed: true))
            }
            beginSum(parts, columns: outputs, over: slices.sum, finish)()
        }
    }

    /// dx[rows, inputs] = dy[rows, outputs]·W. What is returned ends it: `dx` is set, and read by nobody before.
    func beginInputGradient(
        _ dy: Elements, _ weight: Elements, into dx: Tensor
    ) -> () -> Void {
        let span = Trace.begin(.product, "input gradient", operations: 2 * rows * inputs * outputs)
        defer { span.end() }
        WorkLog.current?.multiply(rows: rows, inputs: inputs, outputs: outputs)
        switch split {
        case .replicated:
            kernels.product(
                rows: rows, columns: inputs, inner: outputs, Operand(dy, stride: outputs),
                Operand(weight, stride: inputs),
                epilogue: dx.store)
        case .outputs(let slices):
            let parts = slices.ranges.map { part in
                ProductSlice(
                    inner: part.count, a: Operand(dy + part.lowerBound, stride: outputs),
                    b: Operand(weight + part.lowerBound * inputs, stride: inputs))
            }
            return beginSum(parts, columns: inputs, over: slices.sum, dx.store)
        case .inputs(let slices):
            kernels.products(
                slices.ranges.map { part in
                    Product(
                        rows: rows, columns: part.count, inner: outputs,
                        Operand(dy, stride: outputs),
                        Operand(weight + part.lowerBound * outputs, stride: part.count)
                    ) { dx.store($0, column: part.lowerBound) }
                })
        }
        return {}
    }

    /// dW = dyᵀ·x, added to dW where `accumulate`, in the weight's memory order. Always Float32.
    func weightGradient(
        _ dy: Elements, _ x: Elements, into buffer: Buffer, accumulate: Bool
    ) {
        let span = Trace.begin(.product, "weight gradient", operations: 2 * rows * inputs * outputs)
        defer { span.end() }
        WorkLog.current?.multiply(rows: rows, inputs: inputs, outputs: outputs)
        let gradient = buffer.floats
        let upstream = Operand(dy, stride: outputs, transposed: true)
        switch split {
        case .replicated, .outputs:
            kernels.product(
                rows: outputs, columns: inputs, inner: rows, upstream, Operand(x, stride: inputs),
                accumulate: accumulate, into: gradient, stride: inputs)
        case .inputs(let slices):
            kernels.products(
                slices.ranges.map { part in
                    Product(
                        rows: outputs, columns: part.count, inner: rows, upstream,
                        Operand(x + part.lowerBound, stride: inputs), accumulate: accumulate,
                        into: gradient + part.lowerBound * outputs, stride: part.count)
                })
        }
    }

    /// A contraction over canonical slices: where other ranks hold some of them, the partial sums leave
    /// the process as Float32, and blocks are finished, by what is returned, once the whole sum is there.
    private func beginSum(
        _ parts: [ProductSlice], columns: Int, over sum: any SliceSum,
        _ finish: @escaping (ProductBlock) -> Void
    ) -> () -> Void {
        guard !sum.isLocal else {
            kernels.sumOfProducts(rows: rows, columns: columns, slices: parts, epilogue: finish)
            return {}
        }
        let root = Buffer(count: rows * columns)
        kernels.sumOfProducts(
            rows: rows, columns: columns, slices: parts, into: root.floats, stride: columns)
        let finishSum = tokens.beginSum(root, over: sum, rows: rows, width: columns)
        let held = tokens.held(of: rows)
        return {
            finishSum()
            parallelRuns(of: held.count, length: 16) { run in
                let rows = held.lowerBound + run.lowerBound..<held.lowerBound + run.upperBound
                finish(
                    ProductBlock(
                        rows: rows, columns: 0..<columns,
                        values: root.floats + rows.lowerBound * columns, stride: columns))
            }
        }
    }
}

extension Tensor {
    /// Rounds a block of a product into its place, whose columns begin at `column` of this tensor's.
    func store(_ block: ProductBlock, column: Int) {
        for row in block.rows {
            let start =
                (row - heldRows.lowerBound) * shape.width + column + block.columns.lowerBound
            kernels.convert(
                from: Elements(block.row(row)), to: elements + start, count: block.columns.count)
        }
    }

    func store(_ block: ProductBlock) { store(block, column: 0) }
}
