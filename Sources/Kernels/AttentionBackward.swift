// The backward pass of attention (Dao et al., 2022): the probabilities are computed again, tile by tile,
// from the saved ln Σ exp.
//
//   p = exp(s − L),  w = p ∘ z (z: dropout),  δ = Σ_d o·do
//   dv = wᵀ·do,  ds = p ∘ ((do·vᵀ) ∘ z − δ),  dq = scale·ds·k,  dk = dsᵀ·(scale·q),  dbias = Σ ds
//
// A task is one key head of one sequence and takes its query heads in order, so that dk and dv have one
// owner; with a bias gradient a task is one key head and takes the sequences in order.

/// Gradients of `attentionForward`, from the same inputs, its output and its `logSumExp`.
///
/// Every row of a gradient is overwritten, with zeros where it was hidden; nil gradients are not computed.
/// The bias gradient, where wanted, is the sum over the sequences in order.
/// - Parameters:
///   - output, outputGradient, queryGradient: views with `queryHeads` heads.
///   - keyGradient, valueGradient: views with `keyHeads` heads.
package func attentionBackward(
    _ g: AttentionGeometry, query: HeadView, key: HeadView, value: HeadView, mask: AttentionMask,
    bias: AttentionBias?, dropout: AttentionDropout?, output: HeadView, outputGradient: HeadView,
    logSumExp: UnsafePointer<Float>, queryGradient: HeadView?, keyGradient: HeadView?,
    valueGradient: HeadView?
) {
    let plans = AttentionPlan.plans(g, mask)
    func attend(sequence: Int, keyHead: Int) {
        let context = AttentionContext(g, mask, bias, dropout, sequence: sequence)
        let plan = plans[sequence]
        withScratch(BackwardHead.memory(g, plan.tiles)) { scratch in
            let pass = BackwardHead(context, tiles: plan.tiles, scratch)
            pass.pack(
                key: key.rows(sequence: sequence, head: keyHead),
                value: value.rows(sequence: sequence, head: keyHead))
            for head in keyHead * g.groupSize..<(keyHead + 1) * g.groupSize {
                let rows = BackwardRows(
                    head: head, query: query.rows(sequence: sequence, head: head),
                    output: output.rows(sequence: sequence, head: head),
                    outputGradient: outputGradient.rows(sequence: sequence, head: head),
                    logSumExp: logSumExp + (sequence * g.queryHeads + head) * g.queryLength,
                    queryGradient: queryGradient?.rows(sequence: sequence, head: head))
                for block in plan.blocks { pass.add(block, rows) }
            }
            if let keyGradient {
                pass.write(pass.keyGradients, keyGradient.rows(sequence: sequence, head: keyHead))
            }
            if let valueGradient {
                pass.write(
                    pass.valueGradients, valueGradient.rows(sequence: sequence, head: keyHead))
            }
        }
    }
    guard let biasGradient = bias?.gradient else {
        parallelFor(g.batch * g.keyHeads) { task in
            attend(sequence: task / g.keyHeads, keyHead: task % g.keyHeads)
        }
        return
    }
    let groupValues = g.groupSize * g.queryLength * g.keyLength
    parallelFor(g.keyHeads) { keyHead in
        (biasGradient + keyHead * groupValues).update(repeating: 0, count: groupValues)
        for sequence in 0..<g.batch { attend(sequence: sequence, keyHead: keyHead) }
    }
}

/// What one query head of a sequence brings to the backward pass, and what it gets.
private struct BackwardRows {
    let head: Int
    let query: HeadRows
    let output: HeadRows
    let outputGradient: HeadRows
    let logSumExp: UnsafePointer<Float>
    let queryGradient: HeadRows?
}

/// One key head of one sequence and its panels.
private struct BackwardHead {
    let context: AttentionContext
    let tiles: Range<Int>
    let dimension: Int
    let padded: Int
    /// Keys and values transposed: tiles of `[dimension × 64]`.
    let keys: UnsafeMutablePointer<Float>
    let values: UnsafeMutablePointer<Float>
    /// `[keys × padded]`.
    let keyRows: UnsafeMutablePointer<Float>
    let keyGradients: UnsafeMutablePointer<Float>
    let valueGradients: UnsafeMutablePointer<Float>
    /// A block's queries times the scale, output gradients and query gradients, `[64 × padded]`.
    let queries: UnsafeMutablePointer<Float>
    let gradients: UnsafeMutablePointer<Float>
    let queryGradients: UnsafeMutablePointer<Float>
    /// A tile's weights w and score gradients ds, `[64 × 64]`.
    let weights: UnsafeMutablePointer<Float>
    let scoreGradients: UnsafeMutablePointer<Float>
    /// δ of a block's rows.
    let deltas: UnsafeMutablePointer<Float>
    let dropoutScales: UnsafeMutablePointer<Float>

