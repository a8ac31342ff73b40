import Communication
import Datasets
import Kernels
import Layers
import Models
import Parallelism
import Tensors

/// What a split says of a model.
public struct EvaluationResult: Sendable, Equatable {
    /// Mean over the targets, nats.
    public let loss: Double
    /// Targets, by their weights.
    public let targets: Double
    /// What else the objective reports, by name.
    public let metrics: [Metric]

    public struct Metric: Sendable, Equatable {
        public let name: String
        public let value: Double
    }

    package init(loss: Double, targets: Double, metrics: [(name: String, value: Double)] = []) {
        (self.loss, self.targets) = (loss, targets)
        self.metrics = metrics.map { Metric(name: $0.name, value: $0.value) }
    }
}

/// Evaluates over all batches of `source`; the same result on any layout: sums of micro-batches are made
/// where they fall and added in the order of their index, in Float64. Nil where a rank was asked to stop.
///
/// Collective over the mesh; a rank without micro-batches joins in. Every second or so the ranks tell each other
/// of a stop and of errors, so that neither waits for the end of the split.
/// - Parameters:
///   - signal: a signal that this rank has received; 0: none.
///   - objective: what reports.
///   - sums: what it adds up over a micro-batch. Collective over the tensor dimension.
package func evaluate(
    on source: any EvaluationSource, mesh: Mesh, host: String, signal: @autoclosure () -> Int32 = 0,
    objective: any Objective, sums: (ModelInput) throws(CommunicationError) -> [Double]
) throws(RunError) -> EvaluationResult? {
    let span = Trace.begin(.evaluation, "evaluation")
    defer { span.end() }
    let (rank, size, count) = (mesh.dataRank, mesh.shape.data, source.batchCount)
    let borders = (0...size).map { $0 * count / size }
    // Of each batch its weight and its sums.
    let width = 1 + objective.sumCount
    let table = Buffer(count: width * count, dtype: .float64)
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
            let found = try communicating { () throws(CommunicationError) in
                try sums(agreed.modelInput)
            }
            for (column, value) in ([agreed.targetWeight] + found).enumerated() {
                table.doubles[width * index + column] = value
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
        let counts = zip(borders, borders.dropFirst()).map { width * ($1 - $0) }
        try mesh.data.allGather(table, counts: counts).wait()
    }
    let totals = withExtendedLifetime(table) {
        (0..<width).map { column in
            (0..<count).reduce(0.0) { $0 + table.doubles[width * $1 + column] }
        }
    }
    guard totals[0] > 0 else {
        throw RunError(
            .data,
            "validation: expected a target that counts, found none in \(count) micro-batches; answers may lie "
                + "behind model.context_length, or no label be known", isShared: true)
    }
    let means = totals.dropFirst().map { $0 / totals[0] }
    var metrics = objective.metrics(means: means)
    for part in source.parts {
        let (weight, loss) = withExtendedLifetime(table) {
            part.batches.reduce((0.0, 0.0)) {
                ($0.0 + table.doubles[width * $1], $0.1 + table.doubles[width * $1 + 1])
            }
        }
        // A source none of whose targets count has no loss.
        if weight > 0 { metrics.append(("loss_\(part.name)", loss / weight)) }
    }
    return EvaluationResult(loss: means[0], targets: totals[0], metrics: metrics)
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
