/// MurmurHash3, the form of 128 bits for 64-bit machines (Appleby 2011, public domain), of one run of bytes.
///
/// Among n texts two different ones share a hash with a probability of n²/2¹²⁹: 10⁻²⁰ for ten thousand million. It is no defence
/// against somebody who makes texts for it.
package struct Hash128: Equatable, Sendable {
    package private(set) var low: UInt64
    package private(set) var high: UInt64

    private static let first: UInt64 = 0x87C3_7B91_1142_53D5
    private static let second: UInt64 = 0x4CF5_AD43_2745_937F

    package init(_ bytes: [UInt8], seed: UInt64 = 0) {
        self = bytes.withUnsafeBytes { Hash128($0, seed: seed) }
    }

    init(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) {
        (low, high) = (seed, seed)
        let whole = bytes.count & ~15
        var index = 0
        while index < whole {
            add(
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)),
                UInt64(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: index + 8, as: UInt64.self)))
            index += 16
        }
        var tail: (UInt64, UInt64) = (0, 0)
        for (place, byte) in bytes[whole...].enumerated() {
            if place < 8 {
                tail.0 |= UInt64(byte) << UInt64(8 * place)
            } else {
                tail.1 |= UInt64(byte) << UInt64(8 * (place - 8))
            }
        }
        low ^= Hash128.scrambledLow(tail.0)
        high ^= Hash128.scrambledHigh(tail.1)
        low ^= UInt64(bytes.count)
        high ^= UInt64(bytes.count)
        low &+= high
        high &+= low
        (low, high) = (WordHashes.mixed(low), WordHashes.mixed(high))
        low &+= high
        high &+= low
    }

    @inline(__always)
    private mutating func add(_ lowWord: UInt64, _ highWord: UInt64) {
        low ^= Hash128.scrambledLow(lowWord)
        low = (Hash128.rotated(low, 27) &+ high) &* 5 &+ 0x52DC_E729
        high ^= Hash128.scrambledHigh(highWord)
        high = (Hash128.rotated(high, 31) &+ low) &* 5 &+ 0x3849_5AB5
    }

    @inline(__always)
    private static func scrambledLow(_ word: UInt64) -> UInt64 {
        rotated(word &* first, 31) &* second
    }

    @inline(__always)
    private static func scrambledHigh(_ word: UInt64) -> UInt64 {
        rotated(word &* second, 33) &* first
    }

    @inline(__always)
    private static func rotated(_ word: UInt64, _ count: UInt64) -> UInt64 {
        word << count | word >> (64 - count)
    }
}
