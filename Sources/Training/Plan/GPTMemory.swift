// What one micro-batch of a GPT takes from the pool and gives back, in the order of the forward pass
// (`Models/GPT.swift`) and of the tape's way back (`Tensors/Primitives`). A tensor that a pullback has
// captured lives until its record is done. Float32 elements, for R tokens, width W, inner width I:
//
//   embedding          tokens, positions, their sum     3·R·W      (dropout: R·W more)
//   norm, twice        output, mean, deviation          R·W + 2·R
//   attention          q k v, heads, ln Σ exp, sum      5·R·W + R·heads
//   feed-forward       before and after f, sum          2·R·I + R·W
//   head               norm; logits, ln Σ exp, scales   R·W + 2·R; R·V + 2·R

/// The shapes of a micro-batch.
struct GPTMemory {
    let rows: Int
    let width: Int
    let inner: Int
    let heads: Int
    let layers: Int
    let vocabulary: Int
    /// S.
    let slices: Int
    let hasDropout: Bool

    typealias Block = PoolReplay.Block

    /// What the tape keeps of one transformer block, by the record that lets go of it.
    private struct Kept {
        var firstNorm: [Block] = []
        var projection: Block
        var attention: [Block] = []
        var secondNorm: [Block] = []
        /// Before and after the activation.
        var sum: Block
        var activated: Block
        /// What the block adds to: the stream before the block, and after attention.
        var input: Block
        var middle: Block
    }

    init(_ configuration: RunConfiguration, sequences: Int, vocabulary: Int) {
        let model = configuration.model
        rows = sequences * model.contextLength
        (width, inner, heads) = (model.width, model.feedForward, model.heads)
        (layers, slices) = (model.layers, configuration.numerics.slices)
        (self.vocabulary, hasDropout) = (vocabulary, model.dropout > 0)
    }

    var logitsBytes: Int { plannedBytes(Double(rows) * Double(vocabulary)) }

    /// The forward and backward pass of one micro-batch; `atTheTop` sees the pool between the two.
    func train(_ pool: inout PoolReplay, atTheTop: (PoolReplay) -> Void = { _ in }) {
        let input = [pool.take(rows), pool.take(rows), pool.take(rows)]

        let places = pool.take(rows)
        var embedded = [places, pool.take(rows, width), pool.take(rows, width)]
        var stream = pool.take(rows, width)
        if hasDropout {
            embedded.append(stream)
            stream = pool.take(rows, width)
        }
        let kept = (0..<layers).map { _ in forward(&pool, &stream) }
        let norm = takeNorm(&pool)
        let head = takeLogits(&pool)
        atTheTop(pool)

        let scales = pool.take(rows)
        var gradient = pool.take(rows, width)
        pool.give(head + [scales, norm[0]])
        normBackward(&pool, &gradient, statistics: Array(norm[1...]))
        pool.give(stream)
        for block in kept.reversed() { backward(&pool, block, &gradient) }
        if hasDropout {
            let masked = pool.take(rows, width)
            pool.give(gradient)
            gradient = masked
        }
        pool.give([gradient] + embedded + input)
    }

    /// A forward pass that keeps nothing.
    func evaluate(_ pool: inout PoolReplay) {
        let input = [pool.take(rows), pool.take(rows), pool.take(rows)]
        let embedded = [pool.take(rows), pool.take(rows, width), pool.take(rows, width)]
        var stream = pool.take(rows, width)
        pool.give(embedded)
        for _ in 0..<layers {
            let kept = forward(&pool, &stream)
            pool.give(kept.firstNorm + kept.attention + kept.secondNorm)
            pool.give(kept.projection, kept.sum, kept.activated, kept.input, kept.middle)
        }
        let norm = takeNorm(&pool)
        pool.give(takeLogits(&pool) + norm + [stream] + input)
    }

    // MARK: Parts

    private func forward(_ pool: inout PoolReplay, _ stream: inout Block) -> Kept {
        let input = stream
        let firstNorm = takeNorm(&pool)
        let projection = pool.take(rows, 3, width)
        let attention = [pool.take(rows, width), pool.take(rows, heads)]
        let middle = pool.take(rows, width)
        let secondNorm = takeNorm(&pool)
        // The result is made before the place of the sum that the activation sees.
        let activated = pool.take(rows, inner)
        let sum = pool.take(rows, inner)
        stream = pool.take(rows, width)
        return Kept(
            firstNorm: firstNorm, projection: projection, attention: attention,
            secondNorm: secondNorm, sum: sum, activated: activated, input: input, middle: middle)
    }

    private func backward(_ pool: inout PoolReplay, _ kept: Kept, _ gradient: inout Block) {
        // Down: the upstream gradient goes on along the residual stream.
        var masked = maskedGradient(&pool)
        bias(&pool, outputs: width)
        let activated = pool.take(rows, inner)
        pool.give(masked + [kept.activated])
        // Up.
        let sum = pool.take(rows, inner)
        bias(&pool, outputs: inner)
        var branch = pool.take(rows, width)
        pool.give(activated, sum, kept.sum, kept.secondNorm[0])
        normBackward(&pool, &branch, statistics: Array(kept.secondNorm[1...]))
        pool.give(branch, kept.middle)

        // The output projection, attention, the fused projection.
        masked = maskedGradient(&pool)
        bias(&pool, outputs: width)
        let heads = pool.take(rows, width)
        pool.give(masked)
        let fused = pool.take(rows, 3, width)
        pool.give([heads, kept.projection] + kept.attention)
        bias(&pool, outputs: 3 * width)
        branch = pool.take(rows, width)
        pool.give(fused, kept.firstNorm[0])
        normBackward(&pool, &branch, statistics: Array(kept.firstNorm[1...]))
        pool.give(branch, kept.input)
    }

    /// Output, means, reciprocal deviations.
    private func takeNorm(_ pool: inout PoolReplay) -> [Block] {
        [pool.take(rows, width), pool.take(rows), pool.take(rows)]
    }

    /// Logits and ln Σ exp; the statistics on the way to it do not stay.
    private func takeLogits(_ pool: inout PoolReplay) -> [Block] {
        let logits = pool.take(rows, vocabulary)
        let passing = [pool.take(slices, rows), pool.take(slices, rows), pool.take(rows)]
        let logSumExp = pool.take(rows)
        pool.give(passing)
        pool.give(pool.take(rows))
        return [logits, logSumExp]
    }

    private func normBackward(
        _ pool: inout PoolReplay, _ gradient: inout Block, statistics: [Block]
    ) {
        let result = pool.take(rows, width)
        pool.give(pool.take(slices, width), pool.take(slices, width))
        pool.give([gradient] + statistics)
        gradient = result
    }

    /// The gradient behind a dropout.
    private func maskedGradient(_ pool: inout PoolReplay) -> [Block] {
        hasDropout ? [pool.take(rows, width)] : []
    }

    /// Partial sums of a bias's gradient.
    private func bias(_ pool: inout PoolReplay, outputs: Int) {
        pool.give(pool.take(slices, outputs))
    }
}
