// From logits to tokens.

import Foundation
import Kernels
import Tensors

/// How the next token is drawn.
public struct Sampling: Hashable, Sendable {
    /// Logits are divided by it; 0 takes the most probable token.
    public var temperature: Double
    /// Only the k most probable tokens; nil: all.
    public var topK: Int?
    /// Only the smallest set of most probable tokens whose probabilities reach this sum (Holtzman et al.
    /// 2020); nil: all.
    public var topP: Double?
    public var seed: UInt64

    public init(temperature: Double = 1, topK: Int? = nil, topP: Double? = nil, seed: UInt64 = 0) {
        (self.temperature, self.topK, self.topP, self.seed) = (temperature, topK, topP, seed)
    }

    /// Draws from logits; a function of the seed and `position`, the number of the token in the text.
    public func draw(from logits: [Float], position: Int) -> Int32 {
        // Equal logits keep the order of their ids, so that a draw is the same everywhere.
        let ranked = logits.indices.sorted {
            logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1
        }
        guard temperature > 0, let best = ranked.first else { return Int32(ranked.first ?? 0) }
        var candidates = Array(ranked.prefix(topK ?? ranked.count))
        let peak = Double(logits[best])
        var weights = candidates.map { exp((Double(logits[$0]) - peak) / temperature) }
        if let topP {
            let limit = topP * weights.reduce(0, +)
            var (sum, kept) = (0.0, 0)
            while kept < weights.count && (kept == 0 || sum < limit) {
                sum += weights[kept]
                kept += 1
            }
            candidates.removeSubrange(kept...)
            weights.removeSubrange(kept...)
        }
        let stream = RandomStream(seed: seed, stream: RandomStream.stream(named: "sampling"))
        var left = stream.uniform(at: UInt64(position)) * weights.reduce(0, +)
        for (candidate, weight) in zip(candidates, weights) {
            left -= weight
            if left < 0 { return Int32(candidate) }
        }
        return Int32(candidates.last!)
    }
}

/// Continues `prompt` (at least one token) by up to `count` tokens.
///
/// - Parameters:
///   - vocabulary: ids below it are drawn; a model may have more, as padding.
///   - end: a token that ends the text; it is not returned.
///   - onToken: called with each token as it is drawn.
/// - Returns: the new tokens.
public func generate<Failure: Error>(
    _ model: some Generative, prompt: [Int32], count: Int, sampling: Sampling,
    vocabulary: Int? = nil,
    end: Int32? = nil,
    onToken: (Int32) throws(Failure) -> Void
) throws(Failure) -> [Int32] {
    var state = DecodingState()
    var pending = prompt
    var drawn: [Int32] = []
    while drawn.count < count {
        let logits = model.nextLogits(after: pending, state: &state)
        let candidates = Array(logits.array.prefix(vocabulary ?? .max))
        let token = sampling.draw(from: candidates, position: prompt.count + drawn.count)
        if token == end { break }
        drawn.append(token)
        try onToken(token)
        pending = [token]
    }
    return drawn
}
