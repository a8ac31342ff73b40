// What the scenarios share: values whose sums depend on their order, expected results, comparisons.

import Communication
import Tensors

struct ScenarioFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

func expect(_ holds: Bool, _ message: @autoclosure () -> String) throws {
    if !holds { throw ScenarioFailure(message()) }
}

/// Element `index` of rank `rank`: exponents from −12 to 12, so that nearly every order of addition
/// rounds differently.
func sample(rank: Int, index: Int, salt: Int = 0) -> Float {
    var state = UInt64(truncatingIfNeeded: (rank << 40) ^ (salt << 32) ^ index)
    state = (state &+ 0x9E37_79B9_7F4A_7C15) &* 0xBF58_476D_1CE4_E5B9
    state = (state ^ (state >> 27)) &* 0x94D0_49BB_1331_11EB
    state ^= state >> 31
    let exponent = UInt32(115 + state % 25)
    let mantissa = UInt32(truncatingIfNeeded: state >> 20) & 0x7F_FFFF
    return Float(bitPattern: UInt32(state >> 63) << 31 | exponent << 23 | mantissa)
}

func samples(rank: Int, count: Int, salt: Int = 0) -> [Float] {
    (0..<count).map { sample(rank: rank, index: $0, salt: salt) }
}

/// The sum in the order that `Communicator` promises, written independently of the library's.
func canonicalSum(_ values: [Float]) -> Float {
    if values.count > 1, values.count % 2 == 0 {
        let half = values.count / 2
        return canonicalSum(Array(values[..<half])) + canonicalSum(Array(values[half...]))
    }
    return values.dropFirst().reduce(values[0], +)
}

/// A plausible wrong order, for the controls: from the last rank to the first.
func reversedSum(_ values: [Float]) -> Float {
    values.reversed().dropFirst().reduce(values[values.count - 1], +)
}

func summed(
    ranks: Int, count: Int, salt: Int = 0, by sum: ([Float]) -> Float = canonicalSum
) -> [Float] {
    (0..<count).map { index in
        sum((0..<ranks).map { sample(rank: $0, index: index, salt: salt) })
    }
}

/// The first index at which bits differ, or the shorter count.
func firstDifference(_ found: [Float], _ expected: [Float]) -> Int? {
    for index in 0..<min(found.count, expected.count)
    where found[index].bitPattern != expected[index].bitPattern {
        return index
    }
    return found.count == expected.count ? nil : min(found.count, expected.count)
}

func expectBits(_ found: [Float], _ expected: [Float], _ what: String) throws {
    guard let index = firstDifference(found, expected) else { return }
    let pair =
        index < min(found.count, expected.count)
        ? "expected \(expected[index]), found \(found[index])"
        : "expected \(expected.count) elements, found \(found.count)"
    throw ScenarioFailure("\(what), element \(index): \(pair)")
}

extension Buffer {
    init(_ elements: [Float]) {
        self.init(count: elements.count)
        fill(elements)
    }

    func fill(_ elements: [Float]) {
        elements.withUnsafeBufferPointer { source in
            if let base = source.baseAddress { floats.update(from: base, count: source.count) }
        }
    }

    var array: [Float] { Array(UnsafeBufferPointer(start: floats, count: count)) }

    /// Every byte of the buffer, and a pattern for it that no two places share.
    var byteArray: [UInt8] { Array(UnsafeRawBufferPointer(start: bytes, count: byteCount)) }

    func fillBytes(seed: Int) {
        for index in 0..<byteCount {
            bytes.storeBytes(of: patternByte(seed, index), toByteOffset: index, as: UInt8.self)
        }
    }
}

func patternByte(_ seed: Int, _ index: Int) -> UInt8 {
    UInt8(truncatingIfNeeded: (index &* 31) ^ (index >> 8 &* 7) ^ (seed &* 101))
}

/// FNV-1a over bit patterns: one line that two runs can be compared by.
func digest(_ values: [Float]) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for value in values { hash = (hash ^ UInt64(value.bitPattern)) &* 0x100_0000_01B3 }
    return String(hash, radix: 16)
}

/// Counts that differ from rank to rank, one of them 0 where there are two ranks or more.
func unevenCounts(_ count: Int, ranks: Int) -> [Int] {
    guard ranks > 1 else { return [count] }
    var counts = (0..<ranks).map { $0 == 1 ? 0 : (count / ranks) - min($0, count / ranks) }
    counts[0] += count - counts.reduce(0, +)
    return counts
}

func evenCounts(_ count: Int, ranks: Int) -> [Int] {
    (0..<ranks).map { ($0 + 1) * count / ranks - $0 * count / ranks }
}

let sizes = [0, 1, 3, 17, 1_000, 5_003]
