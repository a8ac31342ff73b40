// Views of the data: the batches that a model and its objective read. A sample of another shape, or an objective
// with other fields, has its view here.

import Datasets
import Models
import Tensors

extension RunConfiguration {
    /// The training batches of a run.
    func trainingBatches(of dataset: PreparedDataset) throws(DatasetError) -> any BatchSource {
        switch model.shape.sample {
        case .tokens(let length):
            try TokenBatches(
                stream: dataset.train, sampleLength: length, layout: batchLayout, seed: run.seed)
        }
    }

    /// The batches of the validation split; nil where there is none.
    func evaluationBatches(
        of dataset: PreparedDataset
    ) throws(DatasetError) -> (any EvaluationSource)? {
        guard let stream = dataset.validation else { return nil }
        switch model.shape.sample {
        case .tokens(let length):
            return try EvaluationBatches(
                stream: stream, sampleLength: length, microBatch: evaluation.microBatch)
        }
    }

    /// Batches without data, for measuring.
    ///
    /// - Parameter classes: of the model's output.
    func syntheticBatches(classes: Int) -> any BatchSource {
        switch model.shape.sample {
        case .tokens(let length):
            SyntheticBatches(
                sampleLength: length, vocabularySize: classes, layout: batchLayout, seed: run.seed)
        }
    }

    /// A micro-batch of which only the shapes are known: what a plan goes through a model with.
    func unsetInput(sequences: Int) -> ModelInput {
        switch model.shape.sample {
        case .tokens(let length):
            let shape: Shape = [sequences, length]
            return ModelInput(
                fields: [
                    Datasets.Batch.Name.tokens: Tensor(uninitialized: shape, dtype: .int32),
                    Datasets.Batch.Name.targets: Tensor(uninitialized: shape, dtype: .int32),
                ], weights: Tensor(uninitialized: [sequences * length]))
        }
    }
}
