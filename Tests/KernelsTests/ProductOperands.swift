// Two factors in one of the storage orders, and what their product is by definition.

import Kernels
import Testing

/// The shape of a product, and how its factors lie in memory.
struct ProductCase: CustomTestStringConvertible, Sendable {
    let m: Int
    let n: Int
    let k: Int
    let transposesA: Bool
    let transposesB: Bool
    let type: ElementType
    var testDescription: String {
        "\(m)×\(n)×\(k) A\(transposesA ? "ᵀ" : "") B\(transposesB ? "ᵀ" : "") \(type)"
    }

    static func all(
        _ shapes: [(Int, Int, Int)], types: [ElementType] = [.float32, .float16, .bfloat16]
    ) -> [ProductCase] {
        shapes.flatMap { m, n, k in
            [(false, false), (false, true), (true, false), (true, true)].flatMap { a, b in
                types.map {
                    ProductCase(m: m, n: n, k: k, transposesA: a, transposesB: b, type: $0)
                }
            }
        }
    }
}

/// The factors of a case, with rows further apart than they are long.
final class Factors {
    let test: ProductCase
    private let a: Matrix
    private let b: Matrix

    init(_ test: ProductCase, seed: UInt64 = 1) {
        self.test = test
        a = Matrix(test.m, test.k, transposed: test.transposesA, test.type, seed: seed)
        b = Matrix(test.k, test.n, transposed: test.transposesB, test.type, seed: seed + 1)
    }

    func operandA(row: Int = 0, inner: Int = 0) -> Operand { a.operand(row, inner) }
    func operandB(inner: Int = 0, column: Int = 0) -> Operand { b.operand(inner, column) }

    /// The terms of the inner axis cut into `count` canonical slices.
    func slices(_ count: Int, row: Int = 0, column: Int = 0) -> [ProductSlice] {
        borders(count).map {
            ProductSlice(
                inner: $0.count, a: operandA(row: row, inner: $0.lowerBound),
                b: operandB(inner: $0.lowerBound, column: column))
        }
    }

    private func borders(_ count: Int) -> [Range<Int>] {
        (0..<count).map { $0 * test.k / count..<($0 + 1) * test.k / count }
    }

    func exact() -> [Double] {
        var c = [Double](repeating: 0, count: test.m * test.n)
        for i in 0..<test.m {
            for p in 0..<test.k {
                let left = Double(a[i, p])
                for j in 0..<test.n { c[i * test.n + j] += left * Double(b[p, j]) }
            }
        }
        return c
    }

    /// docs/numerics.md, "Matrix products", word by word.
    ///
    /// - Parameters:
    ///   - old: what the product is added to.
    ///   - chain: the length of a chain; the definition's, except in a control.
    func canonical(
        slices: Int = 1, addedTo old: [Float]? = nil, chain length: Int = chainLength
    ) -> [Float] {
        var c = [Float](repeating: 0, count: test.m * test.n)
        for i in 0..<test.m {
            for j in 0..<test.n {
                let start = old.map { $0[i * test.n + j] }
                var sums = borders(slices).map { slice in
                    var sum = slices == 1 ? start : nil
                    var first = slice.lowerBound
                    repeat {
                        let end = min(slice.upperBound, first + length)
                        let link = chain(of: first..<end, row: i, column: j)
                        sum = sum.map { $0 + link } ?? link
                        first = end
                    } while first < slice.upperBound
                    return sum ?? 0
                }
                while sums.count > 1 {
                    sums = stride(from: 0, to: sums.count, by: 2).map { sums[$0] + sums[$0 + 1] }
                }
                c[i * test.n + j] = sums[0]
                if slices > 1, let start { c[i * test.n + j] = start + sums[0] }
            }
        }
        return c
    }

    /// One chain, by the rule of the factors' type.
    private func chain(of inner: Range<Int>, row i: Int, column j: Int) -> Float {
        var chain: Float = 0
        guard test.type == .bfloat16 else {
            for p in inner { chain.addProduct(a[i, p], b[p, j]) }
            return chain
        }
        for start in stride(from: inner.lowerBound, to: inner.upperBound, by: 32) {
            var (even, odd): (Float, Float) = (0, 0)
            for p in start..<min(start + 32, inner.upperBound) {
                if (p - start).isMultiple(of: 2) {
                    even.addProduct(a[i, p], b[p, j])
                } else {
                    odd.addProduct(a[i, p], b[p, j])
                }
            }
            chain += even + odd
        }
        return chain
    }

    /// A matrix as it is read, [rows × columns].
    private final class Matrix {
        private let memory: UnsafeMutableRawPointer
        private let stride: Int
        private let transposed: Bool
        private let type: ElementType

        init(_ rows: Int, _ columns: Int, transposed: Bool, _ type: ElementType, seed: UInt64) {
            let (height, width) = transposed ? (columns, rows) : (rows, columns)
            (stride, self.transposed, self.type) = (width + 3, transposed, type)
            // Not an element more than there are: reading beyond them is an error.
            let count = height == 0 ? 0 : (height - 1) * stride + width
            memory = .allocate(byteCount: max(1, count) * type.size, alignment: 4)
            for (index, value) in values(count, seed: seed).enumerated() {
                switch type {
                case .float32:
                    memory.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self)
                case .float16:
                    memory.storeBytes(
                        of: Float16(value), toByteOffset: 2 * index, as: Float16.self)
                case .bfloat16:
                    memory.storeBytes(
                        of: BFloat16(value), toByteOffset: 2 * index, as: BFloat16.self)
                }
            }
        }

        deinit { memory.deallocate() }

        private func offset(_ row: Int, _ column: Int) -> Int {
            transposed ? column * stride + row : row * stride + column
        }

        func operand(_ row: Int, _ column: Int) -> Operand {
            Operand(
                Elements(memory, type) + offset(row, column), stride: stride,
                transposed: transposed)
        }

        subscript(row: Int, column: Int) -> Float {
            let offset = offset(row, column)
            return switch type {
            case .float32: memory.load(fromByteOffset: 4 * offset, as: Float.self)
            case .float16: Float(memory.load(fromByteOffset: 2 * offset, as: Float16.self))
            case .bfloat16: memory.load(fromByteOffset: 2 * offset, as: BFloat16.self).float
            }
        }
    }
}
