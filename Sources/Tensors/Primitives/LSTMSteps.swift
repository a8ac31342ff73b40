// The time steps of `lstm`, forward and back. A step is a product of the state with the recurrent weight, which is packed
// once for all steps, and then, row by row, what happens between two products (`RecurrentKernels`).
//
// What a row of the batch carries from step to step lies by its place in the order of lengths; what belongs to a token
// lies by the token.

import Kernels

/// A layer's weights over the sequences of a batch.
struct LSTMSteps {
    let batch: RecurrentBatch
    let units: RecurrentUnits
    let weight: Leaf
    let bias: Leaf?
    let initial: LSTMState?

    /// What a forward pass makes.
    struct Made {
        /// [sequences, tokens, units].
        let hidden: Tensor
        let last: LSTMState
        /// By place, Float32 [sequences, units here]: the cells before the first step.
        let firstCells: Buffer
        /// By token, Float32: gates after their activation, [4·units here], and cells, [units here]. Where they are
        /// not kept, no activations, and cells by place.
        let activations: Buffer?
        let cells: Buffer
    }

    // MARK: Forward

    func forward(_ gates: Tensor, keepsAll: Bool) -> Made {
        let (held, width) = (units.held, units.count)
        let hidden = Tensor(
            uninitialized: [batch.sequences, batch.tokens, width], dtype: gates.dtype)
        if !batch.isFull { hidden.buffer.clear() }
        let rows = batch.sequences * batch.tokens
        let firstCells = Buffer.cleared(count: batch.sequences * held)
        let made = Made(
            hidden: hidden,
            last: LSTMState(
                hidden: Tensor(uninitialized: [batch.sequences, width], dtype: gates.dtype),
                cell: Tensor(uninitialized: [batch.sequences, width])),
            firstCells: firstCells,
            activations: keepsAll ? Buffer(count: 4 * rows * held) : nil,
            cells: keepsAll ? Buffer(count: rows * held) : firstCells)
        // h before the step, by place.
        let state = Buffer(count: batch.sequences * width, dtype: gates.dtype)
        setInitial(state, firstCells)
        let sums = Buffer(count: batch.sequences * 4 * held)
        let product = RepeatedProduct(
            columns: 4 * held,
            slices: [
                ProductSlice(
                    inner: width, a: Operand(state.elements, stride: width),
                    b: Operand(weight.value.elements, stride: width, transposed: true))
            ], packs: batch.steps > 2 && batch.sequences > 4)
        for (step, count) in batch.active.enumerated() {
            product.multiply(rows: count, into: sums)
            take(step, count, gates, sums, made, state: state)
            if !units.sum.isLocal {
                units.gather(state, count: count)
                copyRows(count, from: state, to: hidden, step)
            }
        }
        setLast(made, state: state)
        return made
    }

    /// One step of the first `count` sequences, from the products on.
    private func take(
        _ step: Int, _ count: Int, _ gates: Tensor, _ sums: Buffer, _ made: Made, state: Buffer
    ) {
        let (held, width) = (units.held, units.count)
        let (z, x, biases) = (sums.floats, gates.elements, bias?.value.elements)
        let (h, next) = (made.hidden.elements, state.elements)
        let activations = made.activations?.floats
        parallelRows(count, width: 4 * held) { block in
            for place in block {
                let row = batch.row(place, step)
                let before = cells(made, place, step)
                let after = cells(made, place, step + 1)
                for run in units.runs {
                    let gate = 4 * run.local
                    let target = h + row * width + run.global
                    kernels.lstmStep(
                        count: run.count, recurrent: z + place * 4 * held + gate,
                        gates: x + row * 4 * held + gate, bias: biases.map { $0 + gate },
                        previous: before + run.local,
                        activations: activations.map { $0 + row * 4 * held + gate },
                        cell: after + run.local, hidden: target)
                    (next + place * width + run.global).copy(target, count: run.count)
                }
            }
        }
    }

    /// The cells of a place before a step.
    private func cells(_ made: Made, _ place: Int, _ step: Int) -> UnsafeMutablePointer<Float> {
        step == 0 || made.activations == nil
            ? made.firstCells.floats + place * units.held
            : made.cells.floats + batch.row(place, step - 1) * units.held
    }

    /// Rows by place to the tokens of a step.
    private func copyRows(_ count: Int, from state: Buffer, to hidden: Tensor, _ step: Int) {
        let (width, source, target) = (units.count, state.elements, hidden.elements)
        parallelRows(count, width: width) { block in
            for place in block {
                (target + batch.row(place, step) * width).copy(
                    source + place * width, count: width)
            }
        }
    }

