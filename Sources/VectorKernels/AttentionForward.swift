// The forward pass of attention. A task is one query head of one sequence: it packs the keys
// (transposed) and values that some query sees; for each group of queries it keeps the scores of the
// registers of keys that the group sees, takes each row's exact maximum, exponentials and sum, and
// multiplies by the values.
//
// Hidden keys have probability 0 exactly, and a key's lane is its number modulo 16, so the bits of a
// row depend on the keys it sees alone (see AttentionTiles.swift).
//
// A few queries, as generation has them, read keys and values once: they are used where they are stored
// (AttentionFewQueries.swift).

import Glibc

extension VectorKernels {
    package static func attentionForward(
        _ g: AttentionGeometry, query: HeadView, key: HeadView, value: HeadView,
        mask: AttentionMask,
        bias: AttentionBias?, dropout: AttentionDropout?, into output: HeadView,
        logSumExp: UnsafeMutablePointer<Float>?
    ) {
        let memory = ForwardHead.memory(g)
        parallelFor(g.batch * g.queryHeads, scratch: memory) { task in
            let (sequence, head) = task.quotientAndRemainder(dividingBy: g.queryHeads)
            let context = AttentionContext(g, mask, bias, dropout, sequence: sequence)
            withScratch(memory) { scratch in
                let pass = ForwardHead(context, head: head, scratch)
                let keyHead = head / g.groupSize
                let key = key.rows(sequence: sequence, head: keyHead)
                let value = value.rows(sequence: sequence, head: keyHead)
                let isPacked = g.queryLength > fewQueries
                if isPacked { pass.pack(key: key, value: value) }
                let query = query.rows(sequence: sequence, head: head)
                let output = output.rows(sequence: sequence, head: head)
                let logSumExp = logSumExp.map { $0 + task * g.queryLength }
                for first in stride(from: 0, to: g.queryLength, by: groupHeight) {
                    let group = QueryGroup(
                        first..<min(first + groupHeight, g.queryLength), context.visibility)
                    pass.attend(
                        group, query: query, stored: isPacked ? nil : (key, value), output: output,
                        logSumExp: logSumExp)
                }
            }
        }
    }
}

/// One query head of one sequence and its panels.
private struct ForwardHead {
    let context: AttentionContext
    let head: Int
    let dimension: Int
    let padded: Int
    /// Elements from one row of scores to the next.
    let span: Int
    /// Keys transposed: a panel of `[dimension × 16]` for each register.
    let keys: UnsafeMutablePointer<Float>
    /// `[keys × padded]`.
    let values: UnsafeMutablePointer<Float>
    /// A group's queries times the scale, `[16 × padded]`.
    let queries: UnsafeMutablePointer<Float>
    /// A group's scores, then weights, `[16 × span]`.
    let scores: UnsafeMutablePointer<Float>
    /// `[16 × padded]`.
    let outputs: UnsafeMutablePointer<Float>
    /// Maximum and sum of each row of a group.
    let maxima: UnsafeMutablePointer<Float>
    let sums: UnsafeMutablePointer<Float>
    /// One row, and a register at either end.
    let dropoutScales: UnsafeMutablePointer<Float>

    static func memory(_ g: AttentionGeometry) -> Int {
        let padded = Vector.roundedUp(g.headDimension)
        let keys = Vector.roundedUp(g.keyLength)
        return keys * (2 * padded + groupHeight + 1) + 2 * groupHeight * (padded + 1) + 2 * 16
    }

    init(_ context: AttentionContext, head: Int, _ scratch: UnsafeMutablePointer<Float>) {
        self.context = context
        self.head = head
        dimension = context.geometry.headDimension
        padded = Vector.roundedUp(dimension)
        span = context.registers.count * 16
        var memory = PanelMemory(scratch)
        keys = memory.take(span * padded)
        values = memory.take(span * padded)
        scores = memory.take(span * groupHeight)
        queries = memory.take(groupHeight * padded)
        outputs = memory.take(groupHeight * padded)
        maxima = memory.take(groupHeight)
        sums = memory.take(groupHeight)
        dropoutScales = memory.take(span + 2 * 16)
    }

    func pack(key: HeadRows, value: HeadRows) {
        packTransposed(key, rows: context.keys, width: dimension, into: keys)
        packRows(
            value, rows: context.keys, width: dimension, padded: span, into: values, stride: padded)
    }

