// The exponential of sixteen lanes: exp(x) = 2ⁿ·exp(r), n = round(x / ln 2), |r| ≤ ln 2 / 2, with
// exp(r) as a polynomial of degree six (interpolated at the Chebyshev nodes with its first two
// coefficients held at 1: 1.0e-8 relative) and 2ⁿ added to the exponent's bits.

/// exp(x), within 2 units in the last place; exactly 0 below −87 (so also for −∞), +∞ above 88.72,
/// not-a-number stays so.
@inline(__always)
func totalExponential(_ x: Vector) -> Vector {
    // Adding 1.5·2²³ leaves the rounded integer in the low bits of the sum.
    let rounder = Vector(repeating: 12_582_912)
    let shifted = rounder.addingProduct(x, Vector(repeating: 1.442_695_04))
    let n = shifted - rounder
    // ln 2 in two pieces, the first short enough that n times it is exact.
    var r = x.addingProduct(n, Vector(repeating: -0.693_359_375))
    r = r.addingProduct(n, Vector(repeating: 2.121_944_4e-4))
    var p = Vector(repeating: 1.393_364_4e-3)
    p = Vector(repeating: 8.363_175e-3).addingProduct(p, r)
    p = Vector(repeating: 4.166_646_7e-2).addingProduct(p, r)
    p = Vector(repeating: 1.666_657_7e-1).addingProduct(p, r)
    p = Vector(repeating: 0.5).addingProduct(p, r)
    p = Vector(repeating: 1).addingProduct(p, r)
    p = Vector(repeating: 1).addingProduct(p, r)
    let exponent = unsafeBitCast(shifted, to: SIMD16<Int32>.self) &<< 23
    var y = unsafeBitCast(
        unsafeBitCast(p, to: SIMD16<Int32>.self) &+ exponent, to: Vector.self)
    y.replace(with: 0, where: x .< Vector(repeating: -87))
    y.replace(with: .infinity, where: x .> Vector(repeating: 88.72))
    y.replace(with: x, where: x .!= x)
    return y
}
