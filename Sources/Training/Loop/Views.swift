// Views of the data: the batches that a model and its objective read. A sample of another shape, or an objective
// with other fields, has its view here.

import Datasets
import Models
import Tensors

extension RunConfiguration {
    /// The training batches of a run.
    func trainingBatches(of data: RunData) throws(DatasetError) -> any BatchSource {
        try trainingBatches(of: data, layout: batchLayout)
    }

    /// The same samples in another layout.
    func trainingBatches(
        of data: RunData, layout: BatchLayout
    ) throws(DatasetError) -> any BatchSource {
        switch data {
        case .text(let dataset):
            return try trainingBatches(of: dataset, layout: layout, seed: run.seed)
        case .mixture(let mixture):
            let single = BatchLayout(sequences: 1, microBatch: 1)
            var sources: [any BatchSource] = []
            for (number, source) in mixture.sources.enumerated() {
                sources.append(
                    try trainingBatches(
                        of: source.dataset, layout: single,
                        seed: SampleOrder.seed(run.seed, ofSource: number)))
            }
            let order = self.data.mixture(
                tokens: mixture.tokenCounts, sequences: batch.sequences)
            return MixtureBatches(sources, order: order, layout: layout)
        case .images(let dataset):
            guard case .images(let view) = view else {
                preconditionFailure("Views: data of another kind")
            }
            return ImageBatches(dataset, view: view, layout: layout, seed: run.seed)
        }
    }

    private func trainingBatches(
        of dataset: PreparedDataset, layout: BatchLayout, seed: UInt64
    ) throws(DatasetError) -> any BatchSource {
        if let groups = try pairGroups(of: dataset.train, dataset.tokenizer) {
            return try GroupedPairBatches(
                groups: groups, groupsPerStep: layout.sequences, seed: seed)
        }
        if let records = try records(of: dataset.train, dataset.tokenizer) {
            return try RecordBatches(
                records: records.source, view: records.view, layout: layout, seed: seed)
        }
        switch view {
        case .nextTokens(let length):
            return try TokenBatches(
                stream: dataset.texts(), sampleLength: length, layout: layout, seed: seed)
        case .packedTokens(let length):
            return try PackedBatches(
                stream: dataset.texts(),
                rows: packedRows(of: dataset.texts(), length, dataset.tokenizer),
                layout: layout, seed: seed)
        case .maskedTokens(let length):
            return try MaskedBatches(
                stream: dataset.texts(), sampleLength: length, layout: layout,
                masking: masking(of: dataset.tokenizer, seed: seed))
        case .labelledSequences, .labelledTokens: throw unlabelled
        case .pairs: throw unpaired
        case .images: preconditionFailure("Views: data of another kind")
        }
    }

    /// The batches of the validation split; nil where there is none.
    func evaluationBatches(of data: RunData) throws(DatasetError) -> (any EvaluationSource)? {
        switch data {
        case .text(let dataset): return try evaluationBatches(of: dataset)
        case .mixture(let mixture):
            var sources: [(name: String, source: any EvaluationSource)] = []
            for source in mixture.sources {
                guard let batches = try evaluationBatches(of: source.dataset) else { continue }
                sources.append((source.name, batches))
            }
            return sources.isEmpty ? nil : MixtureEvaluationBatches(sources)
        case .images(let dataset):
            guard case .images(let view) = view else {
                preconditionFailure("Views: data of another kind")
            }
            return ImageEvaluationBatches(
                dataset, view: view, microBatch: evaluation.microBatch)
        }
    }

    /// The records of shards that hold such, and the view that this model has of them; nil: they hold texts.
    private func records(
        of stream: TokenStream, _ tokenizer: Tokenizer
    ) throws(DatasetError) -> (source: RecordShards, view: any RecordView)? {
        switch (view, stream.kind) {
        case (_, .text): return nil
        case (.nextTokens(let length), .conversations),
            (.packedTokens(let length), .conversations):
            let view = InstructionView(length: length, tokenizer: tokenizer)
            return (try RecordShards(stream, kind: .conversations), view)
        case (.labelledSequences(let length, let classes), .labelled):
            let view = LabelledView(length: length, classes: classes, tokenizer: tokenizer)
            return (try RecordShards(stream, kind: .labelled), view)
        case (.pairs(let pair), .pairs):
            return (
                try RecordShards(stream, kind: .pairs), PairView(pair, tokenizer: tokenizer)
            )
        case (_, .labelled), (_, .pairs), (_, .conversations), (_, .preferences):
            throw DatasetError(
                .mismatch,
                "\(stream.paths[0]): expected data for \(model.shape.objective.name), found "
                    + stream.kind.name)
        }
    }

    /// Pairs of about the same length together, where `batch.tokens` asks for that; nil: they come one by one.
    private func pairGroups(
        of stream: TokenStream, _ tokenizer: Tokenizer
    ) throws(DatasetError) -> PairGroups? {
        guard let tokens = batch.tokens, let records = try records(of: stream, tokenizer),
            let view = records.view as? PairView
        else { return nil }
        return try PairGroups(
            records: records.source, view: view, budget: TokenBudget(tokens: tokens))
    }

