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

/// Evaluates over all batches of `source`; the same result on any number of ranks: sums of micro-batches
/// are made where they fall and added in the order of their index, in Float64.
///
/// Collective; a rank without micro-batches joins in.
func evaluate(
    _ model: some Model, on source: any EvaluationSource, communicator: any Communicator,
    host: String
) throws(RunError) -> EvaluationResult {
    let span = Trace.begin(.evaluation, "evaluation")
    defer { span.end() }
    let (rank, size, count) = (communicator.rank, communicator.size, source.batchCount)
    let borders = (0...size).map { $0 * count / size }
    let sums = Buffer(count: count, dtype: .float64)
    try communicator.together(host) { () throws(RunError) in
        for index in borders[rank]..<borders[rank + 1] {
            let batch: Batch
            do throws(DatasetError) {
                batch = try source.evaluationBatch(index)
            } catch {
                throw RunError(error)
            }
            sums.doubles[index] = model.loss(of: batch.modelInput, Pass()).buffer.doubles[0]
        }
    }
    do throws(CommunicationError) {
        let counts = zip(borders, borders.dropFirst()).map { $1 - $0 }
        try communicator.allGather(sums, counts: counts).wait()
    } catch {
        throw RunError(error)
    }
    let total = UnsafeBufferPointer(start: sums.doubles, count: count).reduce(0, +)
    return EvaluationResult(
        loss: total / source.targetWeight, tokens: Int(source.targetWeight))
}
