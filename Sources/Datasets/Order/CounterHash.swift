/// 64 random bits as a pure function of a key and counters.
///
/// Each word is folded in by the finaliser of SplitMix64 (Steele, Lea and Flood 2014, with the constants
/// of Stafford's variant 13), which is a bijection of 64 bits in which every input bit changes every
/// output bit with a probability near one half.
package enum CounterHash {
    /// 2⁶⁴ divided by the golden ratio: keeps 0 from hashing to 0.
    private static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

    package static func bits(_ words: UInt64...) -> UInt64 {
        words.reduce(increment) { mix($0 ^ mix($1 &+ increment)) }
    }

    static func mix(_ value: UInt64) -> UInt64 {
        var bits = value &+ increment
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        return bits ^ bits >> 31
    }

    /// `bits` scaled to 0 ..< `bound`.
    static func scaled(_ bits: UInt64, below bound: Int) -> Int {
        Int(bits.multipliedFullWidth(by: UInt64(bound)).high)
    }
}
