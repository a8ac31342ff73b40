// Runs of random numbers, 32 elements at a time.

extension VectorKernels {
    package static func normal(
        _ stream: RandomStream, into target: UnsafeMutablePointer<Float>, count: Int,
        firstIndex: UInt64, mean: Float, deviation: Float
    ) {
        let mean = Vector(repeating: mean)
        let deviation = Vector(repeating: deviation)
        stream.forEachGroup(count: count, firstIndex: firstIndex) { words, place in
            let (first, second) = normals(words.0, words.1)
            let pair = (mean.addingProduct(deviation, first), mean.addingProduct(deviation, second))
            place.store(pair, into: target)
        }
    }

    package static func dropout(
        _ stream: RandomStream, _ x: Elements, into y: Elements, count: Int, firstIndex: UInt64,
        rate: Float
    ) {
        precondition(
            x.type == y.type,
            "dropout: operands of one type expected, found \(x.type) and \(y.type)")
        let rule = DropoutRule(rate: rate)
        func run<Element: StoredElement>(_ type: Element.Type) {
            let (x, y) = (UnsafePointer(x.pointer(to: type)), y.pointer(to: type))
            stream.forEachGroup(count: count, firstIndex: firstIndex) { words, place in
                let (first, second) = place.load(from: x)
                place.store((rule.apply(first, words.0), rule.apply(second, words.1)), into: y)
            }
        }
        switch x.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    package static func dropoutScales(
        _ stream: RandomStream, into target: UnsafeMutablePointer<Float>, count: Int,
        firstIndex: UInt64, rate: Float
    ) {
        let rule = DropoutRule(rate: rate)
        let one = Vector(repeating: 1)
        stream.forEachGroup(count: count, firstIndex: firstIndex) { words, place in
            place.store((rule.apply(one, words.0), rule.apply(one, words.1)), into: target)
        }
    }
}

extension RandomStream {
    /// Calls `body` for each group of 32 elements (that begins at a multiple of 32) which has part in
    /// the run, with the words of all 32 and the place of those that belong to the run.
    @inline(__always)
    fileprivate func forEachGroup(
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
