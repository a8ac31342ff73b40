// The loss at the end of a language model: the output projection and softmax cross-entropy in one
// primitive, over a vocabulary whose slices may lie on several ranks.

import Kernels

/// What `linearCrossEntropy` gives.
public struct ClassificationLoss {
    /// Σ_t w_t·(log Σ_c exp z_tc − Σ_c q_tc·z_tc), a Float64 scalar.
    public let loss: Tensor
    /// Σ w_t over the t none of whose scores is above the target's, a Float64 scalar; no gradient flows back.
    public let correct: Tensor
}

/// Summed cross-entropy of softmax(z), z = x·tableᵀ + bias: Σ_t w_t·(log Σ_c exp z_tc − Σ_c q_tc·z_tc), with q 1
/// for the target, 0 elsewhere, or that smoothed.
///
/// - Parameters:
///   - input: [tokens…, width].
///   - table: [vocabulary, width]: the output projection, often the token embedding itself.
///   - bias: [vocabulary], cut like the table's rows.
///   - vocabulary: the slices of the table's rows.
///   - targets: Int32, one a token; negative where the weight is 0.
///   - weights: Float32, one a token.
///   - tokens: of which the input has those that are here; targets and weights are there for all.
///   - smoothing: ε, the part of each target that is spread over the whole vocabulary.
/// - Returns: sums over tokens in order.
///
/// Logits are kept, in the input's storage type, until the backward pass, which turns them into their
/// gradient in place; statistics are Float32, and no probability is ever stored. (To make them again would cost a third of the head's products, a
/// tenth of a GPT-2 124M step.) Saved: input, logits, log-sum-exp of each token.
public func linearCrossEntropy(
    _ input: Tensor, table: Leaf, bias: Leaf? = nil, vocabulary: Slices, targets: Tensor,
    weights: Tensor,
    tokens: TokenSlices, smoothing: Double = 0, tape: Tape?
) -> ClassificationLoss {
    let span = Trace.begin(.forward)
    defer { span.end() }
    let rows = input.shape.rows
    let (columns, first) = (vocabulary.held.count, vocabulary.held.lowerBound)
    let smoothing = LabelSmoothing(smoothing, classes: vocabulary.extent)
    precondition(
        targets.shape.count == rows && weights.shape.count == rows,
        "linearCrossEntropy: \(targets.shape.count) targets, \(weights.shape.count) weights for \(rows) tokens"
    )
    let product = LinearProduct(
        rows: rows, inputs: input.shape.width, outputs: columns, split: .outputs(vocabulary),
        tokens: tokens)
    let logits = Tensor(uninitialized: [rows, columns], dtype: input.dtype)
    WorkLog.current?.holdLogits(bytes: logits.buffer.byteCount)
    let wholeInput = tokens.gathered(input)
    if bias == nil {
        product.forward(wholeInput.elements, table.value.elements, finish: logits.store)
    } else {
        let epilogue = Epilogue(bias: bias)
        product.forward(wholeInput.elements, table.value.elements) {
            epilogue.finish($0, preactivation: nil, into: logits)
        }
    }
    withExtendedLifetime(wholeInput) {}

    let (maximum, logSumExp, totals) = statistics(
        of: logits, vocabulary: vocabulary, withTotals: !smoothing.isNone)
    let hits = Tensor(uninitialized: [rows])
    kernels.targetLogits(
        logits.elements, targets: targets.buffer.integers, into: hits.floats, rows: rows,
        stride: columns, firstColumn: first, columns: columns)
    vocabulary.sum.finishRows(hits.buffer, width: 1) {
        vocabulary.slice(of: Int(targets.buffer.integers[$0]))
    }
    let output = Tensor(uninitialized: [], dtype: .float64)
    let correct = Tensor(uninitialized: [], dtype: .float64)
    serially {
        correct.buffer.doubles[0] = (0..<rows).reduce(into: 0.0) { total, token in
            let isCorrect = hits.floats[token] >= maximum.floats[token]
            if isCorrect { total += Double(weights.floats[token]) }
        }
        output.buffer.doubles[0] = (0..<rows).reduce(into: 0.0) { total, token in
            let weight = weights.floats[token]
            guard weight != 0 else { return }
            let loss = smoothing.loss(
                logSumExp: logSumExp.floats[token], targetLogit: hits.floats[token],
                total: totals?.floats[token] ?? 0)
            total += Double(weight) * loss
        }
    }

    let loss = tape.record(
        output, inputs: [input], leaves: [table] + (bias.map { [$0] } ?? [])
    ) { upstream, backward in
        let scales = Tensor(uninitialized: [rows])
        let scale = upstream.gradient.scalar
        serially {
            for token in 0..<rows { scales.floats[token] = weights.floats[token] * scale }
        }
        kernels.crossEntropyBackward(
            logits.elements, targets: targets.buffer.integers, logSumExp: logSumExp.floats,
            rowScales: scales.floats, rows: rows, stride: columns, columns: columns,
            firstColumn: first, smoothing: smoothing)
        backward.stored(logits)
        if let bias, bias.isTrainable { product.biasGradient(logits, of: bias) }
        let inputGradient = backward.wants(input) ? Tensor(like: input) : nil
        // What crosses ranks is on its way while the table's gradient is made.
        let finish = inputGradient.map {
            product.beginInputGradient(logits.elements, table.value.elements, into: $0)
        }
        if table.isTrainable {
            let wholeInput = tokens.gathered(input)
            table.contribute {
                product.weightGradient(
                    logits.elements, wholeInput.elements, into: $0, accumulate: $1)
            }
            withExtendedLifetime(wholeInput) {}
        }
        finish?()
        if let inputGradient { backward.add(inputGradient, to: input) }
    }
    return ClassificationLoss(loss: loss, correct: correct)
}

/// The maximum and log Σ exp over the whole vocabulary, and Σ where it is asked for, from those of each slice: [rows].
private func statistics(
    of logits: Tensor, vocabulary: Slices, withTotals: Bool
) -> (maximum: Tensor, logSumExp: Tensor, totals: Buffer?) {
    let (rows, slices) = (logits.shape[0], vocabulary.ranges.count)
    let maxima = Tensor(uninitialized: [slices, rows])
    // Sums of exponentials, then totals: two trees, but one exchange.
    let kinds = withTotals ? 2 : 1
    let sums = Tensor(uninitialized: [kinds, slices, rows])
    let totals = withTotals ? sums.floats + slices * rows : nil
    kernels.softmaxStatistics(
        logits.elements, rows: rows, stride: logits.shape[1], columnSlices: vocabulary.ranges,
        into: maxima.floats, sums: sums.floats, totals: totals)
    let maximum = Tensor(uninitialized: [rows])
    kernels.maximaOverSlices(maxima.floats, slices: slices, rows: rows, into: maximum.floats)
    vocabulary.sum.finishMaximum(maximum.buffer)
    kernels.rescaleSums(
        sums.floats, maxima: maxima.floats, global: maximum.floats, slices: slices, rows: rows)
    kernels.treeAdd(sums.floats, slices: slices, stride: rows, count: rows)
    if let totals {
        kernels.treeAdd(totals, slices: slices, stride: rows, count: rows)
        serially { (sums.floats + rows).update(from: totals, count: rows) }
    }
    vocabulary.sum.finishSum(sums.buffer[0..<kinds * rows])
    let logSumExp = Tensor(uninitialized: [rows])
    kernels.logSumExp(
        maxima: maximum.floats, sums: sums.floats, into: logSumExp.floats, rows: rows)
    return (maximum, logSumExp, withTotals ? sums.buffer[rows..<2 * rows] : nil)
}
