// The forward pass of attention. A task is one query head of one sequence: it packs the keys
// (transposed) and values that some query sees; for each block of queries it keeps the scores of the
// visible tiles, takes each row's exact maximum, exponentials and sum, and multiplies by the values.
//
// Hidden keys have probability 0 exactly, and a key's lane is its number modulo 16, so the bits of a
// row depend on the keys it sees alone (see AttentionTiles.swift).

import Glibc

/// output = (softmax(scale·q·kᵀ + bias, hidden pairs −∞) ∘ dropout)·v.
///
/// A row's result does not depend on which rows are computed with it: one query with its offset gives
/// the bits of the full pass. A query that sees no key gives zeros.
/// - Parameters:
///   - query, output: views with `queryHeads` heads; `key`, `value`: with `keyHeads`.
///   - logSumExp: `[batch × queryHeads × queryLength]`, ln Σ exp(score), −∞ where nothing is visible;
///     saved for the backward pass, nil where there is none.
package func attentionForward(
    _ g: AttentionGeometry, query: HeadView, key: HeadView, value: HeadView, mask: AttentionMask,
    bias: AttentionBias?, dropout: AttentionDropout?, into output: HeadView,
    logSumExp: UnsafeMutablePointer<Float>?
) {
    let plans = AttentionPlan.plans(g, mask)
    parallelFor(g.batch * g.queryHeads) { task in
        let (sequence, head) = task.quotientAndRemainder(dividingBy: g.queryHeads)
        let context = AttentionContext(g, mask, bias, dropout, sequence: sequence)
        let plan = plans[sequence]
        withScratch(ForwardHead.memory(g, plan.tiles)) { scratch in
            let pass = ForwardHead(context, head: head, tiles: plan.tiles, scratch)
            let rows = (sequence: sequence, head: head / g.groupSize)
            pass.pack(
                key: key.rows(sequence: rows.sequence, head: rows.head),
                value: value.rows(sequence: rows.sequence, head: rows.head))
            for block in plan.blocks {
                pass.score(block, query: query.rows(sequence: sequence, head: head))
                pass.takeSoftmax(block)
                pass.weighValues(block)
                pass.write(
                    block, output: output.rows(sequence: sequence, head: head),
                    logSumExp: logSumExp.map { $0 + task * g.queryLength })
            }
        }
    }
}

/// One query head of one sequence and its panels.
private struct ForwardHead {
    let context: AttentionContext
    let head: Int
    let tiles: Range<Int>
    let dimension: Int
    let padded: Int
    /// Keys transposed: tiles of `[dimension × 64]`.
    let keys: UnsafeMutablePointer<Float>
    /// `[keys × padded]`.
    let values: UnsafeMutablePointer<Float>
    /// A block's queries times the scale, `[64 × dimension]`.
    let queries: UnsafeMutablePointer<Float>
    /// A block's scores, then weights: tiles of `[64 × 64]`.
    let scores: UnsafeMutablePointer<Float>
    /// `[64 × padded]`.
    let outputs: UnsafeMutablePointer<Float>
    /// Maximum and sum of each row of a block.
    let maxima: UnsafeMutablePointer<Float>
    let sums: UnsafeMutablePointer<Float>
    let dropoutScales: UnsafeMutablePointer<Float>

    static func memory(_ g: AttentionGeometry, _ tiles: Range<Int>) -> Int {
        let padded = Vector.roundedUp(g.headDimension)
        return tiles.count * tileWidth * (2 * padded + blockHeight)
            + blockHeight * (2 * padded + 2) + tileWidth
    }

    init(
        _ context: AttentionContext, head: Int, tiles: Range<Int>,
        _ scratch: UnsafeMutablePointer<Float>
    ) {
        self.context = context
        self.head = head
        self.tiles = tiles
        dimension = context.geometry.headDimension
        padded = Vector.roundedUp(dimension)
        var memory = PanelMemory(scratch)
        keys = memory.take(tiles.count * tileWidth * padded)
        values = memory.take(tiles.count * tileWidth * padded)
        scores = memory.take(tiles.count * tileWidth * blockHeight)
        queries = memory.take(blockHeight * padded)
        outputs = memory.take(blockHeight * padded)
        maxima = memory.take(blockHeight)
        sums = memory.take(blockHeight)
        dropoutScales = memory.take(tileWidth)
    }

    func pack(key: HeadRows, value: HeadRows) {
        let range = context.keys(tiles)
        packTransposed(key, rows: range, width: dimension, into: keys)
        packRows(
            value, rows: range, width: dimension, padded: tiles.count * tileWidth, into: values,
            stride: padded)
    }

