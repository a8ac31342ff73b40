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
///   - tokenSlices: S, for the bias's gradient, which is a sum over tokens.
/// - Returns: […, outputs].
///
/// Saved: the input; with an activation, the sum before it.
public func linear(
    _ input: Tensor, weight: Leaf, split: WeightSplit, epilogue: Epilogue = Epilogue(),
    tokenSlices: Int, tape: Tape?
) -> Tensor {
    let product = LinearProduct(
        rows: input.shape.rows, inputs: input.shape.width,
        outputs: weight.value.shape.count / max(1, input.shape.width), split: split)
    precondition(
        product.inputs * product.outputs == weight.value.shape.count,
        "linear: \(product.inputs) inputs for a weight of shape \(weight.value.shape)")
    let output = Tensor(
        uninitialized: Shape(input.shape.extents.dropLast() + [product.outputs]))
    let preactivation = epilogue.activation.map { _ in Tensor(uninitialized: output.shape) }
    let sum = preactivation ?? output
    product.forward(input.floats, weight.value.floats, into: sum.buffer) { rows, columns in
        epilogue.apply(sum, into: output, rows: rows, columns: columns)
    }
    let residual = epilogue.residual
    return tape.record(
        output, inputs: [input] + (residual.map { [$0] } ?? []),
        leaves: [weight] + (epilogue.bias.map { [$0] } ?? [])
    ) { upstream, backward in
        let gradient = epilogue.gradientOfSum(upstream, preactivation: preactivation)
        if weight.isTrainable {
            weight.contribute {
                product.weightGradient(gradient.floats, input.floats, into: $0, beta: $1)
            }
        }
        if let bias = epilogue.bias, bias.isTrainable {
            let partials = Tensor(uninitialized: [tokenSlices, product.outputs])
            columnSums(
                gradient.elements, rows: product.rows, width: product.outputs,
                stride: product.outputs, into: partials.floats,
                tokenSlices: Slices.ofTokens(product.rows, slices: tokenSlices))
            bias.contribute(sumOfSlices: partials)
        }
        if backward.wants(input) {
            let inputGradient = Tensor(uninitialized: input.shape)
            product.inputGradient(gradient.floats, weight.value.floats, into: inputGradient.buffer)
            backward.add(inputGradient, to: input)
        }
        if let residual {
            backward.add(upstream.gradient, to: residual, shared: !upstream.isOwned)
        }
    }
}

extension Epilogue {
    /// On a block of the sum that has just been made, row by row, so that every step after the first finds
    /// the row in cache. `output` is `sum` unless there is an activation.
    func apply(_ sum: Tensor, into output: Tensor, rows: Range<Int>, columns: Range<Int>) {
        let stride = sum.shape.width
        let (z, y) = (sum.floats, output.floats)
        let bias = bias.map { $0.value.floats + columns.lowerBound }
        let residual = residual?.floats
        for row in rows {
            let start = row * stride + columns.lowerBound
            if let bias { accumulate(bias, into: z + start, count: columns.count) }
            if let activation {
                activate(activation, z + start, into: y + start, count: columns.count)
            }
            dropout?.apply(toRow: y + start, run: start..<start + columns.count)
            if let residual {
                accumulate(residual + start, into: y + start, count: columns.count)
            }
        }
    }

    /// The gradient that reaches the product's sum: the upstream one taken back through dropout and
    /// activation.
    func gradientOfSum(_ upstream: Tape.Upstream, preactivation: Tensor?) -> Tensor {
        guard dropout != nil || activation != nil else { return upstream.gradient }
        let gradient = Tensor(uninitialized: upstream.gradient.shape)
        let (dy, dz) = (upstream.gradient.elements, gradient.elements)
        parallelRuns(of: gradient.shape.count) { run in
            var source = dy
            if let dropout {
                dropout.apply(dy, into: dz, run: run)
                source = dz
            }
            if let activation, let preactivation {
                activateBackward(
                    activation, preactivation.elements + run.lowerBound,
                    gradient: source + run.lowerBound, into: dz + run.lowerBound, count: run.count)
            }
        }
        return gradient
    }
}

