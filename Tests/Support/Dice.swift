import Foundation

/// Random numbers that a seed repeats (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
/// SplitMix64).
package struct Dice: RandomNumberGenerator {
    /// Of this run of the tests: MURMUR_CHAOS_SEED where that is given.
    package static let seed =
        ProcessInfo.processInfo.environment["MURMUR_CHAOS_SEED"].flatMap { UInt64($0) } ?? 1

    private var state: UInt64

    package init(seed: UInt64 = Dice.seed) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var bits = state
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        return bits ^ bits >> 31
    }

    /// One of 0 ..< `count`.
    package mutating func roll(_ count: Int) -> Int { Int.random(in: 0..<count, using: &self) }

    package mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[roll(elements.count)]
    }
}
