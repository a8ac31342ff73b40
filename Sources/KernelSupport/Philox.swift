// The Philox 4×32 bijection with 10 rounds.
//
// A round takes the counter words (c0, c1, c2, c3) and the key words (k0, k1) to
//     (high(M1·c2) ^ c1 ^ k0,  low(M1·c2),  high(M0·c0) ^ c3 ^ k1,  low(M0·c0)).

/// The block function; `RandomStream` is how it is used.
@usableFromInline package enum Philox {
    @inlinable package static var multiplier0: UInt32 { 0xD251_1F53 }
    @inlinable package static var multiplier1: UInt32 { 0xCD9E_8D57 }
    @inlinable package static var weyl0: UInt32 { 0x9E37_79B9 }
    @inlinable package static var weyl1: UInt32 { 0xBB67_AE85 }
    @inlinable package static var rounds: Int { 10 }

    /// The four words of a counter.
    package static func words(counter: UInt64, stream: UInt64, key: UInt64) -> SIMD4<UInt32> {
        var c = SIMD4(
            UInt32(truncatingIfNeeded: counter), UInt32(truncatingIfNeeded: counter >> 32),
            UInt32(truncatingIfNeeded: stream), UInt32(truncatingIfNeeded: stream >> 32))
        var k0 = UInt32(truncatingIfNeeded: key)
        var k1 = UInt32(truncatingIfNeeded: key >> 32)
        for _ in 0..<rounds {
            let p0 = multiplier0.multipliedFullWidth(by: c[0])
            let p1 = multiplier1.multipliedFullWidth(by: c[2])
            c = SIMD4(p1.high ^ c[1] ^ k0, p1.low, p0.high ^ c[3] ^ k1, p0.low)
            k0 &+= weyl0
            k1 &+= weyl1
        }
        return c
    }
}
