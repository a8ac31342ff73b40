// How stored elements become registers and back. A kernel that reads or writes what a tensor stores decides once for the
// type and runs one generic body, which the compiler makes once a type. Conversions round to nearest, ties to even, as the
// hardware does.

import CTiles

extension Elements {
    /// The same memory as a pointer to its type, which the caller has asked for.
    @inline(__always)
    func pointer<Element: StoredElement>(to type: Element.Type) -> UnsafeMutablePointer<Element> {
        base.assumingMemoryBound(to: type)
    }
}

/// A type that elements are stored in: how 16 of them become a register and back.
protocol StoredElement: BitwiseCopyable {
    static func load(_ source: UnsafeRawPointer) -> Vector
    static func store(_ vector: Vector, to target: UnsafeMutableRawPointer)
    static func loadFour(_ source: UnsafeRawPointer) -> SIMD4<Float>
    init(_ value: Float)
    var float: Float { get }
}

extension Float: StoredElement {
    @inline(__always)
    static func load(_ source: UnsafeRawPointer) -> Vector {
        source.loadUnaligned(as: Vector.self)
    }

    @inline(__always)
    static func store(_ vector: Vector, to target: UnsafeMutableRawPointer) {
        target.storeBytes(of: vector, as: Vector.self)
    }

    @inline(__always)
    static func loadFour(_ source: UnsafeRawPointer) -> SIMD4<Float> {
        source.loadUnaligned(as: SIMD4<Float>.self)
    }

    @inline(__always)
    var float: Float { self }
}

extension Float16: StoredElement {
    @inline(__always)
    static func load(_ source: UnsafeRawPointer) -> Vector {
        let halves = source.loadUnaligned(as: SIMD16<Float16>.self)
        var vector = Vector.zero
        for lane in 0..<lanes { vector[lane] = Float(halves[lane]) }
        return vector
    }

    @inline(__always)
    static func store(_ vector: Vector, to target: UnsafeMutableRawPointer) {
        var halves = SIMD16<Float16>.zero
        for lane in 0..<lanes { halves[lane] = Float16(vector[lane]) }
        target.storeBytes(of: halves, as: SIMD16<Float16>.self)
    }

    @inline(__always)
    static func loadFour(_ source: UnsafeRawPointer) -> SIMD4<Float> {
        let halves = source.loadUnaligned(as: SIMD4<Float16>.self)
        return SIMD4(Float(halves.x), Float(halves.y), Float(halves.z), Float(halves.w))
    }

    @inline(__always)
    var float: Float { Float(self) }
}

extension BFloat16: StoredElement {
    @inline(__always)
    static func load(_ source: UnsafeRawPointer) -> Vector {
        floats_of_brains(source.loadUnaligned(as: SIMD16<UInt16>.self))
    }

    @inline(__always)
    static func store(_ vector: Vector, to target: UnsafeMutableRawPointer) {
        target.storeBytes(of: brains_of_floats(vector), as: SIMD16<UInt16>.self)
    }

    @inline(__always)
    static func loadFour(_ source: UnsafeRawPointer) -> SIMD4<Float> {
        let four = source.assumingMemoryBound(to: BFloat16.self)
        return SIMD4(four[0].float, four[1].float, four[2].float, four[3].float)
    }
}
