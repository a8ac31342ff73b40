// What one micro-batch of a GPT takes from the pool and gives back, in the order of the forward pass
// (`Models/GPT.swift`) and of the tape's way back (`Tensors/Primitives`). A tensor that a pullback has
// captured lives until its record is done. Elements, for R tokens, width W, inner width I, in the storage
// type but for what is called statistics, which is Float32:
//
//   embedding          tokens, positions, their sum     3·R'·W             (dropout: R'·W more)
//   norm, twice        output                           R'·W               statistics 2·R'
//   attention          q k v, heads, sum                4·R·W/T + R'·W     statistics R·heads/T
//   feed-forward       before and after f, sum          2·R·I/T + R'·W
//   head               norm; logits                     R'·W + R·V/T       statistics 4·R
//
// T is the tensor degree. R' is R, or R/T where the ranks share the tokens between split parts: then an
// input of a split part is there whole, R·W, while it is read (`gathered`). Where T is above 1 a sum that
// crosses ranks has memory, R·W in Float32 (`sumOverRanks`), until it is rounded.
//
// What is made again in the backward pass (`memory.recompute`) keeps its input alone, and is there whole
// while its own part of the backward pass runs.

import Layers
import Models

/// The shapes of a micro-batch.
struct GPTMemory {
    let rows: Int
    /// R': those of them that are here between split parts.
    let heldRows: Int
    let width: Int
    /// Of the heads that are here; as the next three.
    let headWidth: Int
    let inner: Int
    let heads: Int
    let vocabulary: Int
    let layers: Int
    /// Micro-batches of a group.
    let groupSize: Int
    /// S.
    let slices: Int
    let share: TensorShare
    let hasDropout: Bool
    let smoothsLabels: Bool
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

    init(
        _ configuration: RunConfiguration, sequences: Int, vocabulary: Int, share: TensorShare
    ) {
        let model = configuration.model.gpt
        rows = sequences * model.contextLength
        heldRows = share.heldTokens(of: rows)
        (width, heads) = (model.width, share.held(of: model.heads))
        (headWidth, inner) = (width / model.heads * heads, share.held(of: model.inner))
        (layers, slices) = (model.layers, configuration.numerics.slices)
        (self.vocabulary, self.share) = (share.held(of: vocabulary), share)
        groupSize = configuration.batch.microBatches / configuration.numerics.groups
        hasDropout = model.dropout > 0
        smoothsLabels = configuration.objective.labelSmoothing > 0
        recompute = configuration.memory.recompute
        elementBytes = configuration.storageType.size
    }

    var logitsBytes: Int {
        plannedBytes(Double(rows) * Double(vocabulary), size: elementBytes)
    }

    /// The forward and backward pass of one micro-batch; `atTheTop` sees the pool between the two.
    func train(_ pool: inout PoolReplay, atTheTop: (PoolReplay) -> Void = { _ in }) {
        let input = takeInput(&pool)
        var embedded = takeEmbeddings(&pool)
        var stream = takeStream(&pool)
        if hasDropout {
            embedded.append(stream)
            stream = takeStream(&pool)
        }
        let kept = (0..<layers).map { _ in forward(&pool, &stream) }
        let norm = takeNorm(&pool)
        let head = takeLogits(&pool)
        atTheTop(pool)

        let scales = pool.take(rows)
        gathered(&pool)
        var gradient = takeStream(&pool)
        sumOverRanks(&pool)
        pool.give(head + [scales, norm[0]])
        normBackward(&pool, &gradient, statistics: Array(norm[1...]))
        pool.give(stream)
        for block in kept.reversed() { backward(&pool, block, &gradient) }
        if hasDropout {
            let masked = takeStream(&pool)
            pool.give(gradient)
            gradient = masked
        }
        for _ in 0..<2 { gathered(&pool) }
        pool.give([gradient] + embedded + input)
    }

    /// The rows that embeddings add to the tied table (`Tensors/RowSum.swift`): room for those of a group of
    /// micro-batches, which grows with each of the first step and stays.
    func takeRowSums(_ pool: inout PoolReplay) {
        var sums: Block?
        for microBatch in 1...max(1, groupSize) {
            let larger = pool.take(min(vocabulary, microBatch * rows), width)
            if let sums { pool.give(sums) }
            sums = larger
            if microBatch * rows >= vocabulary { return }
        }
    }

    /// A forward pass that keeps nothing.
    func evaluate(_ pool: inout PoolReplay) {
        let input = takeInput(&pool)
        let embedded = takeEmbeddings(&pool)
        var stream = takeStream(&pool)
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
            kept.middle = takeSum(&pool)
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
        let norm = takeNorm(&pool)
        let projection = stored(&pool, 3, headWidth)
        gathered(&pool)
        return Attention(
            norm: norm, projection: projection,
            heads: [stored(&pool, headWidth), pool.take(rows, heads)])
    }

    private func takeFeedForward(_ pool: inout PoolReplay) -> (FeedForward, stream: Block) {
        let norm = takeNorm(&pool)
        // The result is made before the place of the sum that the activation sees.
        let activated = stored(&pool, inner)
        let sum = stored(&pool, inner)
        gathered(&pool)
        let kept = FeedForward(norm: norm, sum: sum, activated: activated)
        return (kept, takeSum(&pool))
    }

