// A model that is a formula: each logit a hash of the source, the place and the last two tokens.
// `Fixtures/make.py` has the same one, so that a fixture needs no weights. Products and sums are
// exact or rounded once, the same everywhere.

/// Logits of a made-up decoder.
struct HashedModel {
    let vocabulary: Int
    let ends: [Int32]
    /// Width of the range of logits: the greater, the more peaked.
    var range: Float = 12
    /// Added to the logits of ends.
    var endBias: Float = 2

    /// The logits of the token after a text; `text` has the start token.
    func logits(source: Int, after text: [Int32]) -> [Float] {
        let last = UInt64(text[text.count - 1])
        let beforeLast = text.count > 1 ? UInt64(text[text.count - 2]) : 0
        let state = mix(
            mix(mix(mix(UInt64(source)) &+ UInt64(text.count)) &+ last) &+ beforeLast)
        return (0..<vocabulary).map { token in
            let bits = mix(state &+ UInt64(token)) >> 40
            let logit = Float(bits) * 0x1p-24 * range
            return ends.contains(Int32(token)) ? logit + endBias : logit
        }
    }

    /// The finalizer of splitmix64 after its increment (Steele et al. 2014).
    private func mix(_ value: UInt64) -> UInt64 {
        var value = value &+ 0x9e37_79b9_7f4a_7c15
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
