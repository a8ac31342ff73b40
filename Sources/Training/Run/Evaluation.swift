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
/// where they fall and added in the order of their index, in Float64. Nil where a rank was asked to stop.
///
/// Collective over the mesh; a rank without micro-batches joins in. Every second or so the ranks tell each other
/// of a stop and of errors, so that neither waits for the end of the split.
/// - Parameters:
///   - signal: a signal that this rank has received; 0: none.
///   - loss: the summed loss of a micro-batch. Collective over the tensor dimension.
package func evaluate(
    on source: any EvaluationSource, mesh: Mesh, host: String, signal: @autoclosure () -> Int32 = 0,
    loss: (ModelInput) throws(CommunicationError) -> Double
) throws(RunError) -> EvaluationResult? {
    let span = Trace.begin(.evaluation, "evaluation")
    defer { span.end() }
    let (rank, size, count) = (mesh.dataRank, mesh.shape.data, source.batchCount)
    let borders = (0...size).map { $0 * count / size }
    let sums = Buffer(count: count, dtype: .float64)
    var (rest, turn) = (borders[rank]..<borders[rank + 1], EvaluationTurn())
    var failure: RunError?
    repeat {
        let clock = ContinuousClock.now
        let part = rest.prefix(turn.batches)
        rest = rest.dropFirst(part.count)
        for index in part {
            var batch: Batch?
            do throws(DatasetError) {
                batch = try source.evaluationBatch(index)
            } catch {
                failure = RunError(error)
            }
            // The ranks of one copy of the model go on, or stop, together.
            guard let agreed = try mesh.whereAllHave(batch) else { break }
            sums.doubles[index] = try communicating { () throws(CommunicationError) in
                try loss(agreed.modelInput)
            }
        }
        let seconds = (ContinuousClock.now - clock).inSeconds
        turn = try mesh.world.agree(
            on: EvaluationTurn(
                hasFailed: failure != nil, signal: signal(), rest: rest.count,
                batches: turn.next(after: seconds)))
    } while turn.goesOn
    try mesh.world.together(host) { () throws(RunError) in if let failure { throw failure } }
    guard turn.signal == 0 else { return nil }
    try communicating { () throws(CommunicationError) in
        let counts = zip(borders, borders.dropFirst()).map { $1 - $0 }
        try mesh.data.allGather(sums, counts: counts).wait()
    }
    let total = UnsafeBufferPointer(start: sums.doubles, count: count).reduce(0, +)
    return EvaluationResult(
        loss: total / source.targetWeight, tokens: Int(source.targetWeight))
}

/// What ranks tell each other between the batches of an evaluation.
private struct EvaluationTurn {
    var hasFailed = false
    /// The highest signal that any rank received; 0: none.
    var signal: Int32 = 0
    /// Batches that are left.
    var rest = 0
    /// How many to take until the ranks talk again: as many as the slowest takes in a second.
    var batches = 1

    var goesOn: Bool { !hasFailed && signal == 0 && rest > 0 }

    /// Batches of about a second, where these took so many.
    func next(after seconds: Double) -> Int {
        max(1, Int(min(Double(2 * batches), Double(batches) / max(seconds, 1e-9))))
    }
}

extension Communicator {
    /// The same turn on every rank.
    fileprivate func agree(on turn: EvaluationTurn) throws(RunError) -> EvaluationTurn {
        let text = "\(turn.hasFailed ? 1 : 0) \(turn.signal) \(turn.rest) \(turn.batches)"
        let all = try gather(text).map { $0.split(separator: " ").compactMap { Int($0) } }
        return EvaluationTurn(
            hasFailed: all.contains { $0[0] == 1 }, signal: Int32(all.map { $0[1] }.max()!),
            rest: all.map { $0[2] }.max()!, batches: all.map { $0[3] }.min()!)
    }
}
