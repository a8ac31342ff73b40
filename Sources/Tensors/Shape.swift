/// The extents of a tensor's axes, outermost first; storage is row-major and contiguous.
public struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
    public let extents: [Int]

    public init(_ extents: [Int]) {
        precondition(
            extents.allSatisfy { $0 >= 0 }, "shape: expected no negative extent, got \(extents)")
        self.extents = extents
    }

    public init(arrayLiteral extents: Int...) { self.init(extents) }

    public var rank: Int { extents.count }
    public var count: Int { extents.reduce(1, *) }

    public subscript(axis: Int) -> Int { extents[axis < 0 ? extents.count + axis : axis] }

    /// Elements of all axes but the last: the rows of the tensor seen as a matrix.
    public var rows: Int { extents.dropLast().reduce(1, *) }
    /// Extent of the last axis, 1 for a scalar.
    public var width: Int { extents.last ?? 1 }

    public var description: String { "[\(extents.map(String.init).joined(separator: ", "))]" }
}