    /// The rows of `output` and `logSumExp` for a group of queries.
    ///
    /// - Parameter stored: keys and values where they are read as they lie; nil: packed.
    func attend(
        _ group: QueryGroup, query: HeadRows, stored: (key: HeadRows, value: HeadRows)?,
        output: HeadRows, logSumExp: UnsafeMutablePointer<Float>?
    ) {
        if !group.registers.isEmpty {
            packRows(
                query, rows: group.queries, width: dimension, scale: context.geometry.scale,
                padded: group.height, into: queries, stride: padded)
            if let stored { score(group, stored.key) } else { score(group) }
        }
        for row in 0..<group.queries.count where !group.registers.isEmpty {
            (maxima[row], sums[row]) = takeSoftmax(group, row: row)
        }
        if !group.registers.isEmpty {
            if let stored { weighValues(group, stored.value) } else { weighValues(group) }
        }
        if group.registers.isEmpty { sums.update(repeating: 0, count: groupHeight) }
        writeRows(
            outputs, stride: padded, dividedBy: sums, width: dimension, to: output,
            rows: group.queries)
        guard let logSumExp else { return }
        for (row, query) in group.queries.enumerated() {
            let sum = sums[row]
            logSumExp[query] =
                sum == 0 ? -.infinity : Float(Double(maxima[row]) + log(Double(sum)))
        }
    }

    /// The same as `score(_:)` from keys as they are stored; the group sees all that any sees, being the only one.
    private func score(_ group: QueryGroup, _ key: HeadRows) {
        let keys = context.keys
        for row in 0..<group.queries.count {
            (scores + row * span + keys.count).update(repeating: 0, count: span - keys.count)
        }
        multiplyStoredColumns(
            FewRows(pointer: queries, stride: padded), rows: group.queries.count,
            key, columns: keys, inner: dimension, into: scores, stride: span)
    }

    /// The same as `weighValues(_:)` from values as they are stored. Keys beyond the last weigh nothing there.
    private func weighValues(_ group: QueryGroup, _ value: HeadRows) {
        for row in 0..<group.queries.count {
            weighStoredRows(
                value, rows: context.keys, width: dimension, weights: scores + row * span,
                into: outputs + row * padded)
        }
    }

    /// Where the group's first register lies in a row of scores.
    private func column(_ group: QueryGroup) -> Int {
        (group.registers.lowerBound - context.registers.lowerBound) * 16
    }

    /// scores = scale·q·kᵀ.
    private func score(_ group: QueryGroup) {
        let column = column(group)
        multiplyPanel(
            Broadcast(queries, rowStride: padded), rows: group.height,
            Columns(keys + column * dimension, innerStride: 16, vectorStride: 16 * dimension),
            vectors: group.registers.count, inner: dimension, into: scores + column, stride: span,
            accumulate: false)
    }

    /// A row's scores to exp(score − maximum), times dropout; returns the maximum and Σ exp(score −
    /// maximum), one chain for each lane.
    private func takeSoftmax(_ group: QueryGroup, row: Int) -> (maximum: Float, sum: Float) {
        let query = group.queries.lowerBound + row
        let row = scores + row * span
        context.complete(
            row - context.registers.lowerBound * 16, registers: group.registers, head: head,
            query: query)
        let scores = row + column(group)
        let count = group.registers.count
        let maximum = largest(scores, registers: count)
        let sum = exponentiate(
            scores, registers: count, maximum: maximum == -.infinity ? 0 : maximum)
        if let dropout = context.dropout {
            let first = context.registers.lowerBound & ~1
            context.writeDropoutScales(
                dropout, to: dropoutScales, firstRegister: first, head: head, query: query,
                registers: group.registers)
            let kept = dropoutScales + (group.registers.lowerBound - first) * 16
            map(UnsafePointer(scores), UnsafePointer(kept), into: scores, count * 16) { $0 * $1 }
        }
        return (maximum, sum)
    }

    /// outputs = weights·v, some keys after others so that their values stay near.
    private func weighValues(_ group: QueryGroup) {
        let start = column(group)
        let end = start + group.registers.count * 16
        for column in stride(from: start, to: end, by: 64) {
            multiplyPanel(
                Broadcast(scores + column, rowStride: span), rows: group.height,
                Columns(values + column * padded, innerStride: padded), vectors: padded / 16,
                inner: min(64, end - column), into: outputs, stride: padded,
                accumulate: column > start)
        }
    }
}

/// The largest of some registers of scores; what is not a number is passed over.
@inline(never)
private func largest(_ scores: UnsafePointer<Float>, registers: Int) -> Float {
    var maximum = Vector(repeating: -.infinity)
    for register in 0..<registers { maximum = maximum.maximum(scores.vector(at: register * 16)) }
    return maximum.treeMaximum()
}

/// Scores to exp(score − maximum); returns their sum.
@inline(never)
private func exponentiate(
    _ scores: UnsafeMutablePointer<Float>, registers: Int, maximum: Float
) -> Float {
    var sum = Vector.zero
    for register in 0..<registers {
        let weight = totalExponential(scores.vector(at: register * 16) - maximum)
        sum += weight
        scores.store(weight, at: register * 16)
    }
    return sum.treeSum()
}
