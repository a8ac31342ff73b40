import Kernels
import Tensors

/// A named weight: what it is, how it may be cut across ranks, and how it starts.
///
/// Constructing a parameter allocates nothing; `Parallelism` (or a test) binds its memory and fills it.
/// Two uses of one weight (a tied head) share one parameter, which is its identity.
public final class Parameter {
    /// Its name in checkpoints.
    public let name: String
    public let spec: ShardSpec
    public let initializer: Initializer
    public private(set) var leaf: Leaf
    /// The slices this process holds: all, until parallelism is applied to the model.
    package private(set) var sum: any SliceSum

    public init(
        _ name: String, _ spec: ShardSpec, initializer: Initializer, isTrainable: Bool = true
    ) {
        (self.name, self.spec, self.initializer) = (name, spec, initializer)
        leaf = Leaf(shape: spec.shape, isTrainable: isTrainable)
        sum = LocalSliceSum(slices: spec.sliceCount)
    }

    /// Whether other ranks hold a part of it.
    package var isSplit: Bool { sum.localSlices.count < sum.sliceCount }

    /// From now on this process holds only the slices of `sum`. Its memory is bound afterwards.
    package func hold(_ sum: any SliceSum) {
        guard let axis = spec.axis else {
            preconditionFailure("Parameter: \(name) has no axis that could be split")
        }
        precondition(
            sum.sliceCount == spec.sliceCount,
            "Parameter: \(name) has \(spec.sliceCount) slices, the sum \(sum.sliceCount)")
        self.sum = sum
        var extents = spec.shape.extents
        extents[axis] = slices.held.count
        leaf = Leaf(shape: Shape(extents), isTrainable: leaf.isTrainable)
    }

    /// Elements, in the global logical shape.
    public var count: Int { spec.shape.count }

    /// Weight decay applies to matrices and tables; biases and norms' gains, which have one axis, are
    /// left alone (the rule of nanoGPT).
    public var decays: Bool { spec.shape.rank >= 2 }

    /// The canonical slices of the sharded axis, as this process holds them.
    public var slices: Slices { Slices(borders: spec.axisBorders, sum: sum) }

    /// What of the whole parameter's memory is here.
    public var heldRange: Range<Int> {
        let slices = spec.memoryRanges[sum.localSlices]
        return slices.first!.lowerBound..<slices.last!.upperBound
    }

    /// Initial values of elements `range` of the whole parameter's memory, into a Float32 buffer: each is a
    /// function of the seed, the name and its *logical* index, so that a rank makes those it holds.
    public func initialize(_ range: Range<Int>, seed: UInt64, into buffer: Buffer) {
        let stream = RandomStream(seed: seed, stream: RandomStream.stream(named: name))
        let memory = buffer.floats
        let runs = spec.runs
        parallelFor(runs.count) { index in
            let run = runs[index]
            let common = range.clamped(to: run.memoryOffset..<run.memoryOffset + run.count)
            guard !common.isEmpty else { return }
            initializer.fill(
                memory + common.lowerBound - range.lowerBound, count: common.count,
                firstIndex: UInt64(run.logicalOffset + common.lowerBound - run.memoryOffset),
                stream: stream)
        }
    }
}

/// The distribution of a parameter before the first step.
public enum Initializer: Hashable, Sendable {
    case zeros
    case ones
    /// Mean 0.
    case normal(deviation: Float)

    func fill(
        _ memory: UnsafeMutablePointer<Float>, count: Int, firstIndex: UInt64, stream: RandomStream
    ) {
        switch self {
        case .zeros: memory.update(repeating: 0, count: count)
        case .ones: memory.update(repeating: 1, count: count)
        case .normal(let deviation):
            kernels.normal(
                stream, into: memory, count: count, firstIndex: firstIndex, mean: 0,
                deviation: deviation)
        }
    }
}
