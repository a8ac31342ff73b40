// Elements as they are stored: Float32, Float16 or bfloat16 in memory, Float32 in registers. A kernel that reads or
// writes what a tensor stores takes `Elements`, and decides once for the type (`VectorKernels/StoredElement.swift`).

/// The type in which elements are stored.
@usableFromInline package enum ElementType: Sendable {
    case float32
    case float16
    case bfloat16

    /// Bytes an element takes.
    @inlinable package var size: Int { self == .float32 ? 4 : 2 }
}

/// A pointer to stored elements.
@usableFromInline package struct Elements: @unchecked Sendable {
    @usableFromInline package let base: UnsafeMutableRawPointer
    @usableFromInline package let type: ElementType

    @inlinable package init(_ base: UnsafeMutableRawPointer, _ type: ElementType) {
        (self.base, self.type) = (base, type)
    }

    @inlinable package init(_ floats: UnsafeMutablePointer<Float>) { self.init(floats, .float32) }

    @inlinable package init(_ floats: UnsafePointer<Float>) {
        self.init(UnsafeMutablePointer(mutating: floats), .float32)
    }

    @inlinable package init(_ halves: UnsafeMutablePointer<Float16>) { self.init(halves, .float16) }

    @inlinable package init(_ brains: UnsafeMutablePointer<BFloat16>) {
        self.init(brains, .bfloat16)
    }

    @inlinable package static func + (elements: Elements, count: Int) -> Elements {
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
}
