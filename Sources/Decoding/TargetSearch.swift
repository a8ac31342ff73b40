// Targets of an encoder–decoder by beam search: the encoder reads the sources once, the decoder goes on token by token with
// the hypotheses that the search wants, and what is finished leaves the batch.

import BeamSearch
import Layers
import Models
import Tensors

/// Writes the best targets of several sources side by side. Each comes out as it does alone.
///
/// - Parameters:
///   - sources: tokens with their marks, at least one each and at most as many as the model takes.
///   - targets: what differs between them, one for each; lengths are within the model's limit.
///   - vocabulary: ids below it are written; a model may have more, as padding.
/// - Returns: of each source the best targets, the best first.
///
/// Collective over the ranks that hold the model together: all find the same.
public func findTargets(
    of sources: [[Int32]], _ targets: [BeamSource], by model: any EncoderDecoder,
    vocabulary: Int, _ options: BeamOptions
) -> [[Hypothesis]] {
    precondition(
        sources.count == targets.count && sources.allSatisfy { !$0.isEmpty },
        "findTargets: expected \(targets.count) sources with tokens, got \(sources.count)")
    var beams = Beams(sources: targets, vocabulary: vocabulary, options: options)
    guard !beams.isFinished else { return sources.map { _ in [] } }
    let memory = model.encode(ModelInput(sources: sources), Pass())
    var rows = SearchRows(beams.alive)
    var cache = KeyValueCache(rows: rows.count, capacity: model.lengthLimits.target)
    while !beams.isFinished {
        let tokens = rows.perRow(beams.alive.compactMap(\.tokens.last))
        let logits = model.nextLogits(
            tokens, sourceLengths: rows.sources.map { sources[$0].count }, memory: memory, cache)
        let parents = beams.advance(logits: rows.places.map { logits[$0] })
        guard !beams.isFinished else { break }
        let next = SearchRows(beams.alive)
        let kept = next.sources.compactMap { rows.sources.firstIndex(of: $0) }
        cache = cache.selecting(
            next.perRow(parents.map { rows.places[$0] }),
            memories: kept.count == rows.sources.count ? nil : kept)
        rows = next
    }
    return sources.indices.map { beams.results(of: $0) }
}

/// Where hypotheses stand in a batch: as many rows for each source that goes on, of which those without a hypothesis repeat
/// the source's first.
private struct SearchRows {
    /// Those that go on, ascending.
    let sources: [Int]
    /// The row of each hypothesis.
    let places: [Int]
    /// The hypothesis of each row.
    private let hypotheses: [Int]

    var count: Int { hypotheses.count }

    init(_ alive: [Beams.Row]) {
        var groups: [(source: Int, members: [Int])] = []
        for (index, row) in alive.enumerated() {
            if groups.last?.source == row.source {
                groups[groups.count - 1].members.append(index)
            } else {
                groups.append((row.source, [index]))
            }
        }
        let width = groups.map(\.members.count).max() ?? 0
        sources = groups.map(\.source)
        hypotheses = groups.flatMap { group in
            (0..<width).map { group.members[$0 < group.members.count ? $0 : 0] }
        }
        places = groups.enumerated().flatMap { number, group in
            group.members.indices.map { number * width + $0 }
        }
    }

    func perRow<Value>(_ values: [Value]) -> [Value] { hypotheses.map { values[$0] } }
}

extension ModelInput {
    /// Sources padded at their ends to the longest.
    package init(sources: [[Int32]]) {
        let length = sources.map(\.count).max() ?? 0
        let padded = sources.flatMap { $0 + [Int32](repeating: 0, count: length - $0.count) }
        self.init(
            fields: [
                "tokens": Tensor(integers: padded, shape: [sources.count, length]),
                "lengths": Tensor(
                    integers: sources.map { Int32($0.count) }, shape: [sources.count]),
            ], weights: Tensor(zeros: [padded.count]))
    }
}

extension EncoderDecoder {
    /// Takes the next token of each row into the cache; returns the logits after it, of the whole vocabulary.
    ///
    /// - Parameter sourceLengths: of the sources that the cache has, each of as many rows.
    package func nextLogits(
        _ tokens: [Int32], sourceLengths: [Int], memory: Tensor, _ cache: KeyValueCache
    ) -> [[Float]] {
        let input = ModelInput(
            fields: [
                "decoder_tokens": Tensor(integers: tokens, shape: [tokens.count, 1]),
                "lengths": Tensor(
                    integers: sourceLengths.map { Int32($0) }, shape: [sourceLengths.count]),
            ], weights: Tensor(zeros: [tokens.count]))
        let pass = Pass(cache: cache)
        let features = decode(input, memory: memory, pass)
        cache.advance(by: tokens.map { _ in 1 })
        return output.wholeLogits(features, pass)
    }
}
