// How good texts are beside references: the metrics of the field by their names, of files, and of what a checkpoint's
// model writes for the sources of its validation split.

import Communication
import Datasets
import Metrics

/// A metric of texts.
public enum TextMetric: String, Sendable, CaseIterable {
    case bleu
    case chrF = "chrf"
    case chrFPlusPlus = "chrf++"
    case rouge1, rouge2, rougeL

    /// What a metric says of many texts.
    public struct Result: Sendable, Equatable {
        public let name: String
        /// From 0 to 100.
        public let value: Double
        /// How it was computed, as `sacrebleu` writes it; ROUGE has none.
        public let signature: String?

        /// For a person.
        public var line: String {
            let rounded = (value * 100).rounded() / 100
            return "\(name)\(signature.map { "|\($0)" } ?? "") = \(rounded)"
        }
    }

    /// Of texts, each with one reference or several.
    public func score(_ texts: [String], references: [[String]]) -> Result {
        let count = referenceCount(of: references)
        switch self {
        case .bleu:
            let metric = BLEU()
            return Result(
                name: metric.name, value: metric.score(texts, references: references).score,
                signature: metric.signature(referenceCount: count))
        case .chrF, .chrFPlusPlus:
            let metric = self == .chrF ? ChrF() : ChrF.plusPlus
            return Result(
                name: metric.name, value: metric.score(texts, references: references),
                signature: metric.signature(referenceCount: count))
        case .rouge1: return rouge(.unigrams, texts, references)
        case .rouge2: return rouge(.bigrams, texts, references)
        case .rougeL: return rouge(.subsequence, texts, references)
        }
    }

    private func rouge(
        _ variant: ROUGE.Variant, _ texts: [String], _ references: [[String]]
    ) -> Result {
        let metric = ROUGE(variant)
        return Result(
            name: metric.name, value: 100 * metric.score(texts, references: references).fMeasure,
            signature: nil)
    }
}

extension TrainedModel {
    /// What the metrics say of the targets that a search finds for the validation split's sources. Collective over `world`.
    ///
    /// - Parameter limit: pairs from the split's start; nil: all.
    public func score(
        _ metrics: [TextMetric], limit: Int? = nil, _ options: TranslationOptions, world: World
    ) throws(RunError) -> [TextMetric.Result] {
        let pairs = try world.communicator.together(
            world.placement.hostName, on: "reading pairs"
        ) { () throws(RunError) in try validationPairs(limit) }
        let found = try translate(pairs.map(\.source), options, world: world)
        let texts = found.map { $0.first?.text ?? "" }
        return metrics.map { $0.score(texts, references: pairs.map { [$0.target] }) }
    }

    private func validationPairs(
        _ limit: Int?
    ) throws(RunError) -> [(source: String, target: String)] {
        let tokenizer = try tokenizer()
        var pairs: [(source: String, target: String)] = []
        for dataset in try configuration.openDataset().prepared {
            guard let stream = dataset.validation else { continue }
            do throws(DatasetError) {
                let records = try RecordShards(stream, kind: .pairs)
                for number in 0..<min(records.count, (limit ?? .max) - pairs.count) {
                    let record = try records.record(number)
                    func text(_ role: RecordRole) -> String {
                        tokenizer.decode(record.parts.filter { $0.role == role }.flatMap(\.tokens))
                    }
                    pairs.append((text(.source), text(.target)))
                }
            } catch {
                throw RunError(error)
            }
        }
        guard !pairs.isEmpty else {
            throw RunError(.data, "data: expected a validation split of pairs, found none")
        }
        return pairs
    }
}
