// Vectors of 16 floats: loading, storing, and runs of any length through one body.
//
// The end of a run that fills no vector goes through the same code in a padded register, so that an
// element's result depends on its operands alone, never on where a run begins or ends. The generic
// members of SIMD types (`rounded`, `clamped`, converting initialisers) run lane by lane and are not
// used: conversions are loops over subscripts, which the compiler makes one instruction.

typealias Vector = SIMD16<Float>

/// Lanes of a vector.
let lanes = 16

extension UnsafePointer where Pointee: StoredElement {
    @inline(__always)
    func vector(at index: Int) -> Vector { Pointee.load(self + index) }

    /// `count` < 16 elements from `index` on, then zeros.
    @inline(__always)
    func vector(at index: Int, count: Int) -> Vector {
        var vector = Vector.zero
        for lane in 0..<count { vector[lane] = self[index + lane].float }
        return vector
    }
}

extension UnsafeMutablePointer where Pointee: StoredElement {
    @inline(__always)
    func vector(at index: Int) -> Vector { UnsafePointer(self).vector(at: index) }

    @inline(__always)
    func store(_ vector: Vector, at index: Int) { Pointee.store(vector, to: self + index) }

    /// The first `count` < 16 lanes.
    @inline(__always)
    func store(_ vector: Vector, at index: Int, count: Int) {
        for lane in 0..<count { self[index + lane] = Pointee(vector[lane]) }
    }
}

/// y = body(x), vector by vector; `y` may be `x`.
@inline(__always)
func map<X: StoredElement, Y: StoredElement>(
    _ x: UnsafePointer<X>, into y: UnsafeMutablePointer<Y>, _ count: Int,
    _ body: (Vector) -> Vector
) {
    let whole = count & ~(lanes - 1)
    var index = 0
    while index < whole {
        y.store(body(x.vector(at: index)), at: index)
        index += lanes
    }
    let rest = count - whole
    if rest > 0 { y.store(body(x.vector(at: whole, count: rest)), at: whole, count: rest) }
}

/// z = body(x, y), vector by vector; `z` may be `x` or `y`.
@inline(__always)
func map<X: StoredElement, Y: StoredElement, Z: StoredElement>(
    _ x: UnsafePointer<X>, _ y: UnsafePointer<Y>, into z: UnsafeMutablePointer<Z>,
    _ count: Int, _ body: (Vector, Vector) -> Vector
) {
    let whole = count & ~(lanes - 1)
    var index = 0
    while index < whole {
        z.store(body(x.vector(at: index), y.vector(at: index)), at: index)
        index += lanes
    }
    let rest = count - whole
    if rest > 0 {
        let result = body(x.vector(at: whole, count: rest), y.vector(at: whole, count: rest))
        z.store(result, at: whole, count: rest)
    }
}
