// What one micro-batch of a GPT takes from the pool and gives back, in the order of the forward pass
// (`Models/GPT.swift`) and of the tape's way back (`Tensors/Primitives`). A tensor that a pullback has
// captured lives until its record is done. Elements, for R tokens, width W, inner width I, in the storage
// type but for what is called statistics, which is Float32:
//
//   embedding          tokens, positions, their sum     3·R·W      (dropout: R·W more)
//   norm, twice        output                           R·W        statistics 2·R
//   attention          q k v, heads, sum                5·R·W      statistics R·heads
//   feed-forward       before and after f, sum          2·R·I + R·W
//   head               norm; logits                     R·W + R·V  statistics 4·R
//
// What is made again in the backward pass (`memory.recompute`) keeps its input alone, and is there whole
// while its own part of the backward pass runs.

import Layers
import Models

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
    let recompute: Recompute
    /// Bytes of a stored element.
    let elementBytes: Int

    typealias Block = PoolReplay.Block

    /// What the tape keeps of attention with its norm, by the record that lets go of it.
    private struct Attention {
        var norm: [Block]
        var projection: Block
        var heads: [Block]
    }

    /// The same of the feed-forward part: before and after the activation.
    private struct FeedForward {
        var norm: [Block]
        var sum: Block
        var activated: Block
    }

    /// Of a transformer block; a part that is made again is not there.
    private struct Kept {
        var attention: Attention?
        var feedForward: FeedForward?
        /// What the block adds to: the stream before the block, and after attention.
        var input: Block
        var middle: Block?
    }

    init(_ configuration: RunConfiguration, sequences: Int, vocabulary: Int) {
        let model = configuration.model
        rows = sequences * model.contextLength
        (width, inner, heads) = (model.width, model.feedForward, model.heads)
        (layers, slices) = (model.layers, configuration.numerics.slices)
        (self.vocabulary, hasDropout) = (vocabulary, model.dropout > 0)
        recompute = configuration.memory.recompute
        elementBytes = configuration.storageType.size
    }

    var logitsBytes: Int {
        plannedBytes(Double(rows) * Double(vocabulary), size: elementBytes)
    }

    /// The forward and backward pass of one micro-batch; `atTheTop` sees the pool between the two.
    func train(_ pool: inout PoolReplay, atTheTop: (PoolReplay) -> Void = { _ in }) {
        let input = takeInput(&pool)
        var embedded = [pool.take(rows)] + [stored(&pool, width), stored(&pool, width)]
        var stream = stored(&pool, width)
        if hasDropout {
            embedded.append(stream)
            stream = stored(&pool, width)
        }
        let kept = (0..<layers).map { _ in forward(&pool, &stream) }
        let norm = takeNorm(&pool)
        let head = takeLogits(&pool)
        atTheTop(pool)

        let scales = pool.take(rows)
        var gradient = stored(&pool, width)
        pool.give(head + [scales, norm[0]])
        normBackward(&pool, &gradient, statistics: Array(norm[1...]))
        pool.give(stream)
        for block in kept.reversed() { backward(&pool, block, &gradient) }
        if hasDropout {
            let masked = stored(&pool, width)
            pool.give(gradient)
            gradient = masked
        }
        pool.give([gradient] + embedded + input)
    }

    /// A forward pass that keeps nothing.
    func evaluate(_ pool: inout PoolReplay) {
        let input = takeInput(&pool)
        let embedded = [pool.take(rows)] + [stored(&pool, width), stored(&pool, width)]
        var stream = stored(&pool, width)
        pool.give(embedded)
        for _ in 0..<layers {
            let middle = passThroughAttention(&pool)
            pool.give(stream)
            stream = passThroughFeedForward(&pool)
            pool.give(middle)
        }
        let norm = takeNorm(&pool)
        pool.give(takeLogits(&pool) + norm + [stream] + input)
    }

    // MARK: Forward

    /// A block on the tape, as far as it is kept.
    private func forward(_ pool: inout PoolReplay, _ stream: inout Block) -> Kept {
        var kept = Kept(input: stream)
        switch recompute {
        case .none:
            kept.attention = takeAttention(&pool)
            kept.middle = stored(&pool, width)
            (kept.feedForward, stream) = takeFeedForward(&pool)
        case .attention:
            kept.middle = passThroughAttention(&pool)
            (kept.feedForward, stream) = takeFeedForward(&pool)
        case .block:
            let middle = passThroughAttention(&pool)
            stream = passThroughFeedForward(&pool)
            pool.give(middle)
        }
        return kept
    }

    /// Without the sum that it leaves in the stream.
    private func takeAttention(_ pool: inout PoolReplay) -> Attention {
        Attention(
            norm: takeNorm(&pool), projection: stored(&pool, 3, width),
            heads: [stored(&pool, width), pool.take(rows, heads)])
    }

    private func takeFeedForward(_ pool: inout PoolReplay) -> (FeedForward, stream: Block) {
        let norm = takeNorm(&pool)
        // The result is made before the place of the sum that the activation sees.
        let activated = stored(&pool, inner)
        let sum = stored(&pool, inner)
        let kept = FeedForward(norm: norm, sum: sum, activated: activated)
        return (kept, stored(&pool, width))
    }

    private func passThroughAttention(_ pool: inout PoolReplay) -> Block {
        let kept = takeAttention(&pool)
        pool.give(Array(kept.norm[1...]) + [kept.heads[1]])
        let middle = stored(&pool, width)
        pool.give([kept.norm[0], kept.projection, kept.heads[0]])
        return middle
    }

    private func passThroughFeedForward(_ pool: inout PoolReplay) -> Block {
        let (kept, stream) = takeFeedForward(&pool)
        pool.give(kept.norm + [kept.sum, kept.activated])
        return stream
    }

    // MARK: Backward

    private func backward(_ pool: inout PoolReplay, _ kept: Kept, _ gradient: inout Block) {
        var attention = kept.attention
        var (middle, feedForward) = (kept.middle, kept.feedForward)
        // The result of what is made again lives until its part is done.
        var again: [Block] = []
        if recompute == .block {
            attention = takeAttention(&pool)
            middle = stored(&pool, width)
            let output: Block
            (feedForward, output) = takeFeedForward(&pool)
            again.append(output)
        }
        if let feedForward { backward(&pool, feedForward, &gradient) }
        if let middle { pool.give(middle) }
        if recompute == .attention {
            attention = takeAttention(&pool)
            again.append(stored(&pool, width))
        }
        if let attention { backward(&pool, attention, &gradient) }
        pool.give(again + [kept.input])
    }

    private func backward(
        _ pool: inout PoolReplay, _ kept: FeedForward, _ gradient: inout Block
    ) {
        // Down: the upstream gradient goes on along the residual stream.
        let masked = maskedGradient(&pool)
        bias(&pool, outputs: width)
        let activated = stored(&pool, inner)
        pool.give(masked + [kept.activated])
        // Up.
        let sum = stored(&pool, inner)
        bias(&pool, outputs: inner)
        var branch = stored(&pool, width)
        pool.give(activated, sum, kept.sum, kept.norm[0])
        normBackward(&pool, &branch, statistics: Array(kept.norm[1...]))
        pool.give(branch)
    }

    /// The output projection, attention, the fused projection.
    private func backward(
        _ pool: inout PoolReplay, _ kept: Attention, _ gradient: inout Block
    ) {
        let masked = maskedGradient(&pool)
        bias(&pool, outputs: width)
        let heads = stored(&pool, width)
        pool.give(masked)
        let fused = stored(&pool, 3, width)
        pool.give([heads, kept.projection] + kept.heads)
        bias(&pool, outputs: 3 * width)
        var branch = stored(&pool, width)
        pool.give(fused, kept.norm[0])
        normBackward(&pool, &branch, statistics: Array(kept.norm[1...]))
        pool.give(branch)
    }

    // MARK: Parts

    /// A tensor of every token in the storage type.
    private func stored(_ pool: inout PoolReplay, _ parts: Int, _ width: Int = 1) -> Block {
        pool.take(rows, parts, width, size: elementBytes)
    }

    /// Tokens, targets and their weights.
    private func takeInput(_ pool: inout PoolReplay) -> [Block] {
        [pool.take(rows), pool.take(rows), pool.take(rows)]
    }

    /// Output, means, reciprocal deviations.
    private func takeNorm(_ pool: inout PoolReplay) -> [Block] {
        [stored(&pool, width), pool.take(rows), pool.take(rows)]
    }

    /// Logits and ln Σ exp; the statistics on the way to it do not stay.
    private func takeLogits(_ pool: inout PoolReplay) -> [Block] {
        let logits = stored(&pool, vocabulary)
        let passing = [pool.take(slices, rows), pool.take(slices, rows), pool.take(rows)]
        let logSumExp = pool.take(rows)
        pool.give(passing)
        pool.give(pool.take(rows))
        return [logits, logSumExp]
    }

    private func normBackward(
        _ pool: inout PoolReplay, _ gradient: inout Block, statistics: [Block]
    ) {
        let result = stored(&pool, width)
        pool.give(pool.take(slices, width), pool.take(slices, width))
        pool.give([gradient] + statistics)
        gradient = result
    }

    /// The gradient behind a dropout.
    private func maskedGradient(_ pool: inout PoolReplay) -> [Block] {
        hasDropout ? [stored(&pool, width)] : []
    }

    /// Partial sums of a bias's gradient.
    private func bias(_ pool: inout PoolReplay, outputs: Int) {
        pool.give(pool.take(slices, outputs))
    }
}
