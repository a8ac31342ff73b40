// The backward pass of attention (Dao et al., 2022): the probabilities are computed again, tile by tile,
// from the saved ln Σ exp.
//
//   p = exp(s − L),  w = p ∘ z (z: dropout),  δ = Σ_d o·do
//   dv = wᵀ·do,  ds = p ∘ ((do·vᵀ) ∘ z − δ),  dq = scale·ds·k,  dk = dsᵀ·(scale·q),  dbias = Σ ds
//
// A task is one key head of one sequence and takes its query heads in order, so that dk and dv have one
// owner; with a bias gradient a task is one key head and takes the sequences in order.

extension VectorKernels {
    package static func attentionBackward(
        _ g: AttentionGeometry, query: HeadView, key: HeadView, value: HeadView,
        mask: AttentionMask,
        bias: AttentionBias?, dropout: AttentionDropout?, output: HeadView,
        outputGradient: HeadView,
        logSumExp: UnsafePointer<Float>, queryGradient: HeadView?, keyGradient: HeadView?,
        valueGradient: HeadView?
    ) {
        precondition(
            output.base.type == outputGradient.base.type,
            "attentionBackward: output and its gradient stored alike expected, "
                + "found \(output.base.type) and \(outputGradient.base.type)")
        let memory = BackwardHead.memory(g)
        func attend(sequence: Int, keyHead: Int) {
            let context = AttentionContext(g, mask, bias, dropout, sequence: sequence)
            withScratch(memory) { scratch in
                let pass = BackwardHead(context, scratch)
                pass.pack(
                    key: key.rows(sequence: sequence, head: keyHead),
                    value: value.rows(sequence: sequence, head: keyHead))
                for head in keyHead * g.groupSize..<(keyHead + 1) * g.groupSize {
                    pass.add(
                        BackwardRows(
                            head: head, query: query.rows(sequence: sequence, head: head),
                            output: output.rows(sequence: sequence, head: head),
                            outputGradient: outputGradient.rows(sequence: sequence, head: head),
                            logSumExp: logSumExp + (sequence * g.queryHeads + head) * g.queryLength,
                            queryGradient: queryGradient?.rows(sequence: sequence, head: head)))
                }
                if let keyGradient {
                    pass.write(
                        pass.keyGradients, keyGradient.rows(sequence: sequence, head: keyHead))
                }
                if let valueGradient {
                    pass.write(
                        pass.valueGradients, valueGradient.rows(sequence: sequence, head: keyHead))
                }
            }
        }
        guard let biasGradient = bias?.gradient else {
            parallelFor(g.batch * g.keyHeads, scratch: memory) { task in
                attend(sequence: task / g.keyHeads, keyHead: task % g.keyHeads)
            }
            return
        }
        let groupValues = g.groupSize * g.queryLength * g.keyLength
        parallelFor(g.keyHeads, scratch: memory) { keyHead in
            (biasGradient + keyHead * groupValues).update(repeating: 0, count: groupValues)
            for sequence in 0..<g.batch { attend(sequence: sequence, keyHead: keyHead) }
        }
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
    let dimension: Int
    let padded: Int
    /// Keys and values transposed: a panel of `[dimension × 16]` for each register.
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

    static func memory(_ g: AttentionGeometry) -> Int {
        let padded = Vector.roundedUp(g.headDimension)
        return 5 * Vector.roundedUp(g.keyLength) * padded + 3 * blockHeight * padded
            + 2 * blockHeight * tileWidth + blockHeight + tileWidth + 2 * 16
    }

    init(_ context: AttentionContext, _ scratch: UnsafeMutablePointer<Float>) {
        self.context = context
        dimension = context.geometry.headDimension
        padded = Vector.roundedUp(dimension)
        let keyPanel = context.registers.count * 16 * padded
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
        dropoutScales = memory.take(tileWidth + 2 * 16)
    }

    func pack(key: HeadRows, value: HeadRows) {
        let range = context.keys
        let count = context.registers.count * 16
        packTransposed(key, rows: range, width: dimension, into: keys)
        packTransposed(value, rows: range, width: dimension, into: values)
        packRows(key, rows: range, width: dimension, padded: count, into: keyRows, stride: padded)
        keyGradients.update(repeating: 0, count: count * padded)
        valueGradients.update(repeating: 0, count: count * padded)
    }

    /// Adds what one query head gives to dk and dv, and writes its dq.
    func add(_ rows: BackwardRows) {
        let length = context.geometry.queryLength
        for first in stride(from: 0, to: length, by: blockHeight) {
            let block = QueryBlock(first..<min(first + blockHeight, length), context.visibility)
            add(block, rows)
        }
    }

    private func add(_ block: QueryBlock, _ rows: BackwardRows) {
        packRows(
            rows.query, rows: block.queries, width: dimension, scale: context.geometry.scale,
            padded: block.height, into: queries, stride: padded)
        packRows(
            rows.outputGradient, rows: block.queries, width: dimension, padded: block.height,
            into: gradients, stride: padded)
        writeDots(
            rows.output, rows.outputGradient, rows: block.queries, width: dimension, to: deltas)
        queryGradients.update(repeating: 0, count: block.height * padded)
        let registers = block.registers
        for first in stride(
            from: registers.lowerBound, to: registers.upperBound, by: tileWidth / 16)
        {
            let tile = first..<min(first + tileWidth / 16, registers.upperBound)
            differentiateScores(block, tile: tile, rows)
            addToKeysAndValues(block, tile: tile)
            if rows.queryGradient != nil { addToQueries(block, tile: tile) }
        }
        guard let target = rows.queryGradient else { return }
        writeRows(
            queryGradients, stride: padded, scale: context.geometry.scale, width: dimension,
            to: target, rows: block.queries)
    }

    /// Where the panel of a register begins, `width` elements a key.
    @inline(__always)
    private func panel(_ register: Int, width: Int) -> Int {
        (register - context.registers.lowerBound) * 16 * width
    }

    /// weights and scoreGradients of a tile, where a group sees it.
    private func differentiateScores(
        _ block: QueryBlock, tile: Range<Int>, _ rows: BackwardRows
    ) {
        for group in block.groups {
            let registers = block.registers(group: group).clamped(to: tile)
            if registers.isEmpty { continue }
            let left = group * groupHeight
            let corner = left * tileWidth + (registers.lowerBound - tile.lowerBound) * 16
            let right = panel(registers.lowerBound, width: dimension)
            let height = block.height(group: group)
            multiplyPanel(
                Broadcast(queries + left * padded, rowStride: padded), rows: height,
                Columns(keys + right, innerStride: 16, vectorStride: 16 * dimension),
                vectors: registers.count, inner: dimension, into: weights + corner,
                stride: tileWidth, accumulate: false)
            multiplyPanel(
                Broadcast(gradients + left * padded, rowStride: padded), rows: height,
                Columns(values + right, innerStride: 16, vectorStride: 16 * dimension),
                vectors: registers.count, inner: dimension, into: scoreGradients + corner,
                stride: tileWidth, accumulate: false)
            for row in left..<min(left + groupHeight, block.queries.count) {
                differentiateRow(
                    rows, row: row, query: block.queries.lowerBound + row, tile: tile,
                    registers: registers)
            }
        }
    }

    /// One row of a tile: products q·kᵀ and do·vᵀ to w and ds.
    private func differentiateRow(
        _ rows: BackwardRows, row: Int, query: Int, tile: Range<Int>, registers: Range<Int>
    ) {
        let start = row * tileWidth - tile.lowerBound * 16
        context.complete(weights + start, registers: registers, head: rows.head, query: query)
        var kept: UnsafePointer<Float>?
        if let dropout = context.dropout {
            let first = tile.lowerBound & ~1
            context.writeDropoutScales(
                dropout, to: dropoutScales, firstRegister: first, head: rows.head, query: query,
                registers: registers)
            kept = UnsafePointer(dropoutScales + (registers.lowerBound - first) * 16)
        }
        let saved = rows.logSumExp[query]
        let column = start + registers.lowerBound * 16
        // A row that sees nothing: exp(−∞ − 0) = 0.
        differentiateSoftmax(
            weights + column, scoreGradients + column, registers: registers.count,
            logSumExp: saved == -.infinity ? 0 : saved, delta: deltas[row], dropout: kept)
        guard let biasGradient = context.bias?.gradient else { return }
        let g = context.geometry
        let target = biasGradient + (rows.head * g.queryLength + query) * g.keyLength
        for register in registers {
            let key = register * 16
            let count = min(16, g.keyLength - key)
            let gradient = scoreGradients.vector(at: start + key)
            target.storePart(target.part(at: key, count: count) + gradient, at: key, count: count)
        }
    }

    /// dv += wᵀ·do and dk += dsᵀ·q for the keys of a tile, over the groups that see them.
    private func addToKeysAndValues(_ block: QueryBlock, tile: Range<Int>) {
        for register in tile {
            let groups = block.groups(seeing: register)
            if groups.isEmpty { continue }
            let column = (register - tile.lowerBound) * 16
            for group in groups where !block.registers(group: group).contains(register) {
                clear(group: group, column: column)
            }
            let first = groups.lowerBound * groupHeight
            let inner = min(groups.upperBound * groupHeight, block.queries.count) - first
            let corner = first * tileWidth + column
            let target = panel(register, width: padded)
            multiplyPanel(
                Broadcast(weights + corner, rowStride: 1, innerStride: tileWidth), rows: 16,
                Columns(gradients + first * padded, innerStride: padded), vectors: padded / 16,
                inner: inner, into: valueGradients + target, stride: padded, accumulate: true)
            multiplyPanel(
                Broadcast(scoreGradients + corner, rowStride: 1, innerStride: tileWidth), rows: 16,
                Columns(queries + first * padded, innerStride: padded), vectors: padded / 16,
                inner: inner, into: keyGradients + target, stride: padded, accumulate: true)
        }
    }

    /// Zeros for a group that sees nothing of a register, between groups that do.
    private func clear(group: Int, column: Int) {
        for row in group * groupHeight..<(group + 1) * groupHeight {
            weights.store(.zero, at: row * tileWidth + column)
            scoreGradients.store(.zero, at: row * tileWidth + column)
        }
    }

    /// dq += ds·k, before the scale.
    private func addToQueries(_ block: QueryBlock, tile: Range<Int>) {
        for group in block.groups {
            let registers = block.registers(group: group).clamped(to: tile)
            if registers.isEmpty { continue }
            let left = group * groupHeight
            let column = (registers.lowerBound - tile.lowerBound) * 16
            multiplyPanel(
                Broadcast(scoreGradients + left * tileWidth + column, rowStride: tileWidth),
                rows: block.height(group: group),
                Columns(
                    keyRows + panel(registers.lowerBound, width: padded), innerStride: padded),
                vectors: padded / 16, inner: registers.count * 16,
                into: queryGradients + left * padded, stride: padded, accumulate: true)
        }
    }

    /// Writes a panel of key rows to a head, zeros for the keys that nobody sees.
    func write(_ panel: UnsafeMutablePointer<Float>, _ target: HeadRows) {
        let held = context.keys
        clearRows(of: target, rows: 0..<held.lowerBound, width: dimension)
        writeRows(panel, stride: padded, width: dimension, to: target, rows: held)
        clearRows(
            of: target, rows: held.upperBound..<context.geometry.keyLength, width: dimension)
    }
}

/// Scores to weights p ∘ z, products do·vᵀ to score gradients p ∘ (product ∘ z − δ); z is `dropout`.
@inline(never)
private func differentiateSoftmax(
    _ scores: UnsafeMutablePointer<Float>, _ products: UnsafeMutablePointer<Float>,
    registers: Int, logSumExp: Float, delta: Float, dropout: UnsafePointer<Float>?
) {
    for register in 0..<registers {
        let key = register * 16
        let probability = totalExponential(scores.vector(at: key) - logSumExp)
        var weight = probability
        var upstream = products.vector(at: key)
        if let dropout {
            weight *= dropout.vector(at: key)
            upstream *= dropout.vector(at: key)
        }
        scores.store(weight, at: key)
        products.store(probability * (upstream - delta), at: key)
    }
}
