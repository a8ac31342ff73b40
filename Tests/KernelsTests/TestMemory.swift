// Memory with stable addresses, for kernels that take many pointers.

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
