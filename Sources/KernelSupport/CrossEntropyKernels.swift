// Softmax cross-entropy over logits whose vocabulary is cut into slices; the formulas, and how the kernels follow each other,
// stand in `VectorKernels/CrossEntropy.swift`.

/// Label smoothing (Szegedy et al. 2016): the distribution that softmax is compared with gives
/// (1 − ε) + ε/V to the target and ε/V to each other class.
package struct LabelSmoothing: Sendable {
    /// ε, at least 0 and below 1.
    package let amount: Double
    /// V: classes of the whole vocabulary, wherever its slices lie. With those of one rank the
    /// probabilities of all ranks would sum to more than 1.
    package let classes: Int

    /// The target alone.
    package static let none = LabelSmoothing(0, classes: 1)

    package init(_ amount: Double, classes: Int) {
        precondition(
            amount >= 0 && amount < 1 && classes > 0,
            "LabelSmoothing: expected at least 0 and below 1 over some classes, "
                + "got \(amount) over \(classes)")
        (self.amount, self.classes) = (amount, classes)
    }

    package var isNone: Bool { amount == 0 }

    /// What each class has, and what the target has: 0 and 1 where nothing is smoothed.
    package var floor: Float { Float(amount / Double(classes)) }
    package var peak: Float { Float(1 - amount + amount / Double(classes)) }

    /// The loss of a token, from log Σ exp of its logits, the target's logit and Σ of all of them.
    package func loss(logSumExp: Float, targetLogit: Float, total: Float) -> Double {
        guard !isNone else { return Double(logSumExp - targetLogit) }
        return Double(logSumExp) - (1 - amount) * Double(targetLogit)
            - amount / Double(classes) * Double(total)
    }
}

/// The loss and its gradient.
package protocol CrossEntropyKernels: Sendable {
    /// Maximum and Σ exp(x − maximum) of every row of every column slice; Σ x too where it is asked for.
    ///
    /// The pattern of a sum is fixed by the slice's own extent, wherever the slice stands.
    /// - Parameters:
    ///   - logits: rows `stride` elements apart; the slices are columns of it.
    ///   - maxima, sums, totals: `[slices × rows]`, overwritten; an empty slice gives −∞, 0 and 0.
    static func softmaxStatistics(
        _ logits: Elements, rows: Int, stride: Int, columnSlices: [Range<Int>],
        into maxima: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Float>,
        totals: UnsafeMutablePointer<Float>?
    )

    /// global[r] = max over the slices of maxima[i, r].
    static func maximaOverSlices(
        _ maxima: UnsafePointer<Float>, slices: Int, rows: Int,
        into global: UnsafeMutablePointer<Float>
    )

    /// sums[i, r] *= exp(maxima[i, r] − global[r]): brings the sums of all slices to one maximum.
    static func rescaleSums(
        _ sums: UnsafeMutablePointer<Float>, maxima: UnsafePointer<Float>,
        global: UnsafePointer<Float>, slices: Int, rows: Int
    )

    /// logSumExp[r] = maxima[r] + ln sums[r]; −∞ for a row without columns.
    static func logSumExp(
        maxima: UnsafePointer<Float>, sums: UnsafePointer<Float>,
        into logSumExp: UnsafeMutablePointer<Float>, rows: Int
    )

    /// out[r] = logits[r, targets[r] − firstColumn] where that column is held here, 0 elsewhere: the sum over
    /// ranks is the target's logit.
    static func targetLogits(
        _ logits: Elements, targets: UnsafePointer<Int32>,
        into out: UnsafeMutablePointer<Float>, rows: Int, stride: Int, firstColumn: Int,
        columns: Int
    )

    /// Turns logits into their gradient in place: (exp(x − logSumExp) − q)·rowScale, where q is 1 for the
    /// target and 0 elsewhere, or that smoothed.
    ///
    /// - Parameters:
    ///   - rowScales: weight times upstream gradient of each row; a row of scale 0 becomes exact zeros.
    ///   - firstColumn, columns: the part of the vocabulary held here.
    static func crossEntropyBackward(
        _ logits: Elements, targets: UnsafePointer<Int32>,
        logSumExp: UnsafePointer<Float>, rowScales: UnsafePointer<Float>, rows: Int, stride: Int,
        columns: Int, firstColumn: Int, smoothing: LabelSmoothing
    )
}

// The requirements with default arguments, which a requirement cannot have.
extension CrossEntropyKernels {
    package static func softmaxStatistics(
        _ logits: Elements, rows: Int, stride: Int, columnSlices: [Range<Int>],
        into maxima: UnsafeMutablePointer<Float>, sums: UnsafeMutablePointer<Float>,
        totals: UnsafeMutablePointer<Float>? = nil
    ) {
        softmaxStatistics(
            logits, rows: rows, stride: stride, columnSlices: columnSlices, into: maxima,
            sums: sums, totals: totals)
    }

    package static func targetLogits(
        _ logits: Elements, targets: UnsafePointer<Int32>,
        into out: UnsafeMutablePointer<Float>, rows: Int, stride: Int, firstColumn: Int = 0,
        columns: Int
    ) {
        targetLogits(
            logits, targets: targets, into: out, rows: rows, stride: stride,
            firstColumn: firstColumn, columns: columns)
    }

    package static func crossEntropyBackward(
        _ logits: Elements, targets: UnsafePointer<Int32>,
        logSumExp: UnsafePointer<Float>, rowScales: UnsafePointer<Float>, rows: Int, stride: Int,
        columns: Int, firstColumn: Int = 0, smoothing: LabelSmoothing = .none
    ) {
        crossEntropyBackward(
            logits, targets: targets, logSumExp: logSumExp, rowScales: rowScales, rows: rows,
            stride: stride, columns: columns, firstColumn: firstColumn, smoothing: smoothing)
    }
}