    private func setInitial(_ state: Buffer, _ firstCells: Buffer) {
        guard let initial else { return state.clear() }
        let width = units.count
        let (h, c) = (initial.hidden.elements, initial.cell.elements)
        serially {
            for (place, sequence) in batch.order.enumerated() {
                (state.elements + place * width).copy(h + sequence * width, count: width)
                for run in units.runs {
                    kernels.convert(
                        from: c + sequence * width + run.global,
                        to: Elements(firstCells.floats + place * units.held + run.local),
                        count: run.count)
                }
            }
        }
    }

    /// States that were gone on from, by place, become the last ones, by sequence.
    private func setLast(_ made: Made, state: Buffer) {
        let width = units.count
        serially {
            for (place, sequence) in batch.order.enumerated() {
                (made.last.hidden.elements + sequence * width).copy(
                    state.elements + place * width, count: width)
                let cells = cells(made, place, batch.steps(at: place))
                for run in units.runs {
                    (made.last.cell.floats + sequence * width + run.global).update(
                        from: cells + run.local, count: run.count)
                }
            }
        }
        units.gather(made.last.cell.buffer, count: batch.sequences)
    }

    // MARK: Backward

    /// The gradients of the gates and, where it is wanted, of the initial state.
    ///
    /// - Parameter upstreams: of h, of the last h and of the last cells; nil: none.
    func backward(
        _ made: Made, _ upstreams: [Tensor?], gates: Tensor, truncation: Int?, wantsInitial: Bool
    ) -> (gates: Tensor, initial: LSTMState?) {
        let (held, width) = (units.held, units.count)
        let upstream = upstreams[0] ?? Tensor(zerosLike: made.hidden)
        let gradient = Tensor(like: gates)
        if !batch.isFull { gradient.buffer.clear() }
        // By place, Float32: the gradients of the state after the step, then before it.
        let hidden = Buffer(count: batch.sequences * width)
        let cells = Buffer(count: batch.sequences * held)
        setLast(hidden, cells, upstreams[1], upstreams[2])
        // By place: the gradient of the gates of the step.
        let step = Buffer(count: batch.sequences * 4 * held, dtype: gates.dtype)
        let product = RepeatedProduct(
            columns: width,
            slices: units.runs.map { run in
                ProductSlice(
                    inner: 4 * run.count,
                    a: Operand(step.elements + 4 * run.local, stride: 4 * held),
                    b: Operand(
                        weight.value.elements + 4 * run.local * width, stride: width))
            }, packs: batch.steps > 2)
        for (number, count) in batch.active.enumerated().reversed() {
            takeBack(
                number, count, made, upstream, hidden: hidden, cells: cells, into: gradient,
                and: step)
            if number == 0 && !wantsInitial { break }
            if let truncation, number > 0, number.isMultiple(of: truncation) {
                hidden[0..<count * width].clear()
                cells[0..<count * held].clear()
                continue
            }
            product.multiply(rows: count, into: hidden)
            units.sum.finishSum(hidden[0..<count * width])
        }
        withExtendedLifetime(step) {}
        return (gradient, wantsInitial ? initialGradient(hidden, cells) : nil)
    }

    private func takeBack(
        _ step: Int, _ count: Int, _ made: Made, _ upstream: Tensor, hidden: Buffer,
        cells: Buffer, into gradient: Tensor, and stepGradient: Buffer
    ) {
        guard let activations = made.activations?.floats else {
            preconditionFailure("lstm: a backward pass over what was not kept")
        }
        let (held, width) = (units.held, units.count)
        let (dy, dh, dc) = (upstream.elements, hidden.floats, cells.floats)
        let (dz, operand) = (gradient.elements, stepGradient.elements)
        parallelRows(count, width: 4 * held) { block in
            for place in block {
                let row = batch.row(place, step)
                let before = self.cells(made, place, step)
                let after = self.cells(made, place, step + 1)
                for run in units.runs {
                    let gate = row * 4 * held + 4 * run.local
                    kernels.lstmStepBackward(
                        count: run.count, activations: activations + gate,
                        cell: after + run.local, previous: before + run.local,
                        upstream: dy + row * width + run.global,
                        hidden: dh + place * width + run.global,
                        cellGradient: dc + place * held + run.local, gates: dz + gate)
                }
                (operand + place * 4 * held).copy(dz + row * 4 * held, count: 4 * held)
            }
        }
    }

