// The Gaussian error linear unit (Hendrycks and Gimpel 2016) in its two forms, the sigmoid-weighted one
// (SiLU, same paper), the rectified one, the hyperbolic tangent, and their derivatives.
//
// x: input; y: value; σ: logistic function; Φ, φ: distribution function and density of the normal
// distribution. Beyond |x| = 9 both forms are 0 or x to all digits of Float32, so that σ and Φ are taken
// at the limited x, where nothing overflows. SiLU is limited at 87, the end of the exponential.

extension VectorKernels {
    package static func activate(
        _ kind: Activation, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>,
        count: Int
    ) {
        activate(kind, Elements(x), into: Elements(y), count: count)
    }

    package static func activate(_ kind: Activation, _ x: Elements, into y: Elements, count: Int) {
        precondition(
            x.type == y.type,
            "activate: operands of one type expected, found \(x.type) and \(y.type)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            let (x, y) = (UnsafePointer(x.pointer(to: type)), y.pointer(to: type))
            switch kind {
            case .geluTanh: map(x, into: y, count, geluTanh)
            case .geluErf: map(x, into: y, count, geluErf)
            case .silu: map(x, into: y, count, silu)
            case .relu: map(x, into: y, count, relu)
            case .tanh: map(x, into: y, count, hyperbolicTangent)
            }
        }
        switch x.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    package static func activateBackward(
        _ kind: Activation, _ x: Elements, gradient dy: Elements, into dx: Elements, count: Int
    ) {
        precondition(
            x.type == dy.type && x.type == dx.type,
            "activateBackward: operands of one type expected, found \(x.type), \(dy.type), \(dx.type)"
        )
        func run<Element: StoredElement>(_ type: Element.Type) {
            let (x, dy) = (UnsafePointer(x.pointer(to: type)), UnsafePointer(dy.pointer(to: type)))
            let dx = dx.pointer(to: type)
            switch kind {
            case .geluTanh: map(x, dy, into: dx, count, geluTanhBackward)
            case .geluErf: map(x, dy, into: dx, count, geluErfBackward)
            case .silu: map(x, dy, into: dx, count, siluBackward)
            case .relu: map(x, dy, into: dx, count, reluBackward)
            case .tanh: map(x, dy, into: dx, count, hyperbolicTangentBackward)
            }
        }
        switch x.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }
}

// Named, and not closures, so that they are inlined wherever a loop calls them.

@inline(__always)
func geluTanh(_ x: Vector) -> Vector { x * GELUTanh(at: x).sigmoid }

@inline(__always)
func geluErf(_ x: Vector) -> Vector { x * GELUErf(at: x).distribution }

@inline(__always)
func silu(_ x: Vector) -> Vector { x * SiLU(at: x).sigmoid }

@inline(__always)
func relu(_ x: Vector) -> Vector { x.raised(to: 0) }

@inline(__always)
func sigmoid(_ x: Vector) -> Vector { SiLU(at: x).sigmoid }

@inline(__always)
func hyperbolicTangent(_ x: Vector) -> Vector { HyperbolicTangent(at: x).value }

@inline(__always)
private func geluTanhBackward(_ x: Vector, _ dy: Vector) -> Vector {
    dy * GELUTanh(at: x).derivative
}

@inline(__always)
private func geluErfBackward(_ x: Vector, _ dy: Vector) -> Vector {
    dy * GELUErf(at: x).derivative
}

@inline(__always)
private func siluBackward(_ x: Vector, _ dy: Vector) -> Vector { dy * SiLU(at: x).derivative }

@inline(__always)
private func reluBackward(_ x: Vector, _ dy: Vector) -> Vector { dy * reluDerivative(x) }

@inline(__always)
private func hyperbolicTangentBackward(_ x: Vector, _ dy: Vector) -> Vector {
    dy * HyperbolicTangent(at: x).derivative
}

@inline(__always)
private func reluDerivative(_ x: Vector) -> Vector {
    Vector(repeating: 1).replacing(with: 0, where: x .<= Vector.zero)
}

// The value and the derivative, which share their costly part.

@inline(__always)
func geluTanhAndDerivative(_ x: Vector) -> (value: Vector, derivative: Vector) {
    let function = GELUTanh(at: x)
    return (x * function.sigmoid, function.derivative)
}

@inline(__always)
func geluErfAndDerivative(_ x: Vector) -> (value: Vector, derivative: Vector) {
    let function = GELUErf(at: x)
    return (x * function.distribution, function.derivative)
}

@inline(__always)
func siluAndDerivative(_ x: Vector) -> (value: Vector, derivative: Vector) {
    let function = SiLU(at: x)
    return (x * function.sigmoid, function.derivative)
}

@inline(__always)
func reluAndDerivative(_ x: Vector) -> (value: Vector, derivative: Vector) {
    (relu(x), reluDerivative(x))
}

@inline(__always)
func hyperbolicTangentAndDerivative(_ x: Vector) -> (value: Vector, derivative: Vector) {
    let function = HyperbolicTangent(at: x)
    return (function.value, function.derivative)
}

private let limit: Float = 9

private struct GELUTanh {
    let x: Vector
    let square: Vector
    /// e^(−2u)
    let decay: Vector
    /// σ(2u)
    let sigmoid: Vector

