// From logits to a token: what changes them, in a chain, then a draw.

import Foundation
import Kernels

/// How the next token is drawn.
public struct Sampling: Hashable, Sendable {
    /// Logits are divided by it; 0 takes the most probable token.
    public var temperature: Double
    /// Only the k most probable tokens; nil: all.
    public var topK: Int?
    /// Only the smallest set of most probable tokens whose probabilities reach this sum (Holtzman et al.
    /// 2020); nil: all.
    public var topP: Double?
    /// Only tokens at least so probable as this part of the most probable one (Nguyen et al. 2024); nil: all.
    public var minP: Double?
    /// Logits of tokens that are in the text already are divided by it where they are positive, else multiplied (Keskar
    /// et al. 2019); 1: no penalty.
    public var repetitionPenalty: Double
    public var seed: UInt64

    public init(
        temperature: Double = 1, topK: Int? = nil, topP: Double? = nil, minP: Double? = nil,
        repetitionPenalty: Double = 1, seed: UInt64 = 0
    ) {
        (self.temperature, self.topK, self.topP, self.minP) = (temperature, topK, topP, minP)
        (self.repetitionPenalty, self.seed) = (repetitionPenalty, seed)
    }

    /// Draws from logits; a function of the seed, of `number`, and of `position`, that of the token in the text.
    ///
    /// - Parameters:
    ///   - text: the tokens so far.
    ///   - number: of the text among those that are drawn from one prompt.
    public func draw(
        from logits: [Float], after text: some Collection<Int32> = EmptyCollection(),
        number: Int = 0, position: Int
    ) -> Int32 {
        let logits = penalised(logits, text)
        guard temperature > 0 else { return Int32(mostProbable(logits)) }
        var candidates = Candidates(logits, temperature: temperature, sorted: sortedCount(logits))
        if let topP { candidates.keep(mass: topP) }
        if let minP { candidates.keep(above: minP) }
        let name = number == 0 ? "sampling" : "sampling/\(number)"
        let stream = RandomStream(seed: seed, stream: RandomStream.stream(named: name))
        return candidates.draw(stream.uniform(at: UInt64(position)))
    }

    private func penalised(_ logits: [Float], _ text: some Collection<Int32>) -> [Float] {
        guard repetitionPenalty != 1 else { return logits }
        var logits = logits
        for token in Set(text) where logits.indices.contains(Int(token)) {
            let logit = Double(logits[Int(token)])
            logits[Int(token)] =
                Float(logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty)
        }
        return logits
    }

    /// Of equals the first, so that a draw is the same everywhere.
    private func mostProbable(_ logits: [Float]) -> Int {
        logits.withUnsafeBufferPointer { logits in
            var best = 0
            for index in logits.indices where logits[index] > logits[best] { best = index }
            return best
        }
    }

    /// How many of the most probable tokens must be known in order; nil: none.
    private func sortedCount(_ logits: [Float]) -> Int? {
        if let topK { return min(topK, logits.count) }
        return topP != nil || minP != nil ? logits.count : nil
    }
}

/// Tokens that may be drawn, with weights in proportion to their probabilities.
private struct Candidates {
    private var tokens: [Int]
    private var weights: [Double]

    /// - Parameter sorted: how many, the most probable first and of equals the lower id; nil: all, by id.
    init(_ logits: [Float], temperature: Double, sorted count: Int?) {
        if let count {
            tokens = Array(Candidates.ranked(logits, count))
        } else {
            tokens = Array(logits.indices)
        }
        let peak = Double(logits.max() ?? 0)
        weights = tokens.map { exp((Double(logits[$0]) - peak) / temperature) }
    }

    /// The `count` highest. Few of many are found without sorting all.
    private static func ranked(_ logits: [Float], _ count: Int) -> ArraySlice<Int> {
        func isBefore(_ a: Int, _ b: Int) -> Bool {
            logits[a] != logits[b] ? logits[a] > logits[b] : a < b
        }
        guard count < logits.count / 8 else {
            return logits.indices.sorted(by: isBefore).prefix(count)
        }
        var best = Array(0..<count).sorted(by: isBefore)
        for index in count..<logits.count where isBefore(index, best[count - 1]) {
            var place = count - 1
            while place > 0 && isBefore(index, best[place - 1]) {
                best[place] = best[place - 1]
                place -= 1
            }
            best[place] = index
        }
        return best[...]
    }

    /// Those whose weights together reach a part of the whole.
    mutating func keep(mass: Double) {
        let limit = mass * weights.reduce(0, +)
        var (sum, kept) = (0.0, 0)
        while kept < weights.count && (kept == 0 || sum < limit) {
            sum += weights[kept]
            kept += 1
        }
        cut(to: kept)
    }

    /// Those whose weight is at least a part of the first one's.
    mutating func keep(above part: Double) {
        cut(to: max(1, weights.firstIndex { $0 < part * weights[0] } ?? weights.count))
    }

    private mutating func cut(to count: Int) {
        tokens.removeSubrange(count...)
        weights.removeSubrange(count...)
    }

    /// - Parameter uniform: in [0, 1).
    func draw(_ uniform: Double) -> Int32 {
        var left = uniform * weights.reduce(0, +)
        for (token, weight) in zip(tokens, weights) {
            left -= weight
            if left < 0 { return Int32(token) }
        }
        return Int32(tokens.last ?? 0)
    }
}
