import Communication
import Datasets
import Kernels
import Layers
import Models
import Parallelism
import Tensors

/// The micro-batches of one rank, group by group (docs/numerics.md): M micro-batches form G groups of
/// consecutive ones, rank r of D holds G/D of them. Where D does not divide G, a rank's M/D micro-batches
/// form as many groups as a power of two allows, at most G.
package func microBatchGroups(count: Int, groups: Int, rank: Int, ranks: Int) -> [Range<Int>] {
    let own = count / ranks
    var local = groups % ranks == 0 ? groups / ranks : groups
    while own % local != 0 { local /= 2 }
    let size = own / local
    return (0..<local).map { rank * own + $0 * size..<rank * own + ($0 + 1) * size }
}

extension Replica {
    /// Forward and backward passes of one step over a rank's micro-batches. Collective over the tensor
    /// dimension, and over the data dimension in the last of them.
    ///
    /// - Parameters:
    ///   - scale: with which each backward pass starts.
    ///   - inspects: whether to look for the cause where a loss is not finite.
    ///   - next: the next micro-batch, in order.
    /// - Returns: their summed losses, in order, and the first cause.
    func accumulate(
        _ groups: [Range<Int>], seed: UInt64, step: Int, scale: Float, inspects: Bool,
        next: () throws(RunError) -> Batch
    ) throws(RunError) -> (losses: [Double], finding: NonFinite?) {
        try communicating(step: step) { () throws(CommunicationError) in try beginStep() }
        var losses: [Double] = []
        var finding: NonFinite?
        for group in groups {
            beginGroup()
            for microBatch in group {
                let span = Trace.begin(.data, "data")
                let batch = try next()
                span.end()
                let input = batch.modelInput
                let randomness = Pass.Randomness(
                    seed: seed, step: step, firstSequence: batch.firstSequence)
                let isLast = microBatch == groups.last!.upperBound - 1
                let loss = try communicating(step: step) { () throws(CommunicationError) in
                    try accumulate(input, randomness: randomness, scale: scale, isLast: isLast)
                }
                losses.append(loss)
                // The loss is the same on every rank of the tensor dimension: they look together.
                if inspects && !loss.isFinite {
                    let found = try communicating(step: step) { () throws(CommunicationError) in
                        try withoutGradient {
                            firstNonFinite(model, objective, input, randomness)
                        }
                    }
                    finding = finding ?? found
                }
            }
        }
        return (losses, finding)
    }
}

extension Batch {
    /// The same as tensors.
    package var modelInput: ModelInput {
        ModelInput(
            fields: Dictionary(uniqueKeysWithValues: fields.map { ($0.name, $0.tensor) }),
            weights: Tensor(weights, shape: [weights.count]))
    }
}

extension Batch.Field {
    fileprivate var tensor: Tensor {
        let shape = Shape([rows] + extents)
        return switch values {
        case .integers(let values): Tensor(integers: values, shape: shape)
        case .floats(let values): Tensor(values, shape: shape)
        }
    }
}

extension Mesh {
    /// The batch, where every rank that holds a part of this copy of the model has its own; nil on all of
    /// them where one has none. Collective over the tensor dimension.
    func whereAllHave(_ batch: Batch?) throws(RunError) -> Batch? {
        guard shape.tensor > 1 else { return batch }
        let missing = Tensor([batch == nil ? 1 : 0], shape: [1])
        try communicating { () throws(CommunicationError) in
            try tensor.allReduceMaximum(missing.buffer).wait()
        }
        return missing.scalar == 0 ? batch : nil
    }
}
