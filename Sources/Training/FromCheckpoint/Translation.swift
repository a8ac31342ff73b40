// Lines from a checkpoint's encoder–decoder: each source becomes the best target that a search finds, in the order of the
// lines, whatever stands beside them.

import BeamSearch
import Communication
import Datasets
import Decoding
import Foundation
import Models

/// How targets are looked for.
public struct TranslationOptions: Sendable, Hashable {
    /// Hypotheses side by side; 1: greedy.
    public var beams = 4
    /// Targets of each source, the best first.
    public var results = 1
    /// α of the length penalty.
    public var lengthPenalty = 1.0
    /// Whether the penalty is that of Wu et al. 2016 and not of transformers.
    public var isWu = false
    public var earlyStopping = EarlyStopping.heuristic
    /// Tokens of a target, at least, and at most; nil: twice its source's and 10.
    public var minimumLength = 0
    public var maximumLength: Int?
    public var noRepeatNgram = 0
    public var repetitionPenalty = 1.0
    /// Groups of diverse beams, and what a token of an earlier group costs.
    public var groups = 1
    public var diversityPenalty = 0.0
    /// What every target begins with.
    public var prefix = ""

    public init() {}
}

/// A target of a source.
public struct Translation: Sendable, Codable, Equatable {
    public let source: String
    /// Among the targets of its source, from 0.
    public let rank: Int
    public let text: String
    /// What targets are ordered by.
    public let score: Double
    /// Σ log p of its tokens, nats.
    public let logProbability: Double
    /// The end among them.
    public let tokens: Int
    /// Whether its source was longer than the model takes, and its end not seen.
    public let isCut: Bool

    enum CodingKeys: String, CodingKey {
        case source, rank, text, score, tokens
        case logProbability = "log_probability"
        case isCut = "cut"
    }
}

extension TrainedModel {
    /// Tokens of sources that are searched for side by side, at most.
    fileprivate static let batchTokens = 2048

    /// Targets of each line, in the order of the lines; with a world, whose ranks each have the whole model, they share the
    /// lines, and all return all. Collective over `world`.
    public func translate(
        _ lines: [String], _ options: TranslationOptions, world: World? = nil
    ) throws(RunError) -> [[Translation]] {
        let translator = try Translator(self, options)
        guard let world else {
            return try translator.translate(lines, try translator.batches(of: lines))
        }
        let own = try world.communicator.together(
            world.placement.hostName, on: "translating"
        ) { () throws(RunError) in
            let batches = try translator.batches(of: lines).enumerated().filter {
                $0.offset % world.size == world.rank
            }
            return try translator.translate(lines, batches.map(\.element))
        }
        let texts = try world.communicator.gather(JSON.text(own))
        let all = texts.map { JSON.value($0, as: [[Translation]].self) }
        return lines.indices.map { line in all.first { !$0[line].isEmpty }?[line] ?? [] }
    }
}

/// What ranks tell each other.
private enum JSON {
    static func text(_ value: some Encodable) -> String {
        ((try? JSONEncoder().encode(value)) ?? Data()).base64EncodedString()
    }

    static func value<Value: Decodable>(_ text: String, as type: Value.Type) -> Value {
        guard let data = Data(base64Encoded: text),
            let value = try? JSONDecoder().decode(type, from: data)
        else { preconditionFailure("translate: a rank told something else than translations") }
        return value
    }
}

private struct Translator {
    private let model: any EncoderDecoder
    private let tokenizer: Tokenizer
    private let marks: SequenceMarks
    private let prefix: [Int32]
    private let options: TranslationOptions
    private let search: BeamOptions