    private func tileScores(_ tile: Int) -> UnsafeMutablePointer<Float> {
        scores + (tile - tiles.lowerBound) * tileWidth * blockHeight
    }

    /// scores = scale·q·kᵀ.
    func score(_ block: QueryBlock, query: HeadRows) {
        packRows(
            query, rows: block.queries, width: dimension, scale: context.geometry.scale,
            padded: blockHeight, into: queries, stride: padded)
        for tile in block.tiles {
            let tileKeys = keys + (tile - tiles.lowerBound) * tileWidth * dimension
            for group in block.groups {
                let registers = block.registers(group: group, tile: tile)
                multiplyFourRows(
                    Broadcast(queries + group * groupHeight * padded, rowStride: padded),
                    tileKeys + registers.lowerBound * 16, stride: tileWidth, inner: dimension,
                    vectors: registers.count,
                    into: tileScores(tile) + group * groupHeight * tileWidth
                        + registers.lowerBound * 16,
                    stride: tileWidth, accumulate: false)
            }
        }
    }

    /// Scores to exp(score − maximum), times dropout; keeps maximum and sum of each row.
    func takeSoftmax(_ block: QueryBlock) {
        for group in block.groups {
            for row in block.rows(group: group) {
                let query = block.queries.lowerBound + row
                let maximum = completeRow(block, group: group, row: row, query: query)
                maxima[row] = maximum
                sums[row] = exponentiateRow(
                    block, group: group, row: row, query: query,
                    maximum: maximum == -.infinity ? 0 : maximum)
            }
        }
    }

    /// Bias and mask; returns the row's maximum.
    private func completeRow(_ block: QueryBlock, group: Int, row: Int, query: Int) -> Float {
        let range = context.visibility.range(query: query)
        var maximum = Vector(repeating: -.infinity)
        for tile in block.tiles {
            let scores = tileScores(tile) + row * tileWidth
            for register in block.registers(group: group, tile: tile) {
                let score = context.scores(
                    scores.vector(at: register * 16), head: head, query: query, range: range,
                    key: tile * tileWidth + register * 16)
                scores.store(score, at: register * 16)
                maximum = maximum.maximum(score)
            }
        }
        return maximum.largest()
    }

    /// Returns Σ exp(score − maximum), one chain for each lane.
    private func exponentiateRow(
        _ block: QueryBlock, group: Int, row: Int, query: Int, maximum: Float
    ) -> Float {
        var sum = Vector.zero
        for tile in block.tiles {
            let scores = tileScores(tile) + row * tileWidth
            let registers = block.registers(group: group, tile: tile)
            for register in registers {
                let weight = totalExponential(scores.vector(at: register * 16) - maximum)
                sum += weight
                scores.store(weight, at: register * 16)
            }
            if context.dropout == nil { continue }
            context.dropoutScales(
                into: dropoutScales, head: head, query: query, tile: tile, registers: registers)
            for register in registers {
                let kept = dropoutScales.vector(at: register * 16)
                scores.store(scores.vector(at: register * 16) * kept, at: register * 16)
            }
        }
        return sum.treeSum()
    }

    /// outputs = weights·v, tile after tile.
    func weighValues(_ block: QueryBlock) {
        outputs.update(repeating: 0, count: blockHeight * padded)
        for tile in block.tiles {
            let tileValues = values + (tile - tiles.lowerBound) * tileWidth * padded
            for group in block.groups {
                let registers = block.registers(group: group, tile: tile)
                let weights =
                    tileScores(tile) + group * groupHeight * tileWidth + registers.lowerBound * 16
                multiplyFourRows(
                    Broadcast(weights, rowStride: tileWidth),
                    tileValues + registers.lowerBound * 16 * padded, stride: padded,
                    inner: registers.count * 16, vectors: padded / 16,
                    into: outputs + group * groupHeight * padded, stride: padded, accumulate: true)
            }
        }
    }

    /// Divides by the sums and stores the block.
    func write(
        _ block: QueryBlock, output: HeadRows, logSumExp: UnsafeMutablePointer<Float>?
    ) {
        for (row, query) in block.queries.enumerated() {
            let sum = sums[row]
            let target = output[query]
            forEachVector(dimension) { column, count in
                let weighted = outputs.vector(at: row * padded + column)
                target.storePart(sum == 0 ? .zero : weighted / sum, at: column, count: count)
            }
            logSumExp?[query] =
                sum == 0 ? -.infinity : Float(Double(maxima[row]) + log(Double(sum)))
        }
    }
}
