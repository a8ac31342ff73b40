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

    /// Elements `firstIndex`… of a normally distributed sequence.
    ///
    /// Box and Muller (1958): elements 2j and 2j + 1 are √(−2 ln u) · (cos, sin)(2πv), u and v being the
    /// words 2j and 2j + 1. An element depends on its index alone, whatever run it is made in.
    package func normal(
        into target: UnsafeMutablePointer<Float>, count: Int, firstIndex: UInt64, mean: Float = 0,
        deviation: Float = 1
    ) {
        let mean = Vector(repeating: mean)
        let deviation = Vector(repeating: deviation)
        forEachGroup(count: count, firstIndex: firstIndex) { words, place in
            let (first, second) = normals(words.0, words.1)
            let pair = (mean.addingProduct(deviation, first), mean.addingProduct(deviation, second))
            place.store(pair, into: target)
        }
    }

    /// y = x / (1 − rate) where the element is kept, 0 where it is dropped, which happens with
    /// probability `rate` in [0, 1). `y` may be `x`; the same call on gradients is the backward pass.
    package func dropout(
        _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int,
        firstIndex: UInt64, rate: Float
    ) {
        dropRun(x, into: y, count: count, firstIndex: firstIndex, rate: rate)
    }

    /// The same on stored elements, both of one type.
    package func dropout(
        _ x: Elements, into y: Elements, count: Int, firstIndex: UInt64, rate: Float
    ) {
        precondition(
            x.type == y.type,
            "dropout: operands of one type expected, found \(x.type) and \(y.type)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            dropRun(
                UnsafePointer(x.pointer(to: type)), into: y.pointer(to: type), count: count,
                firstIndex: firstIndex, rate: rate)
        }
        switch x.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    private func dropRun<Element: StoredElement>(
        _ x: UnsafePointer<Element>, into y: UnsafeMutablePointer<Element>, count: Int,
        firstIndex: UInt64, rate: Float
    ) {
        let rule = DropoutRule(rate: rate)
        forEachGroup(count: count, firstIndex: firstIndex) { words, place in
            let (first, second) = place.load(from: x)
            place.store((rule.apply(first, words.0), rule.apply(second, words.1)), into: y)
        }
    }

    /// The factors of `dropout`: 1 / (1 − rate) where the element is kept, else 0.
    package func dropoutScales(
        into target: UnsafeMutablePointer<Float>, count: Int, firstIndex: UInt64, rate: Float
    ) {
        let rule = DropoutRule(rate: rate)
        let one = Vector(repeating: 1)
        forEachGroup(count: count, firstIndex: firstIndex) { words, place in
            place.store((rule.apply(one, words.0), rule.apply(one, words.1)), into: target)
        }
    }

    /// Calls `body` for each group of 32 elements (that begins at a multiple of 32) which has part in
    /// the run, with the words of all 32 and the place of those that belong to the run.
    @inline(__always)
    private func forEachGroup(
        count: Int, firstIndex: UInt64, _ body: ((Bits, Bits), GroupPlace) -> Void
    ) {
        let keys = Philox.keys(seed)
        var done = 0
        while done < count {
            let index = firstIndex &+ UInt64(done)
            let skipped = Int(index % 32)
            let length = min(32 - skipped, count - done)
            let words = Philox.words32(counter: (index &- UInt64(skipped)) / 4, stream, keys)
            body(words, GroupPlace(offset: done, skipped: skipped, count: length))
            done += length
        }
    }
}

/// Lanes `skipped` ..< `skipped + count` of a group of 32 stand for elements `offset`… of a run.
private struct GroupPlace {
    let offset: Int
    let skipped: Int
    let count: Int

    @inline(__always)
    func store<Element: StoredElement>(
        _ values: (Vector, Vector), into run: UnsafeMutablePointer<Element>
    ) {
        if count == 32 {
            run.store(values.0, at: offset)
            run.store(values.1, at: offset + lanes)
            return
        }
        for element in 0..<count {
            let lane = skipped + element
            run[offset + element] = Element(
                lane < lanes ? values.0[lane] : values.1[lane - lanes])
        }
    }

    @inline(__always)
    func load<Element: StoredElement>(from run: UnsafePointer<Element>) -> (Vector, Vector) {
        if count == 32 { return (run.vector(at: offset), run.vector(at: offset + lanes)) }
        var values = (Vector.zero, Vector.zero)
        for element in 0..<count {
            let lane = skipped + element
            if lane < lanes {
                values.0[lane] = run[offset + element].float
            } else {
                values.1[lane - lanes] = run[offset + element].float
            }
        }
        return values
    }
}

/// An element is dropped where its word is below rate · 2³².
private struct DropoutRule {
    let threshold: Bits
    let scale: Vector

    init(rate: Float) {
        precondition(rate >= 0 && rate < 1, "dropout: expected a rate in [0, 1), got \(rate)")
        threshold = Bits(repeating: UInt32(Double(rate) * 0x1p32))
        scale = Vector(repeating: Float(1 / (1 - Double(rate))))
    }

    @inline(__always)
    func apply(_ x: Vector, _ words: Bits) -> Vector {
        (x * scale).replacing(with: Vector.zero, where: words .< threshold)
    }
}

/// 32 normal numbers from the words of a group: words in even lanes give radii, in odd lanes angles.
@inline(__always)
private func normals(_ a: Bits, _ b: Bits) -> (Vector, Vector) {
    // Radii and angles of `a` go to the even lanes, those of `b` to the odd ones: nothing is shuffled.
    let low = SIMD8<UInt64>(repeating: 0xFFFF_FFFF)
    let (a, b) = (Philox.wide(a), Philox.wide(b))
    let radiusWords = Philox.narrow((a & low) | (b &<< 32))
    let angleWords = Philox.narrow((a &>> 32) | (b & ~low))
    // In (0, 1]: half a unit above the word, so that the logarithm is finite.
    let u = floats(from: radiusWords)
    let uniform = Vector(repeating: 0x1p-33).addingProduct(u, Vector(repeating: 0x1p-32))
    let radius = squareRoot((naturalLogarithm(uniform) * -2).raised(to: 0))
    let (cosine, sine) = cosineAndSine(ofTurn: angleWords)
    let even = Philox.wide((radius * cosine).bits)
    let odd = Philox.wide((radius * sine).bits)
    return (
        Vector(bits: Philox.narrow((even & low) | (odd &<< 32))),
        Vector(bits: Philox.narrow((even &>> 32) | (odd & ~low)))
    )
}
