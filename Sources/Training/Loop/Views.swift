// Views of the data: the batches that a model and its objective read. A sample of another shape, or an objective
// with other fields, has its view here.

import Datasets
import Models
import Tensors

extension RunConfiguration {
    /// The training batches of a run.
    func trainingBatches(of data: RunData) throws(DatasetError) -> any BatchSource {
        switch (view, data) {
        case (.nextTokens(let length), .text(let dataset)):
            try TokenBatches(
                stream: dataset.train, sampleLength: length, layout: batchLayout, seed: run.seed)
        case (.packedTokens(let length), .text(let dataset)):
            try PackedBatches(
                stream: dataset.train,
                rows: packedRows(of: dataset.train, length, dataset.tokenizer),
                layout: batchLayout, seed: run.seed)
        case (.maskedTokens(let length), .text(let dataset)):
            try MaskedBatches(
                stream: dataset.train, sampleLength: length, layout: batchLayout,
                masking: masking(of: dataset.tokenizer))
        case (.images(let view), .images(let dataset)):
            ImageBatches(dataset, view: view, layout: batchLayout, seed: run.seed)
        case (.labelledSequences, .text), (.labelledTokens, .text): throw unlabelled
        case (_, .text), (_, .images): preconditionFailure("Views: data of another kind")
        }
    }

    /// The batches of the validation split; nil where there is none.
    func evaluationBatches(of data: RunData) throws(DatasetError) -> (any EvaluationSource)? {
        switch (view, data) {
        case (.nextTokens(let length), .text(let dataset)):
            guard let stream = dataset.validation else { return nil }
            return try EvaluationBatches(
                stream: stream, sampleLength: length, microBatch: evaluation.microBatch)
        case (.packedTokens(let length), .text(let dataset)):
            guard let stream = dataset.validation else { return nil }
            return try PackedEvaluationBatches(
                stream: stream, rows: packedRows(of: stream, length, dataset.tokenizer),
                microBatch: evaluation.microBatch)
        case (.maskedTokens(let length), .text(let dataset)):
            guard let stream = dataset.validation else { return nil }
            return try MaskedEvaluationBatches(
                stream: stream, sampleLength: length, microBatch: evaluation.microBatch,
                masking: masking(of: dataset.tokenizer))
        case (.images(let view), .images(let dataset)):
            return ImageEvaluationBatches(
                dataset, view: view, microBatch: evaluation.microBatch)
        case (.labelledSequences, .text), (.labelledTokens, .text): throw unlabelled
        case (_, .text), (_, .images): preconditionFailure("Views: data of another kind")
        }
    }

    private var unlabelled: DatasetError {
        DatasetError(
            .mismatch,
            "data: expected labels for \(model.shape.objective.name), found text alone; this version "
                + "imports, exports and measures such a model, and trains others")
    }

    /// The documents of `stream` in rows of `length` tokens. What ends a text stands before each document, and is
    /// what the last token of one predicts.
    private func packedRows(
        of stream: TokenStream, _ length: Int, _ tokenizer: Tokenizer
    ) throws(DatasetError) -> PackedRows {
        guard let documents = stream as? any DocumentLengths else {
            throw DatasetError(
                .mismatch,
                "data.packing: expected shards that tell where documents begin, found "
                    + "\(stream.paths[0]); prepare the data again, or use windows")
        }
        return try PackedRows(
            documents: documents, rowLength: length,
            endToken: tokenizer.endOfText.map { Int32($0) })
    }

    /// Batches without data, for measuring.
    ///
    /// - Parameter symbols: of the model.
    package func syntheticBatches(symbols: Int) -> any BatchSource {
        switch view {
        case .nextTokens(let length):
            SyntheticBatches(
                sampleLength: length, vocabularySize: symbols, layout: batchLayout, seed: run.seed)
        case .packedTokens(let length):
            SyntheticPackedBatches(
                rowLength: length, vocabularySize: symbols, layout: batchLayout, seed: run.seed)
        case .maskedTokens(let length):
            SyntheticMaskedBatches(
                sampleLength: length, layout: batchLayout,
                masking: Masking(
                    rate: objective.maskingRate, mask: Int32(symbols - 1),
                    symbols: max(1, symbols - 1), words: nil, seed: run.seed))
        case .labelledSequences(let length, let classes):
            SyntheticLabels(
                sampleLength: length, vocabularySize: symbols, targets: 1, classes: classes,
                layout: batchLayout, seed: run.seed)
        case .labelledTokens(let length, let classes):
            SyntheticLabels(
                sampleLength: length, vocabularySize: symbols, targets: length, classes: classes,
                layout: batchLayout, seed: run.seed)
        case .images(let view):
            SyntheticImages(view: view, classes: symbols, layout: batchLayout, seed: run.seed)
        }
    }

