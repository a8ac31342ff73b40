// Elementary functions on vectors, to a few units in the last place of Float32. The polynomials are
// minimax fits of our own (Lawson's iteration in Float64 on the reduced range).

/// Lanes reinterpreted as integers of the same width.
typealias Bits = SIMD16<UInt32>

extension SIMD16<Float> {
    @inline(__always)
    var bits: Bits { unsafeBitCast(self, to: Bits.self) }

    @inline(__always)
    init(bits: Bits) { self = unsafeBitCast(bits, to: Vector.self) }

    /// self · x + constant: a step of Horner's rule.
    @inline(__always)
    func times(_ x: Vector, plus constant: Float) -> Vector {
        Vector(repeating: constant).addingProduct(self, x)
    }

    /// Not above `high`; a lane that is not a number stays so.
    @inline(__always)
    func limited(to high: Float) -> Vector {
        let high = Vector(repeating: high)
        return replacing(with: high, where: self .> high)
    }

    /// Not below `low`; a lane that is not a number stays so.
    @inline(__always)
    func raised(to low: Float) -> Vector {
        let low = Vector(repeating: low)
        return replacing(with: low, where: self .< low)
    }
}

/// eˣ for −87 ≤ x ≤ 88, which the caller sees to; not a number gives not a number.
@inline(__always)
func exponential(_ x: Vector) -> Vector {
    // x = n·ln 2 + r, |r| ≤ ln 2 / 2; adding 1.5 · 2²³ rounds n into the low bits of the sum.
    let shifter = Vector(repeating: 12_582_912)
    let shifted = shifter.addingProduct(x, Vector(repeating: 1.442695041))
    let n = shifted - shifter
    let high = x.addingProduct(n, Vector(repeating: -0.693145752))
    let r = high.addingProduct(n, Vector(repeating: -1.42860677e-06))
    let tail = Vector(repeating: 0.0013813145)
        .times(r, plus: 0.008369419).times(r, plus: 0.041668456).times(r, plus: 0.16666515)
        .times(r, plus: 0.49999994)
    let power = (Vector(repeating: 1) + r).addingProduct(r * r, tail)
    return Vector(bits: power.bits &+ (shifted.bits &<< 23))
}

/// ln x for positive normal x.
@inline(__always)
func naturalLogarithm(_ x: Vector) -> Vector {
    // x = 2ᵉ · (1 + f), 1 + f in [√½, √2): e from the bits, √½ being 0x3F3504F3.
    let offset = x.bits &- Bits(repeating: 0x3F35_04F3)
    let exponent = offset & Bits(repeating: 0xFF80_0000)
    let f = Vector(bits: x.bits &- exponent) - Vector(repeating: 1)
    let e = floats(fromSigned: exponent) * Vector(repeating: 0x1p-23)
    let tail = Vector(repeating: -0.076344974)
        .times(f, plus: 0.12761582).times(f, plus: -0.13160184).times(f, plus: 0.14201757)
        .times(f, plus: -0.16623357).times(f, plus: 0.20001227).times(f, plus: -0.2500082)
        .times(f, plus: 0.3333333)
    let square = f * f
    let small = (e * Vector(repeating: -2.12194440e-4)).addingProduct(square * f, tail)
    let sum = f + small.addingProduct(square, Vector(repeating: -0.5))
    return sum.addingProduct(e, Vector(repeating: 0.693359375))
}

/// The cosine and sine of 2π · angle / 2³².
@inline(__always)
func cosineAndSine(ofTurn angle: Bits) -> (cosine: Vector, sine: Vector) {
    // The nearest quarter turn, and what is left: |x| ≤ π / 4.
    let quarter = (angle &+ Bits(repeating: 1 << 29)) &>> 30
    let x = floats(fromSigned: angle &- (quarter &<< 30)) * Vector(repeating: 0x1.921FB6p-30)
    let square = x * x
    let sineTail = Vector(repeating: -0.00019516655)
        .times(square, plus: 0.008332173).times(square, plus: -0.16666655)
    let cosineTail = Vector(repeating: 2.443773e-05)
        .times(square, plus: -0.0013887362).times(square, plus: 0.041666646)
        .times(square, plus: -0.5)
    let s = x.addingProduct(x * square, sineTail)
    let c = Vector(repeating: 1).addingProduct(square, cosineTail)
    // Odd quarters exchange the two; the cosine is negative in quarters 1 and 2, the sine in 2 and 3.
    let exchanged = (quarter & Bits(repeating: 1)) .== Bits(repeating: 1)
    let cosine = c.replacing(with: s, where: exchanged)
    let sine = s.replacing(with: c, where: exchanged)
    let cosineSign = ((quarter &+ Bits(repeating: 1)) & Bits(repeating: 2)) &<< 30
    let sineSign = (quarter & Bits(repeating: 2)) &<< 30
    return (Vector(bits: cosine.bits ^ cosineSign), Vector(bits: sine.bits ^ sineSign))
}

@inline(__always)
func squareRoot(_ x: Vector) -> Vector {
    var result = Vector.zero
    for lane in 0..<lanes { result[lane] = x[lane].squareRoot() }
    return result
}

/// Unsigned integers as floats.
@inline(__always)
func floats(from integers: Bits) -> Vector {
    var result = Vector.zero
    for lane in 0..<lanes { result[lane] = Float(integers[lane]) }
    return result
}

/// Two's-complement integers as floats.
@inline(__always)
func floats(fromSigned integers: Bits) -> Vector {
    var result = Vector.zero
    for lane in 0..<lanes { result[lane] = Float(Int32(bitPattern: integers[lane])) }
    return result
}
