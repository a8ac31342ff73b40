// Texts on their way, and those that ended.

import Foundation

/// A finished text.
public struct Hypothesis: Sendable, Hashable {
    /// Those generated: without the start token, with the end token if it has one.
    public var tokens: [Int32]
    /// What hypotheses are ordered by: the log-probability over the length penalty, and the
    /// coverage.
    public var score: Float
    /// The sum of the tokens' log-probabilities, natural logarithms; a forced token counts 0.
    public var logProbability: Float
}

/// A text that goes on.
struct Partial: Sendable {
    /// The start token and those generated.
    var text: [Int32]
    var logProbability: Float = 0
    /// Σⱼ pᵢⱼ of each place of the source; empty without a coverage penalty.
    var coverage: [Float] = []

    /// The text after a token at which it looked at the source.
    func covering(_ attention: [Float]) -> Partial {
        var partial = self
        if coverage.isEmpty {
            partial.coverage = attention
        } else {
            precondition(
                attention.count == coverage.count,
                "attention: expected \(coverage.count) places of the source, got \(attention.count)"
            )
            for place in attention.indices { partial.coverage[place] += attention[place] }
        }
        return partial
    }
}

extension BeamOptions {
    /// β·Σᵢ log min(Σⱼ pᵢⱼ, 1). A place that nothing looked at counts as the least normal number: a
    /// score stays finite.
    func coverageScore(_ coverage: [Float]) -> Float {
        guard coveragePenalty > 0 else { return 0 }
        let sum = coverage.reduce(into: 0.0) {
            $0 += log(Double(min(max($1, .leastNormalMagnitude), 1)))
        }
        return coveragePenalty * Float(sum)
    }
}