    init(_ trained: TrainedModel, _ options: TranslationOptions) throws(RunError) {
        guard let model = trained.model as? any EncoderDecoder,
            case .pair(let pair) = trained.configuration.model.shape.sample
        else {
            throw RunError(
                .usage,
                "model.family: expected one that makes one sequence of another, found "
                    + trained.configuration.model.family.rawValue)
        }
        tokenizer = try trained.tokenizer()
        let symbols = tokenizer.vocabularySize
        let found = pair.marks(symbols: symbols, endOfText: tokenizer.endOfText)
        (self.model, self.options) = (model, options)
        self.marks = SequenceMarks(
            start: Int32(found.start), begin: found.begin.map { Int32($0) },
            end: Int32(found.end))
        var search = BeamOptions(
            beams: options.beams, start: Int32(found.start), ends: [Int32(found.end)])
        search.results = options.results
        search.lengthPenalty =
            options.isWu ? .wu(options.lengthPenalty) : .power(options.lengthPenalty)
        search.earlyStopping = options.earlyStopping
        search.minimumLength = options.minimumLength
        search.noRepeatNgram = options.noRepeatNgram
        search.repetitionPenalty = Float(options.repetitionPenalty)
        (search.groups, search.diversityPenalty) =
            (options.groups, Float(options.diversityPenalty))
        // What the tokenizer lacks is no text, and a start stands before targets alone.
        let marks = [found.start, found.begin, found.end].compactMap { $0 }
        search.suppressed = (symbols..<max(symbols, model.output.classCount)).filter {
            !marks.contains($0)
        }.map { Int32($0) }
        if found.start != found.end { search.suppressed.append(Int32(found.start)) }
        do {
            try search.validate(vocabulary: model.output.classCount)
        } catch {
            throw RunError(.usage, error.description)
        }
        self.search = search
        do throws(DatasetError) {
            prefix = options.prefix.isEmpty ? [] : try tokenizer.encode(options.prefix)
        } catch {
            throw RunError(.usage, "--prefix: \(error.message)")
        }
    }

    /// A line on its way.
    struct Source {
        let number: Int
        let tokens: [Int32]
        let isCut: Bool
    }

    /// Lines of about the same length, the longest first.
    func batches(of lines: [String]) throws(RunError) -> [[Source]] {
        let limit = model.lengthLimits.source
        var sources: [Source] = []
        for (number, line) in lines.enumerated() {
            let ids: [Int32]
            do throws(DatasetError) {
                ids = try tokenizer.encode(line)
            } catch {
                throw RunError(.data, "line \(number + 1): \(error.message)")
            }
            let marked = marks.around(ids, limit: limit)
            sources.append(
                Source(
                    number: number, tokens: marked, isCut: marked.count < ids.count + marks.count))
        }
        sources.sort { ($1.tokens.count, $0.number) < ($0.tokens.count, $1.number) }
        var batches: [[Source]] = []
        var room = 0
        for source in sources {
            // Rows are as long as the first of a batch.
            if let length = batches.last?.first?.tokens.count, room >= length {
                batches[batches.count - 1].append(source)
                room -= length
            } else {
                batches.append([source])
                room = TrainedModel.batchTokens - source.tokens.count
            }
        }
        return batches
    }

    /// Of each line what was found, where its batch is among those.
    func translate(
        _ lines: [String], _ batches: [[Source]]
    ) throws(RunError) -> [[Translation]] {
        var results = lines.map { _ in [Translation]() }
        for batch in batches {
            let targets = batch.map { source in
                BeamSource(
                    prefix: (marks.begin.map { [$0] } ?? []) + prefix,
                    maximumLength: maximumLength(of: source))
            }
            let found = findTargets(
                of: batch.map(\.tokens), targets, by: model, vocabulary: model.output.classCount,
                search)
            for (source, hypotheses) in zip(batch, found) {
                results[source.number] = hypotheses.enumerated().map { rank, hypothesis in
                    translation(of: lines[source.number], rank, hypothesis, source)
                }
            }
        }
        return results
    }

    private func maximumLength(of source: Source) -> Int {
        let limit = model.lengthLimits.target
        return max(1, min(limit, options.maximumLength ?? 2 * source.tokens.count + 10))
    }

    private func translation(
        of line: String, _ rank: Int, _ hypothesis: Hypothesis, _ source: Source
    ) -> Translation {
        let around = [marks.start, marks.begin, marks.end].compactMap { $0 }
        let text = hypothesis.tokens.filter {
            !around.contains($0) && Int($0) < tokenizer.vocabularySize
        }
        return Translation(
            source: line, rank: rank, text: tokenizer.decode(text),
            score: Double(hypothesis.score), logProbability: Double(hypothesis.logProbability),
            tokens: hypothesis.tokens.count, isCut: source.isCut)
    }
}
