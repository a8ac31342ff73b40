// A row of logits, and what turns them into log-probabilities. The pass over a row is the search's
// only work on the whole vocabulary, hence in vectors, with an exponential of its own: additions
// and multiplications alone, which are the same everywhere.

import Foundation

private typealias Lanes = SIMD8<Float>

/// Logits of one row that share a maximum.
private let blockLength = 64

/// The log-softmax of a row as (x − peak) − logSum, which the selection applies to the few that it
/// looks at.
///
/// In Float32, in this order of operations: so does torch, and sums that differ in their last bit
/// could order hypotheses differently. Only the sum of exponentials is kept in Float64. A logit
/// that is not a number counts as −∞. A row without a finite maximum has log-probabilities that are
/// not numbers, which no selection takes.
struct LogitRow {
    let logits: ArraySlice<Float>
    let peak: Float
    let logSum: Float
    /// The maximum of each `blockLength` logits: blocks that have nothing to select are passed
    /// over.
    let maxima: [Float]

    /// - Parameter vocabulary: logits behind it are padding of the model.
    init(_ row: [Float], vocabulary: Int) {
        precondition(
            row.count >= vocabulary, "logits: expected \(vocabulary) in a row, got \(row.count)")
        logits = row.prefix(vocabulary)
        (maxima, peak, logSum) = logits.withUnsafeBufferPointer { logits in
            let maxima = blockMaxima(logits)
            let peak = maxima.max() ?? -.infinity
            return (maxima, peak, Float(log(exponentialSum(logits, peak))))
        }
    }

    func logProbability(of token: Int32) -> Float {
        (logits[Int(token)] - peak) - logSum
    }

    func tokens(ofBlock block: Int) -> Range<Int> {
        block * blockLength..<min((block + 1) * blockLength, logits.count)
    }
}

private func blockMaxima(_ logits: UnsafeBufferPointer<Float>) -> [Float] {
    stride(from: 0, to: logits.count, by: blockLength).map { start in
        var maximum = Lanes(repeating: -.infinity)
        for place in stride(from: start, to: min(start + blockLength, logits.count), by: 8) {
            let values = lanes(logits, place)
            maximum.replace(with: values, where: values .> maximum)
        }
        return maximum.max()
    }
}

/// Σ exp(x − peak).
private func exponentialSum(_ logits: UnsafeBufferPointer<Float>, _ peak: Float) -> Double {
    var total = 0.0
    for start in stride(from: 0, to: logits.count, by: blockLength) {
        var sum = Lanes()
        for place in stride(from: start, to: min(start + blockLength, logits.count), by: 8) {
            sum += exponential(lanes(logits, place) - peak)
        }
        total += Double(sum.sum())
    }
    return total
}

/// Eight logits; behind the last one there is −∞.
@inline(__always)
private func lanes(_ logits: UnsafeBufferPointer<Float>, _ place: Int) -> Lanes {
    guard place + 8 > logits.count else {
        return UnsafeRawBufferPointer(logits).loadUnaligned(
            fromByteOffset: place * MemoryLayout<Float>.stride, as: Lanes.self)
    }
    var lanes = Lanes(repeating: -.infinity)
    for lane in 0..<logits.count - place { lanes[lane] = logits[place + lane] }
    return lanes
}

/// e^x of x ≤ 0 within 2⁻²² of it; below −87, and of what is not a number, 2e-38.
///
/// With x = n·log 2 + r, |r| ≤ log 2 / 2: 2ⁿ, an addition to the exponent's bits, times the series
/// of e^r to r⁷.
@inline(__always)
private func exponential(_ values: Lanes) -> Lanes {
    let x = Lanes(repeating: -87).replacing(with: values, where: values .>= -87)
    // Added to 1.5·2²³, a number is rounded to an integer, which the last bits then hold.
    let shifter: Float = 12_582_912
    let shifted = x * 1.442_695_04 + shifter
    let n = shifted - shifter
    // log 2 in two parts, the first of so few bits that n times it is exact.
    let r = (x - n * 0.693_359_375) + n * 2.121_944_4e-4
    var series = r * (1.0 / 5040) + (1.0 / 720)
    series = series * r + (1.0 / 120)
    series = series * r + (1.0 / 24)
    series = series * r + (1.0 / 6)
    series = series * r + 0.5
    series = series * r + 1
    series = series * r + 1
    let power = unsafeBitCast(shifted, to: SIMD8<UInt32>.self) &<< 23
    return unsafeBitCast(unsafeBitCast(series, to: SIMD8<UInt32>.self) &+ power, to: Lanes.self)
}
