// The fixture of searches: settings, sources and what `generate` of transformers found for them.

import BeamSearch
import Foundation

struct SearchCase: Decodable {
    struct Settings: Decodable {
        var beams: Int
        var penalty: Double
        var early: String
        var results: Int
        var minimum: Int
        var maximum: Int
        var ngram: Int
        var repetition: Float
        var forcedFirst: Int32?
        var forcedLast: Int32?
        var suppressed: [Int32]
        var prefix: [Int32]
        var vocabulary: Int
        var ends: [Int32]
    }
    struct Result: Decodable {
        var tokens: [Int32]
        /// None where the search was greedy.
        var score: Float?
    }

    var settings: Settings
    var sources: [Int]
    /// Of each source the best first.
    var results: [[Result]]

    static func load(_ url: URL) throws -> [SearchCase] {
        try JSONDecoder().decode([SearchCase].self, from: Data(contentsOf: url))
    }

    static func fixture() throws -> [SearchCase] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
        return try load(folder.appending(path: "Fixtures/search.json"))
    }

    var options: BeamOptions {
        var options = BeamOptions(beams: settings.beams, start: 1, ends: settings.ends)
        options.results = settings.results
        options.lengthPenalty = .power(settings.penalty)
        options.earlyStopping = EarlyStopping(rawValue: settings.early) ?? .heuristic
        (options.minimumLength, options.maximumLength) = (settings.minimum, settings.maximum)
        options.noRepeatNgram = settings.ngram
        options.repetitionPenalty = settings.repetition
        (options.forcedFirst, options.forcedLast) = (settings.forcedFirst, settings.forcedLast)
        options.suppressed = settings.suppressed
        return options
    }

    var model: HashedModel {
        HashedModel(vocabulary: settings.vocabulary, ends: settings.ends)
    }

    /// Our results of each source, all in one batch.
    func search(_ options: BeamOptions) -> [[Hypothesis]] {
        let inputs = sources.map { _ in BeamSource(prefix: settings.prefix) }
        return model.search(inputs, numbers: sources, options)
    }

    /// How many sources have other results, and how far scores are apart at most where texts are
    /// equal.
    func compare(_ found: [[Hypothesis]]) -> (different: Int, distance: Float) {
        var different = 0
        var distance: Float = 0
        for (found, expected) in zip(found, results) {
            // A slot that no text filled has a score of about −10⁹ there.
            let expected = expected.filter { $0.score ?? 0 > -1e8 }
            if found.map(\.tokens) != expected.map(\.tokens) {
                different += 1
                continue
            }
            for (found, expected) in zip(found, expected) {
                distance = max(distance, abs(found.score - (expected.score ?? found.score)))
            }
        }
        return (different, distance)
    }
}

extension HashedModel {
    /// Searches a batch to its end.
    func search(
        _ sources: [BeamSource], numbers: [Int], _ options: BeamOptions
    ) -> [[Hypothesis]] {
        var beams = Beams(sources: sources, vocabulary: vocabulary, options: options)
        while !beams.isFinished {
            let rows = beams.alive.map { logits(source: numbers[$0.source], after: $0.tokens) }
            _ = beams.advance(logits: rows)
        }
        return sources.indices.map { beams.results(of: $0) }
    }
}
