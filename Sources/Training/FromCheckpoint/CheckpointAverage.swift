// The mean of several checkpoints' weights (Vaswani et al. 2017, section 6.1), as a run of its own.

import Checkpointing
import Datasets
import Foundation
import Layers
import Models
import Tensors

/// Makes a run whose one checkpoint has the mean of the weights of others, element by element, summed in Float64 in the
/// order of the list. Its optimizer starts anew.
///
/// - Parameters:
///   - paths: checkpoints; or one run, of which the newest `count` are taken.
///   - directory: of the run to make.
/// - Returns: the checkpoint's path, and those that it is made of.
public func averageCheckpoints(
    _ paths: [String], newest count: Int?, into directory: String
) throws(RunError) -> (path: String, sources: [String]) {
    try checkMachine()
    let readers = try checkpointsToAverage(paths, newest: count)
    let (newest, progress) = (readers[0].path, readers[0].reader.progress)
    let configuration = try readers[0].reader.configuration()
    let vocabulary = try? Vocabulary(json: progress.identity.tokenizer, name: newest)
    let model = configuration.makeModel(symbols: try configuration.symbols(ofData: vocabulary))
    let specs = model.parameters.map { (name: $0.name, spec: $0.spec) }
    var sums = specs.map { Buffer(count: $0.spec.shape.count, dtype: .float64) }
    for sum in sums { sum.clear() }
    for (path, reader) in readers {
        guard reader.progress.identity.tokenizerDigest == progress.identity.tokenizerDigest else {
            throw RunError(
                .checkpoint,
                "\(path): tokenizer: expected \(progress.identity.tokenizerDigest) as in "
                    + "\(readers[0].path), found "
                    + reader.progress.identity.tokenizerDigest)
        }
        try add(reader, specs, to: &sums)
    }
    let scale = 1 / Double(readers.count)
    let means = zip(specs, sums).map { parameter, sum in
        StreamedTensor(name: parameter.name, spec: parameter.spec) {
            (take) throws(CheckpointError) in
            let block = Buffer(count: min(sum.count, 1 << 20))
            for start in stride(from: 0, to: sum.count, by: block.count) {
                let part = block[0..<min(block.count, sum.count - start)]
                for index in 0..<part.count {
                    part.floats[index] = Float(sum.doubles[start + index] * scale)
                }
                try take(part)
            }
        }
    }
    var identity = progress.identity
    identity.run = UUID().uuidString.lowercased()
    let path = try configuration.makeRun(
        in: directory, of: model, weights: means,
        progress: TrainingProgress(
            step: progress.step, optimizerUpdates: 0, samples: progress.samples,
            lossScale: progress.lossScale, identity: identity))
    return (path, readers.map(\.path))
}

private typealias NamedReader = (path: String, reader: CheckpointReader)

/// The newest first.
private func checkpointsToAverage(
    _ paths: [String], newest count: Int?
) throws(RunError) -> [NamedReader] {
    var found: [NamedReader] = []
    for path in paths {
        let listed = try checkpointing { () throws(CheckpointError) in
            try CheckpointReader.list(in: path)
        }
        guard !listed.isEmpty else {
            throw RunError(.checkpoint, "\(path): expected a checkpoint, found none")
        }
        guard paths.count == 1 || listed.count == 1 else {
            throw RunError(
                .usage,
                "\(path): expected a checkpoint beside others, found a run; name its checkpoints")
        }
        for (name, reader) in listed.prefix(count ?? .max) {
            found.append(
                (name, try checkpointing { () throws(CheckpointError) in try reader.get() }))
        }
    }
    guard found.count >= max(2, count ?? 2) else {
        throw RunError(
            .usage,
            "expected at least \(max(2, count ?? 2)) checkpoints to average, found \(found.count)"
                + (paths.count == 1 ? " in \(paths[0]); checkpoint.keep says how many stay" : ""))
    }
    return found
}

private func add(
    _ reader: CheckpointReader, _ specs: [(name: String, spec: ShardSpec)],
    to sums: inout [Buffer]
) throws(RunError) {
    var state: [StateTensor] = []
    for (name, spec) in specs {
        let buffer = Buffer(count: spec.shape.count)
        state.append(
            StateTensor(
                name: name, spec: spec,
                pieces: [.init(range: 0..<spec.shape.count, buffer: buffer)]))
    }
    try checkpointing { () throws(CheckpointError) in try reader.restoreModel(into: state) }
    for (tensor, sum) in zip(state, sums) {
        let values = tensor.pieces[0].buffer
        for index in 0..<values.count { sum.doubles[index] += Double(values.floats[index]) }
    }
}