    static func memory(_ g: AttentionGeometry, _ tiles: Range<Int>) -> Int {
        let padded = Vector.roundedUp(g.headDimension)
        return 5 * tiles.count * tileWidth * padded + 3 * blockHeight * padded
            + 2 * blockHeight * tileWidth + blockHeight + tileWidth
    }

    init(
        _ context: AttentionContext, tiles: Range<Int>, _ scratch: UnsafeMutablePointer<Float>
    ) {
        self.context = context
        self.tiles = tiles
        dimension = context.geometry.headDimension
        padded = Vector.roundedUp(dimension)
        let keyPanel = tiles.count * tileWidth * padded
        var memory = PanelMemory(scratch)
        keys = memory.take(keyPanel)
        values = memory.take(keyPanel)
        keyRows = memory.take(keyPanel)
        keyGradients = memory.take(keyPanel)
        valueGradients = memory.take(keyPanel)
        queries = memory.take(blockHeight * padded)
        gradients = memory.take(blockHeight * padded)
        queryGradients = memory.take(blockHeight * padded)
        weights = memory.take(blockHeight * tileWidth)
        scoreGradients = memory.take(blockHeight * tileWidth)
        deltas = memory.take(blockHeight)
        dropoutScales = memory.take(tileWidth)
    }

    func pack(key: HeadRows, value: HeadRows) {
        let range = context.keys(tiles)
        let count = tiles.count * tileWidth
        packTransposed(key, rows: range, width: dimension, into: keys)
        packTransposed(value, rows: range, width: dimension, into: values)
        packRows(key, rows: range, width: dimension, padded: count, into: keyRows, stride: padded)
        keyGradients.update(repeating: 0, count: count * padded)
        valueGradients.update(repeating: 0, count: count * padded)
    }

    /// Adds what a block of one head's queries gives to dk and dv, and writes its dq.
    func add(_ block: QueryBlock, _ rows: BackwardRows) {
        packRows(
            rows.query, rows: block.queries, width: dimension, scale: context.geometry.scale,
            padded: blockHeight, into: queries, stride: padded)
        packRows(
            rows.outputGradient, rows: block.queries, width: dimension, padded: blockHeight,
            into: gradients, stride: padded)
        queryGradients.update(repeating: 0, count: blockHeight * padded)
        for (row, query) in block.queries.enumerated() {
            deltas[row] = dot(rows.output[query], rows.outputGradient[query])
        }
        for tile in block.tiles {
            differentiateScores(block, tile: tile, rows)
            addToKeysAndValues(block, tile: tile)
            if rows.queryGradient != nil { addToQueries(block, tile: tile) }
        }
        guard let target = rows.queryGradient else { return }
        for (row, query) in block.queries.enumerated() {
            forEachVector(dimension) { column, count in
                let gradient = queryGradients.vector(at: row * padded + column)
                target[query].storePart(
                    gradient * context.geometry.scale, at: column, count: count)
            }
        }
    }

