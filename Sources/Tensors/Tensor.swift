import Kernels

/// A shaped view of a buffer: row-major, contiguous, a value whose memory is shared.
///
/// A tensor that a primitive made while a tape was recording knows its `slot` there; to the tape, one
/// without a slot is a constant.
public struct Tensor {
    public let buffer: Buffer
    /// Of the whole tensor, also where not all of its rows are here.
    public let shape: Shape
    /// The rows (all axes but the last, as one) that are here: all of them, unless the tensor is scattered
    /// over a group of ranks (`TokenSlices`).
    package let heldRows: Range<Int>
    package let slot: Tape.Slot?

    /// - Parameter rows: nil: all.
    package init(buffer: Buffer, shape: Shape, rows: Range<Int>? = nil, slot: Tape.Slot? = nil) {
        let held = rows ?? 0..<shape.rows
        precondition(
            buffer.count == held.count * shape.width,
            "Tensor: rows \(held) of shape \(shape), but a buffer of \(buffer.count) elements")
        (self.buffer, self.shape, heldRows, self.slot) = (buffer, shape, held, slot)
    }

    /// A new tensor whose elements are not set.
    public init(uninitialized shape: Shape, dtype: DType = .float32) {
        self.init(uninitialized: shape, dtype: dtype, rows: 0..<shape.rows)
    }

    /// The same of which only `rows` are here.
    package init(uninitialized shape: Shape, dtype: DType, rows: Range<Int>) {
        self.init(
            buffer: Buffer(count: rows.count * shape.width, dtype: dtype), shape: shape, rows: rows)
    }

    /// A tensor without memory, of which no log knows (`Storage.init(unbacked:)`).
    package init(unbacked shape: Shape, dtype: DType) {
        let storage = Storage(unbacked: shape.count * dtype.size)
        self.init(buffer: Buffer(storage: storage, count: shape.count, dtype: dtype), shape: shape)
    }

    /// A new tensor of the same shape, type and rows, whose elements are not set.
    package init(like other: Tensor) {
        self.init(uninitialized: other.shape, dtype: other.dtype, rows: other.heldRows)
    }

    /// The same, of zeros.
    package init(zerosLike other: Tensor) {
        self.init(like: other)
        buffer.clear()
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
            guard let base = source.baseAddress else { return }
            serially { floats.update(from: base, count: source.count) }
        }
    }

    public init(integers elements: [Int32], shape: Shape) {
        self.init(uninitialized: shape, dtype: .int32)
        precondition(
            elements.count == shape.count,
            "Tensor: \(elements.count) elements given for shape \(shape)")
        elements.withUnsafeBufferPointer { source in
            guard let base = source.baseAddress else { return }
            serially { buffer.integers.update(from: base, count: source.count) }
        }
    }

    public var dtype: DType { buffer.dtype }

    /// The elements, copied out.
    public var array: [Float] {
        withExtendedLifetime(self) {
            switch dtype {
            case .float16:
                UnsafeBufferPointer(start: buffer.halves, count: buffer.count).map { Float($0) }
            case .bfloat16:
                UnsafeBufferPointer(start: buffer.brains, count: buffer.count).map(\.float)
            default: Array(UnsafeBufferPointer(start: floats, count: buffer.count))
            }
        }
    }

    /// The elements of a tensor of integers, copied out; nil in a dry log, where there are none.
    package var integers: [Int32]? {
        guard WorkLog.dry == nil else { return nil }
        return withExtendedLifetime(self) {
            Array(UnsafeBufferPointer(start: buffer.integers, count: buffer.count))
        }
    }

    /// The one element of a scalar.
    public var scalar: Float {
        precondition(shape.count == 1, "Tensor: expected one element, got shape \(shape)")
        // In a dry log there is no number.
        return withExtendedLifetime(self) { WorkLog.dry == nil ? floats[0] : 0 }
    }

    /// The one element of a Float64 scalar, such as a loss. A pointer into what a function has just returned would
    /// outlive it: its memory may be another tensor's when the element is read.
    package var float64: Double {
        precondition(shape.count == 1, "Tensor: expected one element, got shape \(shape)")
        return withExtendedLifetime(self) { WorkLog.dry == nil ? buffer.doubles[0] : 0 }
    }

    package var floats: UnsafeMutablePointer<Float> { buffer.floats }
    /// The elements as they are stored: Float32, Float16 or bfloat16.
    package var elements: Elements { buffer.elements }

    /// The same elements under another shape; no element moves, and the tape sees one tensor.
    public func reshaped(_ shape: Shape) -> Tensor {
        precondition(
            heldRows.count == self.shape.rows || shape.width == self.shape.width,
            "Tensor: \(self.shape) to \(shape) where only rows \(heldRows) are here")
        let rows = heldRows.count == self.shape.rows ? nil : heldRows
        return Tensor(buffer: buffer, shape: shape, rows: rows, slot: slot)
    }

    /// The same elements as a constant: no gradient flows back through it.
    public var detached: Tensor { Tensor(buffer: buffer, shape: shape, rows: heldRows) }

    /// Some rows, one behind the other, as a constant.
    package func selectingRows(_ rows: [Int]) -> Tensor {
        let width = shape.width
        let result = Tensor(uninitialized: [rows.count, width], dtype: dtype)
        for (place, row) in rows.enumerated() {
            result.buffer[place * width..<(place + 1) * width].copyBytes(
                from: buffer[row * width..<(row + 1) * width])
        }
        return result
    }

    /// The elements in another storage type, each rounded once; the same tensor where it is of that type.
    package func converted(to dtype: DType) -> Tensor {
        guard dtype != self.dtype else { return self }
        let result = Tensor(uninitialized: shape, dtype: dtype, rows: heldRows)
        let (from, to) = (elements, result.elements)
        parallelRuns(of: buffer.count) { run in
            kernels.convert(from: from + run.lowerBound, to: to + run.lowerBound, count: run.count)
        }
        return result
    }

    func recorded(as slot: Tape.Slot) -> Tensor {
        Tensor(buffer: buffer, shape: shape, rows: heldRows, slot: slot)
    }
}
