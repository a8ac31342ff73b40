// Random numbers that are functions of (seed, stream, element index): Philox 4×32-10 (Salmon, Moraes,
// Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Nothing is carried from one
// call to the next, so a rank makes just its part of a sequence and gets what one process would.
//
// The key is the seed (low word, high word); the counter is (⌊index / 4⌋ low, high, stream low, high),
// and element `index` takes word index mod 4 of the result.

/// One sequence of random numbers, indexed from 0 to 2⁶⁴ − 1.
package struct RandomStream: Sendable {
    package let seed: UInt64
    package let stream: UInt64

    package init(seed: UInt64, stream: UInt64) { (self.seed, self.stream) = (seed, stream) }

    /// The stream of a name: FNV-1a over its UTF-8 bytes, then a mixing of all bits.
    package static func stream(named name: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        hash = (hash ^ (hash >> 30)) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ (hash >> 27)) &* 0x94D0_49BB_1331_11EB
        return hash ^ (hash >> 31)
    }

    /// 32 uniform bits.
    package func word(at index: UInt64) -> UInt32 {
        Philox.words(counter: index / 4, stream: stream, key: seed)[Int(index % 4)]
    }

    /// Uniform in [0, 1): the element's word · 2⁻³².
    package func uniform(at index: UInt64) -> Double { Double(word(at: index)) * 0x1p-32 }
}

/// Runs of random numbers; single-threaded.
package protocol RandomKernels: Sendable {
    /// Elements `firstIndex`… of a normally distributed sequence.
    ///
    /// Box and Muller (1958): elements 2j and 2j + 1 are √(−2 ln u) · (cos, sin)(2πv), u and v being the
    /// words 2j and 2j + 1. An element depends on its index alone, whatever run it is made in.
    static func normal(
        _ stream: RandomStream, into target: UnsafeMutablePointer<Float>, count: Int,
        firstIndex: UInt64, mean: Float, deviation: Float)

    /// y = x / (1 − rate) where the element is kept, 0 where it is dropped, which happens with
    /// probability `rate` in [0, 1). `x` and `y` have one type, and `y` may be `x`; the same call on gradients is the
    /// backward pass.
    static func dropout(
        _ stream: RandomStream, _ x: Elements, into y: Elements, count: Int, firstIndex: UInt64,
        rate: Float)

    /// The factors of `dropout`: 1 / (1 − rate) where the element is kept, else 0.
    static func dropoutScales(
        _ stream: RandomStream, into target: UnsafeMutablePointer<Float>, count: Int,
        firstIndex: UInt64, rate: Float)
}

// The requirements with default arguments, which a requirement cannot have.
extension RandomKernels {
    package static func normal(
        _ stream: RandomStream, into target: UnsafeMutablePointer<Float>, count: Int,
        firstIndex: UInt64, mean: Float = 0, deviation: Float = 1
    ) {
        normal(
            stream, into: target, count: count, firstIndex: firstIndex, mean: mean,
            deviation: deviation)
    }

    package static func dropout(
        _ stream: RandomStream, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>,
        count: Int, firstIndex: UInt64, rate: Float
    ) {
        dropout(
            stream, Elements(x), into: Elements(y), count: count, firstIndex: firstIndex, rate: rate
        )
    }
}
