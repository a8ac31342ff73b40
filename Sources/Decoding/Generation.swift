// Texts continued token by token: prompts go in at once, then each new token by itself, since the model's cache has
// the keys and values of all before it.

import Layers
import Models
import Tensors

/// What continues texts, and until when.
public struct Generation: Sendable {
    /// New tokens of a text, at most.
    public var count: Int
    public var sampling: Sampling
    /// Tokens that end a text; they are not returned.
    public var ends: Set<Int32>
    /// Ids below it are drawn; a model may have more, as padding. nil: all.
    public var vocabulary: Int?

    public init(
        count: Int, sampling: Sampling, ends: Set<Int32> = [], vocabulary: Int? = nil
    ) {
        (self.count, self.sampling) = (count, sampling)
        (self.ends, self.vocabulary) = (ends, vocabulary)
    }
}

/// Tokens of a prompt that go through the model at once.
private let prefillLength = 512

/// Continues several texts side by side. Each comes out with the tokens that it has alone.
///
/// - Parameters:
///   - prompts: at least one token each.
///   - numbers: of each text among those drawn from its prompt.
///   - onToken: called with each token as it is drawn, and the number of its prompt; false ends that text, of which
///     the token is still a part.
/// - Returns: the new tokens of each.
///
/// Collective over the ranks that hold the model together: all draw the same tokens.
public func generate<Failure: Error>(
    _ model: any Generative, prompts: [[Int32]], numbers: [Int]? = nil, _ generation: Generation,
    onToken: (_ prompt: Int, _ token: Int32) throws(Failure) -> Bool
) throws(Failure) -> [[Int32]] {
    precondition(
        prompts.allSatisfy { !$0.isEmpty }, "generate: expected at least one token to continue")
    var texts = prompts
    var drawn = prompts.map { _ in 0 }
    /// The texts that go on, in the order of the cache's rows.
    var active = generation.count > 0 ? Array(prompts.indices) : []
    var decoder = CachedDecoder(model, rows: active.count)
    var pending = prompts
    while !active.isEmpty {
        let logits = decoder.next(after: pending, texts: active.map { texts[$0] })
        var kept: [Int] = []
        for (row, prompt) in active.enumerated() {
            let token = generation.sampling.draw(
                from: Array(logits[row].prefix(generation.vocabulary ?? .max)),
                after: texts[prompt], number: numbers?[prompt] ?? 0,
                position: texts[prompt].count)
            if generation.ends.contains(token) { continue }
            texts[prompt].append(token)
            drawn[prompt] += 1
            let goesOn = try onToken(prompt, token)
            if goesOn && drawn[prompt] < generation.count { kept.append(row) }
        }
        decoder.keep(rows: kept)
        active = kept.map { active[$0] }
        pending = active.map { [texts[$0][texts[$0].count - 1]] }
    }
    return zip(texts, prompts).map { Array($0.dropFirst($1.count)) }
}

/// A model with what it has seen of some texts.
private struct CachedDecoder {
    private let model: any Generative
    private var cache: KeyValueCache

    init(_ model: any Generative, rows: Int) {
        self.model = model
        cache = KeyValueCache(rows: rows, capacity: model.contextLength)
    }

    /// The logits of the token after each text, of which `pending` tokens are new.
    ///
    /// A text that is longer than the context is seen as its end alone, with positions from 0, which takes a pass over
    /// all of that for each token.
    mutating func next(after pending: [[Int32]], texts: [[Int32]]) -> [[Float]] {
        let length = model.contextLength
        let isRoomy = zip(cache.lengths, pending).allSatisfy { $0 + $1.count <= length }
        guard isRoomy else {
            cache = KeyValueCache(rows: texts.count, capacity: length)
            return advance(texts.map { Array($0.suffix(length)) })
        }
        return advance(pending)
    }

    /// Several tokens of each row in blocks, so that a long prompt takes no more memory than a block.
    private func advance(_ tokens: [[Int32]]) -> [[Float]] {
        var results = tokens.map { _ in [Float]() }
        let longest = tokens.map(\.count).max() ?? 0
        for start in stride(from: 0, to: longest, by: prefillLength) {
            let parts = tokens.map { Array($0.dropFirst(start).prefix(prefillLength)) }
            let logits = model.nextLogits(after: parts, cache)
            for row in tokens.indices where !parts[row].isEmpty { results[row] = logits[row] }
        }
        return results
    }

    /// Goes on with some of the rows.
    mutating func keep(rows: [Int]) {
        guard rows.count < cache.rows, !rows.isEmpty else { return }
        cache = cache.selecting(rows)
    }
}

extension Generative {
    /// Takes the next tokens of each row, some of which may have none, into the cache; returns the logits after the
    /// last one of each, of the whole vocabulary. Collective over the ranks that hold the model together.
    package func nextLogits(after tokens: [[Int32]], _ cache: KeyValueCache) -> [[Float]] {
        let length = tokens.map(\.count).max() ?? 0
        let padded = tokens.flatMap { $0 + Array(repeating: 0, count: length - $0.count) }
        let input = ModelInput(
            fields: ["tokens": Tensor(integers: padded, shape: [tokens.count, length])],
            weights: Tensor(zeros: [padded.count]))
        let pass = Pass(cache: cache)
        let features = features(of: input, pass)
        cache.advance(by: tokens.map(\.count))
        let last = tokens.enumerated().map { $0 * length + max(0, $1.count - 1) }
        return output.wholeLogits(features.selectingRows(last), pass)
    }
}