    private func passThroughAttention(_ pool: inout PoolReplay) -> Block {
        let kept = takeAttention(&pool)
        pool.give(Array(kept.norm[1...]) + [kept.heads[1]])
        let middle = takeSum(&pool)
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
            middle = takeSum(&pool)
            let output: Block
            (feedForward, output) = takeFeedForward(&pool)
            again.append(output)
        }
        if let feedForward { backward(&pool, feedForward, &gradient) }
        if let middle { pool.give(middle) }
        if recompute == .attention {
            attention = takeAttention(&pool)
            again.append(takeSum(&pool))
        }
        if let attention { backward(&pool, attention, &gradient) }
        pool.give(again + [kept.input])
    }

    private func backward(
        _ pool: inout PoolReplay, _ kept: FeedForward, _ gradient: inout Block
    ) {
        // Down: the upstream gradient goes on along the residual stream.
        let upstream = takeUpstream(&pool)
        let activated = stored(&pool, inner)
        pool.give(upstream + [kept.activated])
        // Up.
        let sum = stored(&pool, inner)
        bias(&pool, outputs: inner, slices)
        gathered(&pool)
        var branch = takeSum(&pool)
        pool.give(activated, sum, kept.sum, kept.norm[0])
        normBackward(&pool, &branch, statistics: Array(kept.norm[1...]))
        pool.give(branch)
    }

    /// The output projection, attention, the fused projection.
    private func backward(
        _ pool: inout PoolReplay, _ kept: Attention, _ gradient: inout Block
    ) {
        let upstream = takeUpstream(&pool)
        let heads = stored(&pool, headWidth)
        pool.give(upstream)
        let fused = stored(&pool, 3, headWidth)
        pool.give([heads, kept.projection] + kept.heads)
        bias(&pool, outputs: 3 * headWidth, slices)
        gathered(&pool)
        var branch = takeSum(&pool)
        pool.give(fused, kept.norm[0])
        normBackward(&pool, &branch, statistics: Array(kept.norm[1...]))
        pool.give(branch)
    }

    // MARK: Parts

    /// A tensor of every token in the storage type.
    private func stored(_ pool: inout PoolReplay, _ parts: Int, _ width: Int = 1) -> Block {
        pool.take(rows, parts, width, size: elementBytes)
    }

    /// The same of what lies between split parts.
    private func takeStream(_ pool: inout PoolReplay) -> Block {
        pool.take(heldRows, width, size: elementBytes)
    }

    /// A tensor between split parts, and the sum over ranks that it is rounded from.
    private func takeSum(_ pool: inout PoolReplay) -> Block {
        let block = takeStream(&pool)
        sumOverRanks(&pool)
        return block
    }

    /// The root of the local partial sums, until the others' are added and the result is rounded.
    private func sumOverRanks(_ pool: inout PoolReplay) {
        if share.isSplit { pool.give(pool.take(rows, width)) }
    }

    /// Every token of what lies between split parts, while it is read.
    private func gathered(_ pool: inout PoolReplay) {
        if share.scattersTokens { pool.give(stored(&pool, width)) }
    }

    /// Places; rows of the token table, the others' among them; rows of positions.
    private func takeEmbeddings(_ pool: inout PoolReplay) -> [Block] {
        let places = pool.take(rows)
        let tokens = stored(&pool, width)
        // In packets on their way (`TensorGroup.finishRows`).
        if share.isSplit { pool.give(stored(&pool, width)) }
        guard share.scattersTokens else { return [places, tokens, stored(&pool, width)] }
        let heldTokens = takeStream(&pool)
        pool.give(tokens)
        let positions = stored(&pool, width)
        let heldPositions = takeStream(&pool)
        pool.give(positions)
        return [places, heldTokens, heldPositions]
    }

    /// Tokens, targets and their weights.
    private func takeInput(_ pool: inout PoolReplay) -> [Block] {
        [pool.take(rows), pool.take(rows), pool.take(rows)]
    }

    /// Output, means, reciprocal deviations.
    private func takeNorm(_ pool: inout PoolReplay) -> [Block] {
        [takeStream(&pool), pool.take(heldRows), pool.take(heldRows)]
    }

    /// Logits and ln Σ exp; the statistics on the way to it do not stay.
    private func takeLogits(_ pool: inout PoolReplay) -> [Block] {
        let logits = stored(&pool, vocabulary)
        gathered(&pool)
        let held = share.held(of: slices)
        let kinds = smoothsLabels ? 2 : 1
        let passing = [pool.take(held, rows), pool.take(kinds, held, rows), pool.take(rows)]
        let logSumExp = pool.take(rows)
        pool.give(passing)
        let hits = pool.take(rows)
        if share.isSplit { pool.give(pool.take(rows)) }
        pool.give(hits)
        return [logits, logSumExp]
    }

    private func normBackward(
        _ pool: inout PoolReplay, _ gradient: inout Block, statistics: [Block]
    ) {
        let result = takeStream(&pool)
        pool.give(pool.take(tokenSlices, width), pool.take(tokenSlices, width))
        pool.give([gradient] + statistics)
        gradient = result
    }

    /// The gradient of the result of a split part, behind a dropout and of every token.
    private func takeUpstream(_ pool: inout PoolReplay) -> [Block] {
        let masked = hasDropout ? [takeStream(&pool)] : []
        bias(&pool, outputs: width, tokenSlices)
        return masked + (share.scattersTokens ? [stored(&pool, width)] : [])
    }

    /// Slices of the tokens between split parts.
    private var tokenSlices: Int { share.heldTokens(of: slices) }

    /// Partial sums of a bias's gradient.
    private func bias(_ pool: inout PoolReplay, outputs: Int, _ slices: Int) {
        pool.give(pool.take(slices, outputs))
    }
}
