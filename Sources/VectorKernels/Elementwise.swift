// Element-wise arithmetic on contiguous runs. Single-threaded: the caller gives each thread its runs.

extension VectorKernels {
    package static func add(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>,
        count: Int
    ) {
        map(a, b, into: out, count) { $0 + $1 }
    }

    package static func add(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>,
        and copy: UnsafeMutablePointer<Float>, count: Int
    ) {
        let whole = count & ~(lanes - 1)
        var index = 0
        while index < whole {
            let sum = a.vector(at: index) + b.vector(at: index)
            out.store(sum, at: index)
            copy.store(sum, at: index)
            index += lanes
        }
        let rest = count - whole
        if rest > 0 {
            let sum = a.vector(at: whole, count: rest) + b.vector(at: whole, count: rest)
            out.store(sum, at: whole, count: rest)
            copy.store(sum, at: whole, count: rest)
        }
    }

    package static func add(_ a: Elements, _ b: Elements, into out: Elements, count: Int) {
        precondition(
            a.type == b.type && a.type == out.type,
            "add: operands of one type expected, found \(a.type), \(b.type), \(out.type)")
        func run<Element: StoredElement>(_ type: Element.Type) {
            map(
                UnsafePointer(a.pointer(to: type)), UnsafePointer(b.pointer(to: type)),
                into: out.pointer(to: type), count
            ) { $0 + $1 }
        }
        switch a.type {
        case .float32: run(Float.self)
        case .float16: run(Float16.self)
        case .bfloat16: run(BFloat16.self)
        }
    }

    package static func convert(from source: Elements, to target: Elements, count: Int) {
        func run<Source: StoredElement, Target: StoredElement>(
            _ from: Source.Type, _ to: Target.Type
        ) {
            map(
                UnsafePointer(source.pointer(to: from)), into: target.pointer(to: to), count
            ) { $0 }
        }
        func run<Source: StoredElement>(from type: Source.Type) {
            switch target.type {
            case .float32: run(type, Float.self)
            case .float16: run(type, Float16.self)
            case .bfloat16: run(type, BFloat16.self)
            }
        }
        guard source.type != target.type else {
            target.base.copyMemory(from: source.base, byteCount: count * source.type.size)
            return
        }
        switch source.type {
        case .float32: run(from: Float.self)
        case .float16: run(from: Float16.self)
        case .bfloat16: run(from: BFloat16.self)
        }
    }

    package static func firstNonFinite(_ x: Elements, count: Int) -> Int? {
        switch x.type {
        case .float32: firstNonFinite(UnsafePointer(x.pointer(to: Float.self)), count)
        case .float16: firstNonFinite(UnsafePointer(x.pointer(to: Float16.self)), count)
        case .bfloat16: firstNonFinite(UnsafePointer(x.pointer(to: BFloat16.self)), count)
        }
    }

    private static func firstNonFinite<Element: StoredElement>(
        _ x: UnsafePointer<Element>, _ count: Int
    ) -> Int? {
        let chunk = 4096
        for start in stride(from: 0, to: count, by: chunk) {
            let end = min(count, start + chunk)
            // x·0 is 0 for every finite x and not a number for the others, and so is the sum.
            var sum = Vector.zero
            @inline(__always)
            func probe(_ index: Int, _ count: Int) {
                sum.addProduct(x.part(at: start + index, count: count), Vector.zero)
            }
            forEachVector(end - start, probe)
            if sum.treeSum().isNaN { return (start..<end).first { !x[$0].float.isFinite } }
        }
        return nil
    }

    package static func accumulate(
        _ source: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>, count: Int
    ) {
        map(target, source, into: target, count) { $0 + $1 }
    }

    package static func scale(_ x: UnsafeMutablePointer<Float>, by factor: Float, count: Int) {
        let factor = Vector(repeating: factor)
        map(x, into: x, count) { $0 * factor }
    }

    package static func treeAdd(
        _ partials: UnsafeMutablePointer<Float>, slices: Int, stride: Int, count: Int
    ) {
        precondition(
            slices > 0 && slices & (slices - 1) == 0,
            "treeAdd: expected a power of two of slices, got \(slices)")
        serially {
            let chunk = 1024  // all slices of a chunk stay in the first-level cache
            var start = 0
            while start < count {
                let length = min(chunk, count - start)
                var distance = 1
                while distance < slices {
                    var slice = 0
                    while slice < slices {
                        let target = partials + slice * stride + start
                        accumulate(target + distance * stride, into: target, count: length)
                        slice += 2 * distance
                    }
                    distance *= 2
                }
                start += length
            }
        }
    }

    package static func sumOfSquares(_ x: UnsafePointer<Float>, count: Int) -> Double {
        var low = SIMD8<Double>.zero
        var high = SIMD8<Double>.zero
        let whole = count & ~(lanes - 1)
        var index = 0
        while index < whole {
            addSquares(x.vector(at: index), to: &low, &high)
            index += lanes
        }
        if whole < count { addSquares(x.vector(at: whole, count: count - whole), to: &low, &high) }
        let eight = low + high
        let four = eight.lowHalf + eight.highHalf
        let two = four.lowHalf + four.highHalf
        return two[0] + two[1]
    }
}

@inline(__always)
private func addSquares(
    _ x: Vector, to low: inout SIMD8<Double>, _ high: inout SIMD8<Double>
) {
    var first = SIMD8<Double>.zero
    var second = SIMD8<Double>.zero
    for lane in 0..<8 {
        first[lane] = Double(x[lane])
        second[lane] = Double(x[lane + 8])
    }
    low.addProduct(first, first)
    high.addProduct(second, second)
}