    @_transparent
    init(at input: Vector) {
        x = input.limited(to: limit).raised(to: -limit)
        square = x * x
        // −2u = −x · (2√(2/π) + 2√(2/π) · 0.044715 · x²)
        let slope = Vector(repeating: -0.0713548163).times(square, plus: -1.59576912)
        decay = exponential(x * slope)
        sigmoid = 1 / (1 + decay)
    }

    /// σ + x · σ · (1 − σ) · (2u)′; 1 − σ = σ · e^(−2u), without cancellation.
    @inline(__always)
    var derivative: Vector {
        let slope = Vector(repeating: 0.214064449).times(square, plus: 1.59576912)
        return sigmoid.addingProduct(x * slope * sigmoid, decay * sigmoid)
    }
}

private struct SiLU {
    let x: Vector
    /// e^(−x)
    let decay: Vector
    /// σ(x)
    let sigmoid: Vector

    @_transparent
    init(at input: Vector) {
        x = input.limited(to: 87).raised(to: -87)
        decay = exponential(Vector.zero - x)
        sigmoid = 1 / (1 + decay)
    }

    /// σ + x · σ · (1 − σ); 1 − σ = σ · e^(−x), without cancellation.
    @inline(__always)
    var derivative: Vector { sigmoid.addingProduct(x * sigmoid, decay * sigmoid) }
}

private struct GELUErf {
    let x: Vector
    /// e^(−x²/2)
    let bell: Vector
    /// Φ(x)
    let distribution: Vector

    @_transparent
    init(at input: Vector) {
        x = input.limited(to: limit).raised(to: -limit)
        bell = exponential(x * x * Vector(repeating: -0.5))
        // The tail 1 − Φ(|x|) = e^(−x²/2) · t · P(t), t = 1 / (1 + 0.3·|x|).
        let magnitude = Vector(bits: x.bits & Bits(repeating: 0x7FFF_FFFF))
        let t = 1 / Vector(repeating: 0.3).times(magnitude, plus: 1)
        let factor = Vector(repeating: 0.03753569)
            .times(t, plus: -0.16501956).times(t, plus: 0.21997109).times(t, plus: -0.06640244)
            .times(t, plus: 0.1354201).times(t, plus: 0.09778398).times(t, plus: 0.12110569)
            .times(t, plus: 0.11960549)
        let tail = bell * t * factor
        distribution = tail.replacing(with: 1 - tail, where: x .> Vector.zero)
    }

    /// Φ(x) + x · φ(x)
    @inline(__always)
    var derivative: Vector {
        distribution.addingProduct(x * Vector(repeating: 0.398942280), bell)
    }
}

private struct HyperbolicTangent {
    /// Limited to ±10, where the tangent is ±1 to all digits of Float32.
    let x: Vector
    /// e^(−2|x|)
    let decay: Vector

    @_transparent
    init(at input: Vector) {
        x = input.limited(to: 10).raised(to: -10)
        let magnitude = Vector(bits: x.bits & Bits(repeating: 0x7FFF_FFFF))
        decay = exponential(magnitude * Vector(repeating: -2))
    }

    /// ±(1 − e^(−2|x|)) / (1 + e^(−2|x|)); near 0, where that loses digits, the series up to x⁹.
    @inline(__always)
    var value: Vector {
        let magnitude = (1 - decay) / (1 + decay)
        let far = Vector(bits: magnitude.bits | (x.bits & Bits(repeating: 0x8000_0000)))
        let square = x * x
        let tail = Vector(repeating: 0.0218694885)
            .times(square, plus: -0.0539682540).times(square, plus: 0.133333333)
            .times(square, plus: -0.333333333)
        let near = x.addingProduct(x * square, tail)
        return far.replacing(with: near, where: square .< Vector(repeating: 0.09))
    }

    /// 1 − tanh² = 4e^(−2|x|) / (1 + e^(−2|x|))², without cancellation.
    @inline(__always)
    var derivative: Vector {
        let sum = 1 + decay
        return 4 * decay / (sum * sum)
    }
}
