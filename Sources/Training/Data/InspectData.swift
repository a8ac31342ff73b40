// `murmur data inspect`: what a run is fed, for people who want to see it: its sources, how often it goes through them,
// and decoded samples with where documents begin, what is hidden and what is predicted.

import Datasets
import Files
import Foundation

extension RunConfiguration {
    /// Samples of which the share of padding is told.
    private static let surveyed = 256

    /// Lines that describe the data of a run and its samples `first ..< first + samples`.
    package func inspectData(first: Int, samples: Int) throws(RunError) -> [String] {
        let data = try openDataset()
        do throws(DatasetError) {
            var lines = try summary(of: data)
            let source = try trainingBatches(
                of: data, layout: BatchLayout(sequences: 1, microBatch: 1))
            lines.append(try padding(of: source))
            for sample in first..<first + samples {
                lines.append("")
                lines += try description(of: sample, from: source, data)
            }
            return lines
        } catch {
            throw RunError(error)
        }
    }

    // MARK: The whole

    private func summary(of data: RunData) throws(DatasetError) -> [String] {
        let sources: [(name: String, dataset: PreparedDataset)]
        switch data {
        case .text(let dataset): sources = [("data", dataset)]
        case .mixture(let mixture): sources = mixture.sources.map { ($0.name, $0.dataset) }
        case .images(let images):
            return ["\(images.trainCount) training images of \(images.classes.count) classes"]
        }
        let total = run.steps * batch.sequences
        let counts: [Int]
        if case .mixture(let mixture) = data {
            counts = self.data.mixture(
                tokens: mixture.tokenCounts, sequences: batch.sequences
            ).counts(before: total)
        } else {
            counts = [total]
        }
        var lines = [
            "\(run.steps) steps of \(batch.sequences) samples: \(total) in all, vocabulary "
                + "\(data.vocabulary.count)"
        ]
        for (source, count) in zip(sources, counts) {
            let stream = source.dataset.train
            let documents = stream.documentCount.map { "\($0) documents, " } ?? ""
            let perEpoch = try samplesPerEpoch(of: source.dataset)
            let share = total == 0 ? 0 : 100 * Double(count) / Double(total)
            lines.append(
                "\(source.name): \(stream.kind.name), \(documents)\(stream.count) tokens an epoch; "
                    + "\(count) samples (\(String(format: "%.4g", share)) %), "
                    + "\(String(format: "%.4g", Double(count) / Double(perEpoch))) epochs of \(perEpoch)"
            )
        }
        return lines
    }

    /// The part of all targets that are padding or hidden from the loss, over the first samples.
    private func padding(of source: any BatchSource) throws(DatasetError) -> String {
        var (targets, counted) = (0, 0)
        for sample in 0..<Self.surveyed {
            let batch = try source.trainingBatch(position: sample, microBatch: 0)
            targets += batch.weights.count
            counted += batch.weights.count { $0 > 0 }
        }
        let share = 100 * (1 - Double(counted) / Double(max(1, targets)))
        return String(
            format: "not counted: %.4g %% of the targets of the first %d samples", share,
            Self.surveyed)
    }

    // MARK: A sample

    private func description(
        of sample: Int, from source: any BatchSource, _ data: RunData
    ) throws(DatasetError) -> [String] {
        let batch = try source.trainingBatch(position: sample, microBatch: 0)
        var lines = ["sample \(sample)\(origin(of: sample, data))"]
        guard let tokenizer = data.tokenizer else {
            return lines + batch.fields.map { "  \($0.name): \($0.extents)" }
        }
        for row in 0..<batch.sequences {
            if batch.sequences > 1 { lines.append("  row \(row)") }
            let text = SampleText(batch, row: row, tokenizer)
            lines += text.lines.map { "  " + $0 }
        }
        return lines
    }

    private func origin(of sample: Int, _ data: RunData) -> String {
        guard case .mixture(let mixture) = data else { return "" }
        let place = self.data.mixture(
            tokens: mixture.tokenCounts, sequences: batch.sequences
        ).place(of: sample)
        return ": \(mixture.sources[place.source].name), its sample \(place.sample)"
    }
}

extension RunData {
    fileprivate var tokenizer: Tokenizer? {
        switch self {
        case .text(let dataset): dataset.tokenizer
        case .mixture(let mixture): mixture.tokenizer
        case .images: nil
        }
    }
}

/// A row of a batch as text.
private struct SampleText {
    private let batch: Batch
    private let row: Int
    private let tokenizer: Tokenizer

    init(_ batch: Batch, row: Int, _ tokenizer: Tokenizer) {
        (self.batch, self.row, self.tokenizer) = (batch, row, tokenizer)
    }

    var lines: [String] {
        typealias Name = Batch.Name
        let targets = integers(Name.targets) ?? []
        let weights = rowOfWeights
        var lines: [String] = []
        if let tokens = integers(Name.tokens) {
            let length = integers(Name.lengths)?.first.map { Int($0) } ?? tokens.count
            lines.append("tokens   \(text(tokens.prefix(length)))")
            if length < tokens.count { lines.append("padding  \(tokens.count - length) tokens") }
        }
        if let places = integers(Name.places) {
            for (place, target) in zip(places, targets) where place >= 0 {
                lines.append("hidden   at \(place): \(text([target]))")
            }
        } else if let decoder = integers("decoder_tokens") {
            lines.append("decoder  \(text(decoder))")
            lines += runs(targets, weights)
        } else if targets.count == weights.count, targets.count > 1 {
            lines += runs(targets, weights)
        } else if let label = targets.first {
            lines.append("class    \(label)")
        }
        return lines
    }

    /// Targets by whether they count.
    private func runs(_ targets: [Int32], _ weights: [Float]) -> [String] {
        var lines: [String] = []
        var start = 0
        while start < targets.count {
            let counts = weights[start] > 0
            var end = start
            while end < targets.count, (weights[end] > 0) == counts { end += 1 }
            let run = targets[start..<end]
            if counts {
                lines.append("counted  \(text(run))")
            } else {
                let known = run.filter { $0 >= 0 }
                lines.append(
                    "left out \(end - start) targets" + (known.isEmpty ? "" : ": \(text(known))"))
            }
            start = end
        }
        return lines
    }

    private var rowOfWeights: [Float] {
        let columns = batch.weights.count / max(1, batch.sequences)
        return Array(batch.weights[row * columns..<(row + 1) * columns])
    }

    private func integers(_ name: String) -> [Int32]? {
        guard let field = batch.fields.first(where: { $0.name == name }),
            case .integers(let values) = field.values
        else { return nil }
        let columns = field.extents.reduce(1, *)
        return Array(values[row * columns..<(row + 1) * columns])
    }

    /// Decoded, with a mark where a document begins, and numbers for what the tokenizer does not have.
    private func text(_ tokens: some Sequence<Int32>) -> String {
        var (text, pending): (String, [Int32]) = ("\"", [])
        func flush() {
            text += tokenizer.decode(pending).printable(most: 4096)
            pending = []
        }
        let end = tokenizer.endOfText.map { Int32($0) }
        for token in tokens {
            if token == end {
                flush()
                text += "⟦end of text⟧"
            } else if token < 0 || Int(token) >= tokenizer.vocabularySize {
                flush()
                text += "⟦\(token)⟧"
            } else {
                pending.append(token)
            }
        }
        flush()
        return text + "\""
    }
}
