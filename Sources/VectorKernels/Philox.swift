// Philox on vectors.
//
// A counter is two lanes of 64 bits, (c0, c1) and (c2, c3): each lane's low half times its multiplier is one instruction, and
// the new words are the products' halves in reverse order.

extension Philox {
    /// The key of the first round as the lanes of a vector use it: k0 and k1 in low halves, in turn.
    typealias Keys = SIMD8<UInt64>

    @inline(__always)
    static func keys(_ key: UInt64) -> Keys { alternating(key & 0xFFFF_FFFF, key >> 32) }

    /// The words of the eight counters from `counter` on, in order.
    @inline(__always)
    static func words32(counter: UInt64, _ stream: UInt64, _ keys: Keys) -> (Bits, Bits) {
        let offsets = SIMD8<UInt64>(0, 0, 1, 0, 2, 0, 3, 0)
        let step = SIMD8<UInt64>(4, 0, 4, 0, 4, 0, 4, 0)
        var a = alternating(counter, stream) &+ offsets
        var b = a &+ step
        var keys = keys
        for _ in 0..<rounds {
            a = round(a, keys)
            b = round(b, keys)
            keys = narrowSum(keys)
        }
        return (narrow(a), narrow(b))
    }

    @inline(__always)
    private static func round(_ c: SIMD8<UInt64>, _ keys: Keys) -> SIMD8<UInt64> {
        let low = SIMD8<UInt64>(repeating: 0xFFFF_FFFF)
        let multipliers = alternating(UInt64(multiplier0), UInt64(multiplier1))
        let products = narrow((c & low) &* multipliers)
        return wide(reversedInFours(products)) ^ (c &>> 32) ^ keys
    }

    /// The next round's keys: 32-bit sums in the low halves.
    @inline(__always)
    private static func narrowSum(_ keys: Keys) -> Keys {
        wide(narrow(keys) &+ narrow(alternating(UInt64(weyl0), UInt64(weyl1))))
    }

    @inline(__always)
    private static func reversedInFours(_ x: Bits) -> Bits {
        Bits(
            x[3], x[2], x[1], x[0], x[7], x[6], x[5], x[4],
            x[11], x[10], x[9], x[8], x[15], x[14], x[13], x[12])
    }

    @inline(__always)
    private static func alternating(_ even: UInt64, _ odd: UInt64) -> SIMD8<UInt64> {
        SIMD8(even, odd, even, odd, even, odd, even, odd)
    }

    @inline(__always)
    static func wide(_ x: Bits) -> SIMD8<UInt64> { unsafeBitCast(x, to: SIMD8<UInt64>.self) }

    @inline(__always)
    static func narrow(_ x: SIMD8<UInt64>) -> Bits { unsafeBitCast(x, to: Bits.self) }
}
