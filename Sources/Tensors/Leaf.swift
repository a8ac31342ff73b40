import Kernels

/// A tensor that outlives every tape and gathers a gradient: what a parameter is to a primitive.
///
/// The gradient is Float32 and is *accumulated*: the first contribution after `beginAccumulation()`
/// overwrites the buffer (β = 0), the others are added (β = 1), in the order in which the backward passes
/// make them. A frozen leaf has no gradient storage, and pullbacks skip it.
public final class Leaf {
    public let shape: Shape
    public var isTrainable: Bool

    /// Whether a contribution came in since `beginAccumulation()`.
    package private(set) var hasContribution = false
    private var bound: Tensor?
    private var target: Tensor?

    /// A leaf whose memory is bound later, so that a model can be described before anything is allocated.
    public init(shape: Shape, isTrainable: Bool = true) {
        (self.shape, self.isTrainable) = (shape, isTrainable)
    }

    public convenience init(_ value: Tensor, isTrainable: Bool = true) {
        self.init(shape: value.shape, isTrainable: isTrainable)
        bind(value)
    }

    /// The working weights.
    public var value: Tensor {
        guard let bound else {
            preconditionFailure("Leaf: of shape \(shape), read before it is bound")
        }
        return bound
    }

    /// The sum of the contributions so far; nil before the first.
    public var gradient: Tensor? { hasContribution ? target : nil }

    package func bind(_ value: Tensor) {
        precondition(value.shape == shape, "Leaf: \(value.shape) bound to a leaf of \(shape)")
        bound = value
    }

    /// The next contribution overwrites. `target`: where gradients go from now on; nil: where they went
    /// before, or storage of the leaf's own.
    package func beginAccumulation(into target: Tensor? = nil) {
        if let target {
            precondition(
                target.shape == shape && target.dtype == .float32,
                "Leaf: a gradient of \(target.shape) for a leaf of \(shape)")
            self.target = target
        }
        hasContribution = false
    }

    /// A gradient of zeros where no contribution came in: the parameter was not used.
    package func endAccumulation() {
        guard isTrainable, !hasContribution else { return }
        contribute { gradient, _ in gradient.clear() }
    }

    /// Hands out the gradient, which is overwritten where `accumulates` is false, and added to otherwise.
    func contribute(_ body: (_ gradient: Buffer, _ accumulates: Bool) -> Void) {
        precondition(isTrainable, "Leaf: a frozen leaf takes no gradient")
        let target = self.target ?? Tensor(uninitialized: shape)
        self.target = target
        body(target.buffer, hasContribution)
        hasContribution = true
    }

    /// Adds a Float32 contribution that was made elsewhere.
    func contribute(adding values: Buffer) {
        contribute { gradient, accumulates in
            if accumulates {
                serially {
                    accumulate(values.floats, into: gradient.floats, count: values.count)
                }
            } else {
                gradient.copyBytes(from: values)
            }
        }
    }
}
