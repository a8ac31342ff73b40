// Registers that may be partly filled, and sums along a register in a fixed order.

extension Vector {
    /// The smallest multiple of 16, the lanes of a register, that is not below `count`.
    @inline(__always)
    static func roundedUp(_ count: Int) -> Int { (count + 15) & ~15 }

    /// The sum of the lanes as a fixed binary tree: halves, quarters, eighths, sixteenths.
    @inline(__always)
    func treeSum() -> Float {
        let eight = lowHalf + highHalf
        let four = eight.lowHalf + eight.highHalf
        let two = four.lowHalf + four.highHalf
        return two.x + two.y
    }

    /// The largest lane, as a tree; no lane may be other than a number.
    @inline(__always)
    func treeMaximum() -> Float {
        let eight = lowHalf.replacing(with: highHalf, where: highHalf .> lowHalf)
        let four = eight.lowHalf.replacing(
            with: eight.highHalf, where: eight.highHalf .> eight.lowHalf)
        let two = four.lowHalf.replacing(with: four.highHalf, where: four.highHalf .> four.lowHalf)
        return two.x > two.y ? two.x : two.y
    }

    /// The largest lane; lanes that are not a number are passed over.
    @inline(__always)
    func largest() -> Float {
        var best = -Float.infinity
        for lane in 0..<16 where self[lane] > best { best = self[lane] }
        return best
    }

    /// self += a·b, rounded once.
    @inline(__always)
    mutating func addProduct(_ a: Vector, _ b: Vector) { self = addingProduct(a, b) }

    /// self += a², rounded once.
    @inline(__always)
    mutating func addSquare(_ a: Vector) { self = addingProduct(a, a) }

    /// Lane-wise maximum; a lane of `other` that is not a number is passed over.
    @inline(__always)
    func maximum(_ other: Vector) -> Vector { replacing(with: other, where: other .> self) }
}

extension UnsafePointer where Pointee: StoredElement {
    /// Elements `index ..< index + count` (count ≤ 16), the other lanes filled.
    @inline(__always)
    func part(at index: Int, count: Int, fill: Float = 0) -> Vector {
        if count == 16 { return vector(at: index) }
        var result = Vector(repeating: fill)
        for lane in 0..<count { result[lane] = self[index + lane].float }
        return result
    }
}

extension UnsafeMutablePointer where Pointee: StoredElement {
    /// Elements `index ..< index + count` (count ≤ 16), the other lanes filled.
    @inline(__always)
    func part(at index: Int, count: Int, fill: Float = 0) -> Vector {
        UnsafePointer(self).part(at: index, count: count, fill: fill)
    }

    /// Stores the first `count` lanes (≤ 16) at `index`.
    @inline(__always)
    func storePart(_ vector: Vector, at index: Int, count: Int) {
        if count == 16 { return store(vector, at: index) }
        for lane in 0..<count { self[index + lane] = Pointee(vector[lane]) }
    }
}

/// Calls `body(index, count)` for the registers of a run of `count` elements: 16 at a time, the rest last.
@inline(__always)
func forEachVector(_ count: Int, _ body: (_ index: Int, _ count: Int) -> Void) {
    var index = 0
    while index + 16 <= count {
        body(index, 16)
        index += 16
    }
    if index < count { body(index, count - index) }
}