    private func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>) -> Float {
        var sum = Vector.zero
        forEachVector(dimension) { column, count in
            sum.addProduct(x.part(at: column, count: count), y.part(at: column, count: count))
        }
        return sum.treeSum()
    }

    /// weights and scoreGradients of a tile; zero where a group sees nothing of it.
    private func differentiateScores(_ block: QueryBlock, tile: Int, _ rows: BackwardRows) {
        let panel = (tile - tiles.lowerBound) * tileWidth * dimension
        for group in block.groups {
            let registers = block.registers(group: group, tile: tile)
            let corner = group * groupHeight * tileWidth
            if registers.count < tileWidth / 16 {
                (weights + corner).update(repeating: 0, count: groupHeight * tileWidth)
                (scoreGradients + corner).update(repeating: 0, count: groupHeight * tileWidth)
            }
            if registers.isEmpty { continue }
            let column = registers.lowerBound * 16
            multiplyFourRows(
                Broadcast(queries + group * groupHeight * padded, rowStride: padded),
                keys + panel + column, stride: tileWidth, inner: dimension,
                vectors: registers.count, into: weights + corner + column, stride: tileWidth,
                accumulate: false)
            multiplyFourRows(
                Broadcast(gradients + group * groupHeight * padded, rowStride: padded),
                values + panel + column, stride: tileWidth, inner: dimension,
                vectors: registers.count, into: scoreGradients + corner + column,
                stride: tileWidth, accumulate: false)
            for row in group * groupHeight..<(group + 1) * groupHeight {
                if row < block.queries.count {
                    differentiateRow(
                        rows, row: row, query: block.queries.lowerBound + row, tile: tile,
                        registers: registers)
                } else {
                    (weights + row * tileWidth).update(repeating: 0, count: tileWidth)
                    (scoreGradients + row * tileWidth).update(repeating: 0, count: tileWidth)
                }
            }
        }
    }

    /// One row of a tile: products q·kᵀ and do·vᵀ to w and ds.
    @inline(__always)
    private func differentiateRow(
        _ rows: BackwardRows, row: Int, query: Int, tile: Int, registers: Range<Int>
    ) {
        let g = context.geometry
        let range = context.visibility.range(query: query)
        let saved = rows.logSumExp[query]
        // A row that sees nothing: exp(−∞ − 0) = 0.
        let logSumExp = saved == -.infinity ? 0 : saved
        let weights = weights + row * tileWidth
        let gradients = scoreGradients + row * tileWidth
        let firstKey = tile * tileWidth
        context.dropoutScales(
            into: dropoutScales, head: rows.head, query: query, tile: tile, registers: registers)
        for register in registers {
            let column = register * 16
            let score = context.scores(
                weights.vector(at: column), head: rows.head, query: query, range: range,
                key: firstKey + column)
            let probability = totalExponential(score - logSumExp)
            var weight = probability
            var upstream = gradients.vector(at: column)
            if context.dropout != nil {
                let kept = dropoutScales.vector(at: column)
                weight *= kept
                upstream *= kept
            }
            let gradient = probability * (upstream - deltas[row])
            weights.store(weight, at: column)
            gradients.store(gradient, at: column)
            if let biasGradient = context.bias?.gradient {
                let start = (rows.head * g.queryLength + query) * g.keyLength + firstKey + column
                let count = min(16, g.keyLength - firstKey - column)
                let before = biasGradient.part(at: start, count: count)
                biasGradient.storePart(before + gradient, at: start, count: count)
            }
        }
    }

    /// dv += wᵀ·do and dk += dsᵀ·q for the keys of a tile, over the groups that see them.
    private func addToKeysAndValues(_ block: QueryBlock, tile: Int) {
        for register in 0..<tileWidth / 16 {
            guard let groups = block.groups(seeing: register, tile: tile) else { continue }
            let first = groups.lowerBound
            let inner = groups.count * groupHeight
            let source = first * groupHeight * padded
            for key in stride(from: register * 16, to: register * 16 + 16, by: groupHeight) {
                let corner = first * groupHeight * tileWidth + key
                let target = ((tile - tiles.lowerBound) * tileWidth + key) * padded
                multiplyFourRows(
                    Broadcast(weights + corner, rowStride: 1, innerStride: tileWidth),
                    gradients + source, stride: padded, inner: inner, vectors: padded / 16,
                    into: valueGradients + target, stride: padded, accumulate: true)
                multiplyFourRows(
                    Broadcast(scoreGradients + corner, rowStride: 1, innerStride: tileWidth),
                    queries + source, stride: padded, inner: inner, vectors: padded / 16,
                    into: keyGradients + target, stride: padded, accumulate: true)
            }
        }
    }

    /// dq += ds·k, before the scale.
    private func addToQueries(_ block: QueryBlock, tile: Int) {
        for group in block.groups {
            let registers = block.registers(group: group, tile: tile)
            let column = registers.lowerBound * 16
            let key = (tile - tiles.lowerBound) * tileWidth + column
            multiplyFourRows(
                Broadcast(
                    scoreGradients + group * groupHeight * tileWidth + column,
                    rowStride: tileWidth),
                keyRows + key * padded, stride: padded, inner: registers.count * 16,
                vectors: padded / 16, into: queryGradients + group * groupHeight * padded,
                stride: padded, accumulate: true)
        }
    }

    /// Writes a panel of key rows to a head, zeros for the keys that nobody sees.
    func write(_ panel: UnsafeMutablePointer<Float>, _ target: HeadRows) {
        let held = context.keys(tiles)
        for key in 0..<context.geometry.keyLength {
            let row = held.contains(key) ? panel + (key - held.lowerBound) * padded : nil
            forEachVector(dimension) { column, count in
                target[key].storePart(
                    row?.vector(at: column) ?? .zero, at: column, count: count)
            }
        }
    }
}
