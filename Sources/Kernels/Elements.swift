// Elements as they are stored: Float32, Float16 or bfloat16 in memory, Float32 in registers. A kernel that reads or
// writes what a tensor stores takes `Elements`, decides once for the type, and runs one generic body,
// which the compiler makes once a type. Conversions round to nearest, ties to even, as the hardware does.

/// The type in which elements are stored.
package enum ElementType: Sendable {
    case float32
    case float16
    case bfloat16

    /// Bytes an element takes.
    package var size: Int { self == .float32 ? 4 : 2 }
}

/// A pointer to stored elements.
package struct Elements: @unchecked Sendable {
    package let base: UnsafeMutableRawPointer
    package let type: ElementType

    package init(_ base: UnsafeMutableRawPointer, _ type: ElementType) {
        (self.base, self.type) = (base, type)
    }

    package init(_ floats: UnsafeMutablePointer<Float>) { self.init(floats, .float32) }

    package init(_ floats: UnsafePointer<Float>) {
        self.init(UnsafeMutablePointer(mutating: floats), .float32)
    }

    package init(_ halves: UnsafeMutablePointer<Float16>) { self.init(halves, .float16) }

    package init(_ brains: UnsafeMutablePointer<BFloat16>) { self.init(brains, .bfloat16) }

    package static func + (elements: Elements, count: Int) -> Elements {
        Elements(elements.base + count * elements.type.size, elements.type)
    }

    /// One element as a Float.
    package func float(at index: Int) -> Float {
        switch type {
        case .float32: base.assumingMemoryBound(to: Float.self)[index]
        case .float16: Float(base.assumingMemoryBound(to: Float16.self)[index])
        case .bfloat16: base.assumingMemoryBound(to: BFloat16.self)[index].float
        }
    }

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