    /// Samples of an epoch of one source.
    func samplesPerEpoch(of dataset: PreparedDataset) throws(DatasetError) -> Int {
        let stream = dataset.train
        if let groups = try pairGroups(of: stream, dataset.tokenizer) { return groups.count }
        if stream.kind != .text { return max(1, stream.documentCount ?? 1) }
        switch view {
        case .nextTokens(let length), .maskedTokens(let length):
            return try SampleOrder(
                tokenCount: stream.count, sampleLength: length, seed: run.seed
            ).samplesPerEpoch
        case .packedTokens(let length):
            return try packedRows(of: stream, length, dataset.tokenizer).count
        case .labelledSequences, .labelledTokens, .pairs, .images: return 1
        }
    }

    private func evaluationBatches(
        of dataset: PreparedDataset
    ) throws(DatasetError) -> (any EvaluationSource)? {
        guard let stream = dataset.validation else { return nil }
        if let groups = try pairGroups(of: stream, dataset.tokenizer) {
            return GroupedPairEvaluationBatches(groups: groups)
        }
        if let records = try records(of: stream, dataset.tokenizer) {
            return try RecordEvaluationBatches(
                records: records.source, view: records.view, microBatch: evaluation.microBatch)
        }
        switch view {
        case .nextTokens(let length):
            return try EvaluationBatches(
                stream: stream, sampleLength: length, microBatch: evaluation.microBatch)
        case .packedTokens(let length):
            return try PackedEvaluationBatches(
                stream: stream, rows: packedRows(of: stream, length, dataset.tokenizer),
                microBatch: evaluation.microBatch)
        case .maskedTokens(let length):
            return try MaskedEvaluationBatches(
                stream: stream, sampleLength: length, microBatch: evaluation.microBatch,
                masking: masking(of: dataset.tokenizer, seed: run.seed))
        case .labelledSequences, .labelledTokens: throw unlabelled
        case .pairs: throw unpaired
        case .images: preconditionFailure("Views: data of another kind")
        }
    }

    private var unpaired: DatasetError {
        DatasetError(
            .mismatch,
            "data: expected pairs of texts for \(model.shape.objective.name), found text alone; prepare "
                + "pairs (input.kind: pairs)")
    }

    private var unlabelled: DatasetError {
        DatasetError(
            .mismatch,
            "data: expected labels for \(model.shape.objective.name), found text alone; prepare labelled "
                + "texts (input.kind: labelled) where each text has one")
    }

    /// The documents of `stream` in rows of `length` tokens. What ends a text stands before each document, and is
    /// what the last token of one predicts.
    private func packedRows(
        of stream: TokenStream, _ length: Int, _ tokenizer: Tokenizer
    ) throws(DatasetError) -> PackedRows {
        guard let documents = stream.documents else {
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
        case .pairs(let pair):
            SyntheticPairs(
                source: pair.source, target: pair.target, rows: rowsOfSequence,
                vocabularySize: symbols, layout: batchLayout, seed: run.seed)
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
        case .pairs(let pair):
            let sequences = sequences * rowsOfSequence
            return ModelInput(
                fields: [
                    Name.tokens: integers([sequences, pair.source]),
                    Name.lengths: integers([sequences]),
                    Name.decoderTokens: integers([sequences, pair.target]),
                    Name.targets: integers([sequences, pair.target]),
                ], weights: Tensor(uninitialized: [sequences * pair.target]))
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
        case (.pair(let pair), .sequenceToSequence): .pairs(pair)
        case (.image(let image), .imageClassification): .images(imageView(image))
        case (.tokens, .imageClassification), (.tokens, .sequenceToSequence), (.pair, _),
            (.image, _):
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
        case pairs(PairShape)
        case images(ImageView)
    }

    private func imageView(_ image: ImageShape) -> ImageView {
        var transform = PictureTransform(size: image.size)
        (transform.padding, transform.flips) = (data.cropPadding, data.flips)
        (transform.mean, transform.deviation) = (data.imageMean, data.imageDeviation)
        return ImageView(transform: transform, channels: image.channels, patch: image.patch)
    }

    private func masking(of tokenizer: Tokenizer, seed: UInt64) -> Masking {
        Masking(
            rate: objective.maskingRate,
            mask: Int32(
                objective.maskToken ?? tokenizer.maskToken ?? tokenizer.vocabularySize),
            symbols: tokenizer.vocabularySize,
            words: objective.wholeWords ? tokenizer.wordBoundary : nil, seed: seed)
    }
}

extension PairView {
    /// Pairs with the marks of a model, whose tokenizer says what it leaves open.
    init(_ shape: PairShape, tokenizer: Tokenizer) {
        let marks = shape.marks(
            symbols: tokenizer.vocabularySize, endOfText: tokenizer.endOfText)
        self.init(
            sourceLength: shape.source, targetLength: shape.target,
            marks: SequenceMarks(
                start: Int32(marks.start), begin: marks.begin.map { Int32($0) },
                end: Int32(marks.end)))
    }
}
