import Checkpointing
import Communication
import Datasets
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import TestSupport
import Training

/// The newest checkpoint of a run of configs/tests/same-bits.yaml, loaded by ranks of some layout that are
/// threads of this process.
struct ReloadedState {
    let run: String
    let layout: RunLayout

    /// The samples that a rank takes next.
    struct Samples: Sendable {
        /// Which copy of the model the rank has a part of.
        let copy: Int
        let next: [Int]
    }

    /// Saves the state again, as these ranks hold it, in another run directory; returns what each trains on next.
    func save(to directory: String) throws -> [Samples] {
        try InProcess.run(ranks: layout.rankCount) { communicator in
            let found = try CheckpointReader.newest(in: run, communicator: communicator)
            guard let reader = found?.reader else {
                throw NotFound(description: "\(run): expected a checkpoint, found none")
            }
            let replica = try replica(communicator)
            try reader.restore(into: replica.state, communicator: communicator)
            try replica.restore(updates: reader.progress.optimizerUpdates)
            let steps = TrainingSteps(
                configuration, world: World(communicator: communicator), replica: replica,
                source: SyntheticBatches(
                    sampleLength: 33, vocabularySize: 45,
                    layout: BatchLayout(sequences: 24, microBatch: 3), seed: 1),
                step: reader.progress.step)
            try CheckpointWriter(runDirectory: directory, keep: 1)
                .save(replica.savedState, progress: reader.progress, communicator: communicator)
            let next = steps.microBatches.flatMap { microBatch in
                (0..<configuration.batch.microBatch).map {
                    reader.progress.samples + microBatch * configuration.batch.microBatch + $0
                }
            }
            return Samples(copy: replica.mesh.dataRank, next: next)
        }
    }

    private func replica(_ communicator: any Communicator) throws -> Replica {
        let mesh = try Mesh(communicator, tensor: layout.tensor)
        let shape = GPTConfiguration(
            vocabulary: 45, contextLength: 33, layers: 4, heads: 4, width: 20, inner: 53)
        let model = GPT(shape, numerics: Numerics(slices: 4))
        let group = parallelize(model, on: mesh, scattersTokens: false)
        return try Replica(
            model, objective: CausalLanguageModelling(), optimizer: AdamW(), mesh: mesh,
            tensorGroup: group, bucketBytes: 4096)
    }

    /// As much of it as says who takes which samples.
    private var configuration: RunConfiguration {
        var configuration = RunConfiguration(
            run: .init(directory: "none", steps: 50),
            model: .init(
                GPTConfiguration(contextLength: 33, layers: 4, heads: 4, width: 20)),
            batch: .init(sequences: 24, microBatch: 3), optimizer: .init(learningRate: 3e-3))
        configuration.numerics.groups = 4
        return configuration
    }
}
