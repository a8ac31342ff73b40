import Communication
import Datasets
import Kernels
import Layers
import Models
import Parallelism
import Tensors

/// The loss over a whole split.
public struct EvaluationResult: Sendable, Equatable {
    /// Mean, nats a token.
    public let loss: Double
    public let tokens: Int

    package init(loss: Double, tokens: Int) { (self.loss, self.tokens) = (loss, tokens) }
}

/// Evaluates over all batches of `source`; the same result on any layout: sums of micro-batches are made
/// where they fall and added in the order of their index, in Float64.
///
/// Collective over the mesh; a rank without micro-batches joins in.
/// - Parameter loss: the summed loss of a micro-batch. Collective over the tensor dimension.
func evaluate(
    on source: any EvaluationSource, mesh: Mesh, host: String,
    loss: (ModelInput) throws(CommunicationError) -> Double
) throws(RunError) -> EvaluationResult {
    let span = Trace.begin(.evaluation, "evaluation")
    defer { span.end() }
    let (rank, size, count) = (mesh.dataRank, mesh.shape.data, source.batchCount)
    let borders = (0...size).map { $0 * count / size }
    let sums = Buffer(count: count, dtype: .float64)
    try mesh.world.together(host, on: "evaluating") { () throws(RunError) in
        for index in borders[rank]..<borders[rank + 1] {
            var batch: Batch?
            var failure: RunError?
            do throws(DatasetError) {
                batch = try source.evaluationBatch(index)
            } catch {
                failure = RunError(error)
            }
            // The ranks of one copy of the model go on, or stop, together.
            let agreed = try mesh.whereAllHave(batch)
            if let failure { throw failure }
            guard let batch = agreed else { return }
            sums.doubles[index] = try communicating { () throws(CommunicationError) in
                try loss(batch.modelInput)
            }
        }
    }
    try communicating { () throws(CommunicationError) in
        let counts = zip(borders, borders.dropFirst()).map { $1 - $0 }
        try mesh.data.allGather(sums, counts: counts).wait()
    }
    let total = UnsafeBufferPointer(start: sums.doubles, count: count).reduce(0, +)
    return EvaluationResult(
        loss: total / source.targetWeight, tokens: Int(source.targetWeight))
}