    /// A micro-batch of which only the shapes are known: what a plan goes through a model with.
    func unsetInput(sequences: Int) -> ModelInput {
        typealias Name = Datasets.Batch.Name
        func integers(_ shape: Shape) -> Tensor { Tensor(uninitialized: shape, dtype: .int32) }
        switch view {
        case .nextTokens(let length):
            let shape: Shape = [sequences, length]
            return ModelInput(
                fields: [Name.tokens: integers(shape), Name.targets: integers(shape)],
                weights: Tensor(uninitialized: [sequences * length]))
        case .packedTokens(let length):
            let shape: Shape = [sequences, length]
            return ModelInput(
                fields: [
                    Name.tokens: integers(shape), Name.targets: integers(shape),
                    Name.segments: integers(shape), Name.positions: integers(shape),
                ], weights: Tensor(uninitialized: [sequences * length]))
        case .maskedTokens(let length):
            let chosen = Masking.chosen(of: length, rate: objective.maskingRate)
            return ModelInput(
                fields: [
                    Name.tokens: integers([sequences, length]),
                    Name.lengths: integers([sequences]),
                    Name.places: integers([sequences, chosen]),
                    Name.targets: integers([sequences, chosen]),
                ], weights: Tensor(uninitialized: [sequences * chosen]))
        case .labelledSequences(let length, _): return labelled(length, targets: 1)
        case .labelledTokens(let length, _): return labelled(length, targets: length)
        case .images(let view):
            return ModelInput(
                fields: [
                    Name.patches: Tensor(uninitialized: Shape([sequences] + view.extents)),
                    Name.targets: integers([sequences, 1]),
                ], weights: Tensor(uninitialized: [sequences]))
        }
        func labelled(_ length: Int, targets: Int) -> ModelInput {
            ModelInput(
                fields: [
                    Name.tokens: integers([sequences, length]),
                    Name.lengths: integers([sequences]),
                    Name.targets: integers([sequences, targets]),
                ], weights: Tensor(uninitialized: [sequences * targets]))
        }
    }

    /// What the model's samples and its objective make of the data.
    private var view: View {
        switch (model.shape.sample, model.shape.objective) {
        case (.tokens(let length), .causalLanguageModelling):
            data.packing == .documents ? .packedTokens(length) : .nextTokens(length)
        case (.tokens(let length), .maskedLanguageModelling): .maskedTokens(length)
        case (.tokens(let length), .sequenceClassification(let classes)):
            .labelledSequences(length, classes: classes)
        case (.tokens(let length), .tokenClassification(let classes)):
            .labelledTokens(length, classes: classes)
        case (.image(let image), .imageClassification): .images(imageView(image))
        case (.tokens, .imageClassification), (.image, _):
            preconditionFailure(
                "Views: none of \(model.shape.sample) for \(model.shape.objective.name)")
        }
    }

    /// With the tokens of a sample.
    private enum View {
        case nextTokens(Int)
        case packedTokens(Int)
        case maskedTokens(Int)
        case labelledSequences(Int, classes: Int)
        case labelledTokens(Int, classes: Int)
        case images(ImageView)
    }

    private func imageView(_ image: ImageShape) -> ImageView {
        var transform = PictureTransform(size: image.size)
        (transform.padding, transform.flips) = (data.cropPadding, data.flips)
        (transform.mean, transform.deviation) = (data.imageMean, data.imageDeviation)
        return ImageView(transform: transform, channels: image.channels, patch: image.patch)
    }

    private func masking(of tokenizer: Tokenizer) -> Masking {
        Masking(
            rate: objective.maskingRate,
            mask: Int32(
                objective.maskToken ?? tokenizer.maskToken ?? tokenizer.vocabularySize),
            symbols: tokenizer.vocabularySize,
            words: objective.wholeWords ? tokenizer.wordBoundary : nil, seed: run.seed)
    }
}
