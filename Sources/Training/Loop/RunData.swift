// What a run learns from, whatever it is made of.

import Datasets
import Models

/// The data of a run, opened.
enum RunData: Sendable {
    case text(PreparedDataset)
    case mixture(MixedDataset)
    case images(ImageDataset)

    /// What the model's numbers mean.
    var vocabulary: Vocabulary {
        switch self {
        case .text(let dataset): .tokens(dataset.tokenizer)
        case .mixture(let dataset): .tokens(dataset.tokenizer)
        case .images(let dataset): .classes(dataset.classes)
        }
    }

    /// SHA-256 that names it: a run that resumes with another one would not see the data it started on.
    ///
    /// - Parameter readsDocuments: whether samples depend on where documents are.
    func fingerprint(readsDocuments: Bool) -> String {
        switch self {
        case .text(let dataset): dataset.fingerprint(readsDocuments: readsDocuments)
        case .mixture(let dataset): dataset.fingerprint(readsDocuments: readsDocuments)
        case .images(let dataset): dataset.fingerprint
        }
    }

    /// The folders or shards that it is made of; none of images.
    var prepared: [PreparedDataset] {
        switch self {
        case .text(let dataset): [dataset]
        case .mixture(let mixture): mixture.sources.map(\.dataset)
        case .images: []
        }
    }

    /// For a line at the start of a run.
    var summary: String {
        switch self {
        case .text(let dataset):
            "\(dataset.train.count) training tokens, vocabulary \(dataset.tokenizer.vocabularySize)"
        case .mixture(let dataset):
            "\(dataset.tokenCounts.reduce(0, +)) training tokens of \(dataset.sources.count) sources, "
                + "vocabulary \(dataset.tokenizer.vocabularySize)"
        case .images(let dataset):
            "\(dataset.trainCount) training images, \(dataset.classes.count) classes"
        }
    }

    /// Reads the validation split through, where that can be done beforehand.
    func verify() throws(DatasetError) {
        // Each image is checked when it is decoded.
        for dataset in prepared { try dataset.validation?.verify() }
    }
}

extension RunConfiguration {
    /// Opens the data, which text is turned into on first use.
    func openDataset() throws(RunError) -> RunData {
        do throws(DatasetError) {
            switch model.shape.sample {
            case .tokens, .pair:
                guard data.text.isEmpty else {
                    return .text(
                        try DatasetCache.dataset(
                            text: data.text, tokenizer: data.tokenizer,
                            validationFraction: data.validationFraction, cache: data.cache))
                }
                guard data.sources.isEmpty else {
                    return .mixture(try MixedDataset(folders: data.sources))
                }
                return .text(
                    try PreparedDataset(
                        train: data.train, validation: data.validation, tokenizer: data.tokenizer))
            case .image(let image):
                return .images(
                    try ImageDataset(
                        train: .init(images: data.images ?? "", labels: data.labels),
                        validation: data.validationImages.map {
                            .init(images: $0, labels: data.validationLabels)
                        }, fraction: data.validationFraction, channels: image.channels))
            }
        } catch {
            throw RunError(error)
        }
    }

    /// Opens the data for somebody who only reads them: what the cache does not have of a text, or has damaged, is
    /// made in `scratch`.
    func openDataset(makingIn scratch: ScratchFolder) throws(RunError) -> RunData {
        guard !data.text.isEmpty else { return try openDataset() }
        if let existing = try? soundCache() { return .text(existing) }
        try scratch.requireParent()
        var configuration = self
        configuration.data.cache = scratch.path
        return try configuration.openDataset()
    }

    /// What the cache has of the text, its validation split read through; nil where it has nothing.
    private func soundCache() throws(DatasetError) -> PreparedDataset? {
        let existing = try DatasetCache.existing(
            text: data.text, tokenizer: data.tokenizer,
            validationFraction: data.validationFraction, cache: data.cache)
        try existing?.validation?.verify()
        return existing
    }
}