/// The three products of a linear map: y = x·Wᵀ, dx = dy·W, dW = dyᵀ·x.
struct LinearProduct {
    let rows: Int
    let inputs: Int
    let outputs: Int
    let split: WeightSplit

    /// y[rows, outputs] = x[rows, inputs]·W[outputs, inputs]ᵀ; `epilogue` once for each finished block.
    func forward(
        _ x: UnsafePointer<Float>, _ weight: UnsafePointer<Float>, into output: Buffer,
        epilogue: @escaping (Range<Int>, Range<Int>) -> Void
    ) {
        let y = output.floats
        switch split {
        case .replicated, .outputs:
            product(
                rows: rows, columns: outputs, inner: inputs, Operand(x, stride: inputs),
                Operand(weight, stride: inputs, transposed: true), into: y, stride: outputs,
                sliced: slicedOutputs { .columns(borders: $0, smallest: $1) }, epilogue: epilogue)
        case .inputs(let slices):
            let parts = slices.ranges.map { part in
                ProductSlice(
                    inner: part.count, a: Operand(x + part.lowerBound, stride: inputs),
                    b: Operand(
                        weight + part.lowerBound * outputs, stride: part.count, transposed: true))
            }
            let isLocal = slices.sum.isLocal
            sumOfProducts(
                rows: rows, columns: outputs, slices: parts, into: y, stride: outputs,
                epilogue: isLocal ? epilogue : nil)
            if !isLocal {
                slices.sum.finishSum(output)
                parallelRuns(of: rows, length: 16) { epilogue($0, 0..<outputs) }
            }
        }
    }

    /// dx[rows, inputs] = dy[rows, outputs]·W.
    func inputGradient(
        _ dy: UnsafePointer<Float>, _ weight: UnsafePointer<Float>, into gradient: Buffer
    ) {
        let dx = gradient.floats
        switch split {
        case .replicated:
            product(
                rows: rows, columns: inputs, inner: outputs, Operand(dy, stride: outputs),
                Operand(weight, stride: inputs), into: dx, stride: inputs)
        case .outputs(let slices):
            let parts = slices.ranges.map { part in
                ProductSlice(
                    inner: part.count, a: Operand(dy + part.lowerBound, stride: outputs),
                    b: Operand(weight + part.lowerBound * inputs, stride: inputs))
            }
            sumOfProducts(
                rows: rows, columns: inputs, slices: parts, into: dx, stride: inputs)
            slices.sum.finishSum(gradient)
        case .inputs(let slices):
            products(
                slices.ranges.map { part in
                    Product(
                        rows: rows, columns: part.count, inner: outputs,
                        Operand(dy, stride: outputs),
                        Operand(weight + part.lowerBound * outputs, stride: part.count),
                        into: dx + part.lowerBound, stride: inputs)
                })
        }
    }

    /// dW = dyᵀ·x + β·dW, in the weight's memory order.
    func weightGradient(
        _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        into gradient: UnsafeMutablePointer<Float>, beta: Float
    ) {
        let upstream = Operand(dy, stride: outputs, transposed: true)
        switch split {
        case .replicated, .outputs:
            product(
                rows: outputs, columns: inputs, inner: rows, upstream, Operand(x, stride: inputs),
                beta: beta, into: gradient, stride: inputs,
                sliced: slicedOutputs { .rows(borders: $0, smallest: $1) })
        case .inputs(let slices):
            products(
                slices.ranges.map { part in
                    Product(
                        rows: outputs, columns: part.count, inner: rows, upstream,
                        Operand(x + part.lowerBound, stride: inputs), beta: beta,
                        into: gradient + part.lowerBound * outputs, stride: part.count)
                })
        }
    }

    private func slicedOutputs(_ axis: ([Int], Int) -> SlicedAxis) -> SlicedAxis {
        guard case .outputs(let slices) = split else { return .none }
        return axis(slices.borders, slices.smallest)
    }
}
