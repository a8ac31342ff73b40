// Attention in Float64, written from the formula, pair by pair.

import Glibc
import Kernels
import Testing

/// The mask of a case, by value.
struct MaskCase: Sendable {
    var causal = false
    var queryOffset = 0
    var window: Int?
    var keyRanges: [Range<Int>]?
    var querySegments: [Int32]?
    var keySegments: [Int32]?

    func sees(_ shape: AttentionShape, sequence: Int, query: Int, key: Int) -> Bool {
        let position = query + queryOffset
        if causal && key > position { return false }
        if let window, key > position || key <= position - window { return false }
        if let keyRanges, !keyRanges[sequence].contains(key) { return false }
        if let querySegments, let keySegments {
            return querySegments[sequence * shape.queries + query]
                == keySegments[sequence * shape.keys + key]
        }
        return true
    }
}

struct AttentionShape: Sendable, CustomTestStringConvertible {
    var batch = 1
    var queryHeads = 1
    var keyHeads = 1
    var queries = 1
    var keys = 1
    var dimension = 1

    var testDescription: String {
        "batch \(batch), heads \(queryHeads)/\(keyHeads), \(queries)×\(keys)×\(dimension)"
    }

    var scale: Float { 1 / Float(dimension).squareRoot() }
    var queryCount: Int { batch * queries * queryHeads * dimension }
    var keyCount: Int { batch * keys * keyHeads * dimension }
    var biasCount: Int { queryHeads * queries * keys }
    var rowCount: Int { batch * queryHeads * queries }

    func query(_ sequence: Int, _ query: Int, _ head: Int) -> Int {
        ((sequence * queries + query) * queryHeads + head) * dimension
    }

    func key(_ sequence: Int, _ key: Int, _ head: Int) -> Int {
        ((sequence * keys + key) * keyHeads + head / (queryHeads / keyHeads)) * dimension
    }

    func row(_ sequence: Int, _ query: Int, _ head: Int) -> Int {
        (sequence * queryHeads + head) * queries + query
    }
}

/// Values and gradients of one attention, heads side by side in a row.
struct AttentionReference {
    let shape: AttentionShape
    let mask: MaskCase
    /// 0 or 1/(1 − rate) for each pair, `[rows × keys]`; nil without dropout.
    let dropout: [Double]?
    var query: [Double]
    var key: [Double]
    var value: [Double]
    var bias: [Double]?

    struct Gradients {
        var query: [Double]
        var key: [Double]
        var value: [Double]
        var bias: [Double]
    }

    private func dot(_ x: [Double], _ i: Int, _ y: [Double], _ j: Int) -> Double {
        (0..<shape.dimension).reduce(0) { $0 + x[i + $1] * y[j + $1] }
    }

    /// Probabilities of a row over all keys, and its ln Σ exp.
    private func softmax(_ sequence: Int, _ query: Int, _ head: Int) -> ([Double], Double) {
        let scores = (0..<shape.keys).map { key -> Double in
            guard mask.sees(shape, sequence: sequence, query: query, key: key) else {
                return -.infinity
            }
            let product = dot(
                self.query, shape.query(sequence, query, head), self.key,
                shape.key(sequence, key, head))
            let added = bias?[(head * shape.queries + query) * shape.keys + key] ?? 0
            return product * Double(shape.scale) + added
        }
        let maximum = scores.max() ?? -.infinity
        if maximum == -.infinity { return (scores.map { _ in 0 }, maximum) }
        let weights = scores.map { exp($0 - maximum) }
        let sum = weights.reduce(0, +)
        return (weights.map { $0 / sum }, maximum + log(sum))
    }

    private func forEachRow(_ body: (_ sequence: Int, _ query: Int, _ head: Int) -> Void) {
        for sequence in 0..<shape.batch {
            for head in 0..<shape.queryHeads {
                for query in 0..<shape.queries { body(sequence, query, head) }
            }
        }
    }

    func forward() -> (output: [Double], logSumExp: [Double]) {
        var output = [Double](repeating: 0, count: shape.queryCount)
        var logSumExp = [Double](repeating: 0, count: shape.rowCount)
        forEachRow { sequence, query, head in
            let (weights, total) = softmax(sequence, query, head)
            let row = shape.row(sequence, query, head)
            logSumExp[row] = total
            for key in 0..<shape.keys {
                let weight = weights[key] * (dropout?[row * shape.keys + key] ?? 1)
                for d in 0..<shape.dimension {
                    output[shape.query(sequence, query, head) + d] +=
                        weight * value[shape.key(sequence, key, head) + d]
                }
            }
        }
        return (output, logSumExp)
    }

    /// Gradients of Σ output·upstream.
    func backward(_ upstream: [Double]) -> Gradients {
        var result = Gradients(
            query: query.map { _ in 0 }, key: key.map { _ in 0 }, value: value.map { _ in 0 },
            bias: [Double](repeating: 0, count: shape.biasCount))
        forEachRow { sequence, query, head in
            let (weights, _) = softmax(sequence, query, head)
            let row = shape.row(sequence, query, head)
            let at = shape.query(sequence, query, head)
            let kept = (0..<shape.keys).map { dropout?[row * shape.keys + $0] ?? 1 }
            let toWeights = (0..<shape.keys).map { key in
                kept[key] * dot(upstream, at, value, shape.key(sequence, key, head))
            }
            let mean = zip(weights, toWeights).reduce(0) { $0 + $1.0 * $1.1 }
            for key in 0..<shape.keys {
                let source = shape.key(sequence, key, head)
                let toScore = weights[key] * (toWeights[key] - mean)
                result.bias[(head * shape.queries + query) * shape.keys + key] += toScore
                let scaled = toScore * Double(shape.scale)
                for d in 0..<shape.dimension {
                    result.query[at + d] += scaled * self.key[source + d]
                    result.key[source + d] += scaled * self.query[at + d]
                    result.value[source + d] += weights[key] * kept[key] * upstream[at + d]
                }
            }
        }
        return result
    }
}
