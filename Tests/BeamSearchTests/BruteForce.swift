// Searches that look at everything, written from the definitions in Float64.

import BeamSearch
import Foundation

/// A text with its log-probability.
struct Scored {
    var tokens: [Int32]
    var logProbability = 0.0
}

extension HashedModel {
    /// The start token of all tests.
    static let start: Int32 = 1

    func logProbabilities(source: Int, after tokens: [Int32]) -> [Double] {
        let logits = logits(source: source, after: [HashedModel.start] + tokens).map(Double.init)
        let peak = logits.max() ?? 0
        let sum = logits.reduce(0) { $0 + exp($1 - peak) }
        return logits.map { $0 - peak - log(sum) }
    }

    /// All continuations of texts by a token, by text and then by token.
    func continuations(source: Int, _ texts: [Scored]) -> [Scored] {
        texts.flatMap { text in
            let values = logProbabilities(source: source, after: text.tokens)
            return values.enumerated().map { token, value in
                Scored(
                    tokens: text.tokens + [Int32(token)],
                    logProbability: text.logProbability + value)
            }
        }
    }

    /// Every text that ends, or has the greatest length.
    func allTexts(source: Int, length: Int) -> [Scored] {
        var (finished, running) = ([Scored](), [Scored(tokens: [])])
        for place in 1...length {
            let next = continuations(source: source, running)
            let isEnd = { (text: Scored) in
                place == length || text.tokens.last.map(ends.contains) ?? false
            }
            finished += next.filter(isEnd)
            running = next.filter { !isEnd($0) }
        }
        return finished
    }

    /// Diverse beam search by its definition (Vijayakumar et al. 2016, algorithm 1), of texts
    /// without ends: the groups' texts at the greatest length.
    func diverse(
        source: Int, groups: Int, width: Int, penalty: Double, length: Int
    ) -> [[Scored]] {
        var beams = Array(repeating: [Scored(tokens: [])], count: groups)
        for _ in 0..<length {
            var taken: [Int32] = []
            for group in beams.indices {
                let all = continuations(source: source, beams[group]).map { text in
                    let token = text.tokens[text.tokens.count - 1]
                    let count = taken.filter { $0 == token }.count
                    return (text, text.logProbability - penalty * Double(count))
                }
                beams[group] = all.sorted { $0.1 > $1.1 }.prefix(width).map(\.0)
                taken += beams[group].compactMap(\.tokens.last)
            }
        }
        return beams
    }
}

/// Attention that is a formula: a softmax over the places of a source, of a sine.
func attention(after text: [Int32], places: Int) -> [Float] {
    let last = Double(text[text.count - 1])
    let weights = (0..<places).map { exp(3 * sin(Double($0 * 5 + text.count * 3) + last)) }
    let sum = weights.reduce(0, +)
    return weights.map { Float($0 / sum) }
}

/// Equation 14 of Wu et al. 2016, without the log-probability.
func coverage(_ tokens: [Int32], places: Int, beta: Double) -> Double {
    var sums = Array(repeating: 0.0, count: places)
    for length in tokens.indices {
        let text = [HashedModel.start] + tokens.prefix(length)
        for (place, value) in attention(after: text, places: places).enumerated() {
            sums[place] += Double(value)
        }
    }
    return beta * sums.reduce(0) { $0 + log(min($1, 1)) }
}
