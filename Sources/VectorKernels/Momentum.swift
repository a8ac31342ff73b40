// Gradient descent with momentum (Sutskever et al. 2013), in the form that PyTorch's SGD gives it.

extension VectorKernels {
    package static func momentumDescent(
        _ step: MomentumStep, weights: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        moment: UnsafeMutablePointer<Float>, working: Elements?, count: Int
    ) {
        let gradientScale = Vector(repeating: step.gradientScale)
        let momentum = Vector(repeating: Float(step.momentum))
        let decay = Vector(repeating: Float(-step.learningRate * step.weightDecay))
        let rate = Vector(repeating: Float(-step.learningRate))
        let isNesterov = step.isNesterov
        updateWithMoment(weights, gradient, moment, working, count) { w, m, gradient in
            let g = gradient * gradientScale
            m = g.addingProduct(momentum, m)
            let direction = isNesterov ? g.addingProduct(momentum, m) : m
            w += (w * decay).addingProduct(rate, direction)
        }
    }
}

/// Replaces weights and their one moment by what `body` makes of them and of the gradient, vector by
/// vector; `working` receives the new weights, rounded to its type.
@inline(__always)
func updateWithMoment(
    _ weights: UnsafeMutablePointer<Float>, _ gradient: UnsafePointer<Float>,
    _ moment: UnsafeMutablePointer<Float>, _ working: Elements?, _ count: Int,
    _ body: (inout Vector, inout Vector, Vector) -> Void
) {
    switch working?.type {
    case nil:
        updateWithMoment(
            weights, gradient, moment, copy: UnsafeMutablePointer<Float>?.none, count, body)
    case .float32:
        updateWithMoment(
            weights, gradient, moment, copy: working?.pointer(to: Float.self), count, body)
    case .float16:
        updateWithMoment(
            weights, gradient, moment, copy: working?.pointer(to: Float16.self), count, body)
    case .bfloat16:
        updateWithMoment(
            weights, gradient, moment, copy: working?.pointer(to: BFloat16.self), count, body)
    }
}

@inline(__always)
private func updateWithMoment<Element: StoredElement>(
    _ weights: UnsafeMutablePointer<Float>, _ gradient: UnsafePointer<Float>,
    _ moment: UnsafeMutablePointer<Float>, copy working: UnsafeMutablePointer<Element>?,
    _ count: Int, _ body: (inout Vector, inout Vector, Vector) -> Void
) {
    let whole = count & ~(lanes - 1)
    var index = 0
    while index < whole {
        var (w, m) = (weights.vector(at: index), moment.vector(at: index))
        body(&w, &m, gradient.vector(at: index))
        weights.store(w, at: index)
        working?.store(w, at: index)
        moment.store(m, at: index)
        index += lanes
    }
    let rest = count - whole
    guard rest > 0 else { return }
    var (w, m) = (
        UnsafePointer(weights).vector(at: whole, count: rest),
        UnsafePointer(moment).vector(at: whole, count: rest)
    )
    body(&w, &m, gradient.vector(at: whole, count: rest))
    weights.store(w, at: whole, count: rest)
    working?.store(w, at: whole, count: rest)
    moment.store(m, at: whole, count: rest)
}
