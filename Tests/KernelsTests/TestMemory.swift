// Memory with stable addresses, for kernels that take many pointers.

import Kernels

/// Lends copies of arrays until the end of `withMemory`.
struct TestMemory {
    fileprivate final class Blocks {
        var blocks: [UnsafeMutableRawPointer] = []
        deinit { for block in blocks { block.deallocate() } }
    }

    fileprivate let owner = Blocks()

    func copy<Element: BitwiseCopyable>(_ values: [Element]) -> UnsafeMutablePointer<Element> {
        let pointer = UnsafeMutablePointer<Element>.allocate(capacity: max(values.count, 1))
        pointer.initialize(from: values, count: values.count)
        owner.blocks.append(UnsafeMutableRawPointer(pointer))
        return pointer
    }

    /// Memory that the kernel has to overwrite: not a number until it does.
    func unset(_ count: Int) -> UnsafeMutablePointer<Float> {
        copy([Float](repeating: .nan, count: count))
    }
}

func withMemory<Result>(_ body: (TestMemory) -> Result) -> Result {
    let memory = TestMemory()
    return withExtendedLifetime(memory.owner) { body(memory) }
}

func array<Element>(_ pointer: UnsafePointer<Element>, _ count: Int) -> [Element] {
    Array(UnsafeBufferPointer(start: pointer, count: count))
}

// Stored elements of either type.

let elementTypes: [ElementType] = [.float32, .float16, .bfloat16]

extension TestMemory {
    /// The values, rounded to the type.
    func elements(_ values: [Float], _ type: ElementType = .float32) -> Elements {
        switch type {
        case .float32: Elements(copy(values))
        case .float16: Elements(copy(values.map { Float16($0) }))
        case .bfloat16: Elements(copy(values.map { BFloat16($0) }))
        }
    }

    func unset(_ count: Int, _ type: ElementType) -> Elements {
        elements([Float](repeating: .nan, count: count), type)
    }
}

func array(_ elements: Elements, _ count: Int) -> [Float] {
    (0..<count).map { elements.float(at: $0) }
}

/// What a store and a load make of the values.
func rounded(_ values: [Float], to type: ElementType) -> [Float] {
    switch type {
    case .float32: values
    case .float16: values.map { Float(Float16($0)) }
    case .bfloat16: values.map { BFloat16($0).float }
    }
}