    /// The gradients that reach the last state, by place.
    private func setLast(_ hidden: Buffer, _ cells: Buffer, _ dh: Tensor?, _ dc: Tensor?) {
        let width = units.count
        if dh == nil { hidden.clear() }
        if dc == nil { cells.clear() }
        serially {
            for (place, sequence) in batch.order.enumerated() {
                if let dh {
                    kernels.convert(
                        from: dh.elements + sequence * width,
                        to: Elements(hidden.floats + place * width), count: width)
                }
                for run in units.runs {
                    guard let dc else { continue }
                    (cells.floats + place * units.held + run.local).update(
                        from: dc.floats + sequence * width + run.global, count: run.count)
                }
            }
        }
    }

    /// By sequence, of the types of the state.
    private func initialGradient(_ hidden: Buffer, _ cells: Buffer) -> LSTMState? {
        guard let initial else { return nil }
        let width = units.count
        let gradient = LSTMState(
            hidden: Tensor(like: initial.hidden), cell: Tensor(like: initial.cell))
        serially {
            for (place, sequence) in batch.order.enumerated() {
                kernels.convert(
                    from: Elements(hidden.floats + place * width),
                    to: gradient.hidden.elements + sequence * width, count: width)
                for run in units.runs {
                    kernels.convert(
                        from: Elements(cells.floats + place * units.held + run.local),
                        to: gradient.cell.elements + sequence * width + run.global,
                        count: run.count)
                }
            }
        }
        units.gather(gradient.cell.buffer, count: batch.sequences)
        return gradient
    }

    /// dW = Σ dz_tᵀ·h_{t−1}, one product over the tokens of all sequences, and the bias's Σ dz_t.
    func addParameterGradients(_ made: Made, gates gradient: Tensor, tokens: TokenSlices) {
        let product = LinearProduct(
            rows: batch.sequences * batch.tokens, inputs: units.count, outputs: 4 * units.held,
            split: .outputs(Slices(borders: units.borders.map { 4 * $0 }, sum: units.sum)),
            tokens: tokens)
        if let bias, bias.isTrainable { product.biasGradient(gradient, of: bias) }
        guard weight.isTrainable else { return }
        let before = hiddenBefore(made)
        weight.contribute {
            product.weightGradient(gradient.elements, before.elements, into: $0, accumulate: $1)
        }
        withExtendedLifetime(before) {}
    }

    /// h before each token's step; zeros where there is no token.
    private func hiddenBefore(_ made: Made) -> Tensor {
        let before = Tensor(like: made.hidden)
        let (width, source, target) = (units.count, made.hidden.elements, before.elements)
        before.buffer.clear()
        parallelFor(batch.sequences) { place in
            for step in 0..<batch.steps(at: place) {
                let row = target + batch.row(place, step) * width
                if step > 0 {
                    row.copy(source + batch.row(place, step - 1) * width, count: width)
                } else if let initial {
                    row.copy(
                        initial.hidden.elements + batch.order[place] * width, count: width)
                }
            }
        }
        return before
    }
}

/// A product, or a sum of them, whose operands lie at the same place at every step.
private struct RepeatedProduct {
    private let columns: Int
    private let slices: [ProductSlice]
    /// The right factors, where they are packed.
    private let packed: Buffer?

    init(columns: Int, slices: [ProductSlice], packs: Bool) {
        (self.columns, self.slices) = (columns, slices)
        guard packs else {
            packed = nil
            return
        }
        let task = ProductTask(
            rows: 1, columns: columns, slices: slices, accumulate: false, into: nil, stride: 0,
            epilogue: nil)
        let packed = Buffer(count: kernels.packedCount(task))
        kernels.pack(task, into: packed.floats)
        self.packed = packed
    }

    /// target[rows, columns] = Σ a·b.
    func multiply(rows: Int, into target: Buffer) {
        let inner = slices.reduce(0) { $0 + $1.inner }
        let span = Trace.begin(.product, "recurrent", operations: 2 * rows * columns * inner)
        defer { span.end() }
        WorkLog.current?.multiply(rows: rows, inputs: inner, outputs: columns)
        let task = ProductTask(
            rows: rows, columns: columns, slices: slices, accumulate: false,
            into: target.floats, stride: columns, epilogue: nil)
        if let packed {
            kernels.compute(task, packed: packed.floats)
        } else {
            kernels.compute([task], tile: nil)
        }
    }
}

extension Elements {
    /// Takes `count` elements of another run of the same type.
    fileprivate func copy(_ source: Elements, count: Int) {
        base.copyMemory(from: source.base, byteCount: count * type.size)
    }
}
