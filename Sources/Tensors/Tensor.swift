import Kernels

/// A shaped view of a buffer: row-major, contiguous, a value whose memory is shared.
///
/// A tensor that a primitive made while a tape was recording knows its `slot` there; to the tape, one
/// without a slot is a constant.
public struct Tensor {
    public let buffer: Buffer
    public let shape: Shape
    package let slot: Tape.Slot?

    package init(buffer: Buffer, shape: Shape, slot: Tape.Slot? = nil) {
        precondition(
            buffer.count == shape.count,
            "Tensor: shape \(shape) has \(shape.count) elements, its buffer \(buffer.count)")
        (self.buffer, self.shape, self.slot) = (buffer, shape, slot)
    }

    /// A new tensor whose elements are not set.
    public init(uninitialized shape: Shape, dtype: DType = .float32) {
        self.init(buffer: Buffer(count: shape.count, dtype: dtype), shape: shape)
    }

    public init(zeros shape: Shape, dtype: DType = .float32) {
        self.init(uninitialized: shape, dtype: dtype)
        buffer.clear()
    }

    public init(_ elements: [Float], shape: Shape) {
        self.init(uninitialized: shape)
        precondition(
            elements.count == shape.count,
            "Tensor: \(elements.count) elements given for shape \(shape)")
        elements.withUnsafeBufferPointer { source in
            if let base = source.baseAddress { floats.update(from: base, count: source.count) }
        }
    }

    public init(integers elements: [Int32], shape: Shape) {
        self.init(uninitialized: shape, dtype: .int32)
        precondition(
            elements.count == shape.count,
            "Tensor: \(elements.count) elements given for shape \(shape)")
        elements.withUnsafeBufferPointer { source in
            if let base = source.baseAddress {
                buffer.integers.update(from: base, count: source.count)
            }
        }
    }

    public var dtype: DType { buffer.dtype }

    /// The elements, copied out.
    public var array: [Float] {
        switch dtype {
        case .float16:
            UnsafeBufferPointer(start: buffer.halves, count: shape.count).map { Float($0) }
        default: Array(UnsafeBufferPointer(start: floats, count: shape.count))
        }
    }

    /// The one element of a scalar.
    public var scalar: Float {
        precondition(shape.count == 1, "Tensor: expected one element, got shape \(shape)")
        return floats[0]
    }

    package var floats: UnsafeMutablePointer<Float> { buffer.floats }

    /// The elements as they are stored, Float32 or Float16.
    package var elements: Elements { buffer.elements }

    /// The same elements under another shape; no element moves, and the tape sees one tensor.
    public func reshaped(_ shape: Shape) -> Tensor {
        Tensor(buffer: buffer, shape: shape, slot: slot)
    }

    /// The same elements as a constant: no gradient flows back through it.
    public var detached: Tensor { Tensor(buffer: buffer, shape: shape) }

    /// The elements in another storage type, each rounded once; the same tensor where it is of that type.
    package func converted(to dtype: DType) -> Tensor {
        guard dtype != self.dtype else { return self }
        let result = Tensor(uninitialized: shape, dtype: dtype)
        let (from, to) = (elements, result.elements)
        parallelRuns(of: shape.count) { run in
            convert(from: from + run.lowerBound, to: to + run.lowerBound, count: run.count)
        }
        return result
    }

    func recorded(as slot: Tape.Slot) -> Tensor { Tensor(buffer: buffer, shape: shape, slot: slot) }
}
