import Kernels
import Testing

/// A product's operands in one of the four storage orders.
private struct Case: CustomTestStringConvertible, Sendable {
    let m: Int
    let n: Int
    let k: Int
    let transposesA: Bool
    let transposesB: Bool
    var testDescription: String {
        "\(m)×\(n)×\(k) A\(transposesA ? "ᵀ" : "") B\(transposesB ? "ᵀ" : "")"
    }

    static func all(_ shapes: [(Int, Int, Int)]) -> [Case] {
        shapes.flatMap { shape in
            [(false, false), (false, true), (true, false), (true, true)].map {
                Case(
                    m: shape.0, n: shape.1, k: shape.2, transposesA: $0.0, transposesB: $0.1)
            }
        }
    }

    func operandA(_ a: UnsafePointer<Float>, row: Int = 0, inner: Int = 0) -> Operand {
        transposesA
            ? Operand(a + inner * m + row, stride: m, transposed: true)
            : Operand(a + row * k + inner, stride: k)
    }

    func operandB(_ b: UnsafePointer<Float>, inner: Int = 0, column: Int = 0) -> Operand {
        transposesB
            ? Operand(b + column * k + inner, stride: k, transposed: true)
            : Operand(b + inner * n + column, stride: n)
    }

    func reference(_ a: Block, _ b: Block, inner: Range<Int>) -> [Double] {
        var c = [Double](repeating: 0, count: m * n)
        for i in 0..<m {
            for p in inner {
                let left = Double(a[transposesA ? p * m + i : i * k + p])
                for j in 0..<n {
                    c[i * n + j] += left * Double(b[transposesB ? j * k + p : p * n + j])
                }
            }
        }
        return c
    }

    /// The terms of the inner axis cut into `count` canonical slices.
    func slices(_ count: Int, _ a: Block, _ b: Block)
        -> [ProductSlice]
    {
        (0..<count).map { slice in
            let (low, high) = (slice * k / count, (slice + 1) * k / count)
            return ProductSlice(
                inner: high - low, a: operandA(a.pointer, inner: low),
                b: operandB(b.pointer, inner: low))
        }
    }
}

/// Operands are of size 1 and inner extents below some hundreds, so that is the sums' rounding.
private func isClose(_ found: [Float], _ exact: [Double]) -> Bool {
    close(found, exact, absolute: 1e-5, relative: 1e-5)
}

private let small = Case.all([
    (1, 1, 1), (1, 17, 3), (5, 1, 31), (7, 11, 13), (16, 32, 64), (37, 41, 43), (64, 65, 3),
    (2, 3, 0), (0, 3, 2), (3, 0, 2),
])

extension ThreadedTests {
    @Suite(.serialized)
    struct ProductTests {
        @Test(arguments: small)
        private func agreesWithFloat64(_ test: Case) {
            Threads.start(2)
            let a = Block(test.m * test.k, seed: 1)
            defer { a.free() }
            let b = Block(test.k * test.n, seed: 2)
            defer { b.free() }
            let old = values(test.m * test.n, seed: 3)
            let exact = test.reference(a, b, inner: 0..<test.k)
            var c = [Float](repeating: .nan, count: old.count)
            product(
                rows: test.m, columns: test.n, inner: test.k, test.operandA(a.pointer),
                test.operandB(b.pointer),
                into: &c, stride: test.n)
            #expect(isClose(c, exact))
            c = old
            product(
                rows: test.m, columns: test.n, inner: test.k, alpha: 0.5, test.operandA(a.pointer),
                test.operandB(b.pointer), beta: 2, into: &c, stride: test.n)
            let combined = zip(exact, old).map { 0.5 * $0 + 2 * Double($1) }
            #expect(isClose(c, combined))
            if test.m * test.n * test.k > 0 {
                c[c.count / 2] += 1e-3
                #expect(!isClose(c, combined))
            }
        }

        @Test(arguments: small)
        private func sumAgreesWithFloat64(_ test: Case) {
            let a = Block(test.m * test.k, seed: 4)
            defer { a.free() }
            let b = Block(test.k * test.n, seed: 5)
            defer { b.free() }
            for count in [1, 2, 8] {
                var c = [Float](repeating: .nan, count: test.m * test.n)
                sumOfProducts(
                    rows: test.m, columns: test.n, alpha: 2, slices: test.slices(count, a, b),
                    into: &c, stride: test.n)
                let exact = test.reference(a, b, inner: 0..<test.k).map { 2 * $0 }
                #expect(isClose(c, exact))
            }
        }

        @Test func rowsBetweenStridesAreUntouched() {
            let b = Block(7 * 4, seed: 2)
            defer { b.free() }
            let a = Block(5 * 7, seed: 1)
            defer { a.free() }
            var c = [Float](repeating: 9, count: 5 * 10)
            product(
                rows: 5, columns: 4, inner: 7, Operand(a.pointer, stride: 7),
                Operand(b.pointer, stride: 4), into: &c, stride: 10)
            for row in 0..<5 { #expect(c[row * 10 + 4..<row * 10 + 10].allSatisfy { $0 == 9 }) }
        }

        @Test(
            arguments: Case.all([
                (768, 384, 128), (768, 128, 128), (768, 512, 128), (192, 512, 128), (256, 192, 128),
                (1024, 768, 768), (301, 407, 103),
            ]))
        private func threadsDoNotChangeABit(_ test: Case) {
            let a = Block(test.m * test.k, seed: 1)
            defer { a.free() }
            let b = Block(test.k * test.n, seed: 2)
            defer { b.free() }
            var seen: Set<[UInt32]> = []
            var seenSums: Set<[UInt32]> = []
            for threads in [1, 2, 3, 7] {
                Threads.start(threads)
                var c = [Float](repeating: .nan, count: test.m * test.n)
                product(
                    rows: test.m, columns: test.n, inner: test.k, test.operandA(a.pointer),
                    test.operandB(b.pointer), into: &c, stride: test.n)
                seen.insert(bits(c))
                sumOfProducts(
                    rows: test.m, columns: test.n, slices: test.slices(4, a, b), into: &c,
                    stride: test.n)
                seenSums.insert(bits(c))
            }
            let variants = (seen.count, seenSums.count)
            #expect(variants == (1, 1))
            let differ = seen != seenSums
            #expect(differ, "the comparison sees another order of addition")
        }

        /// Terms that are cut, that are too small for it, and that add to what is there.
        @Test func productsTogetherHaveTheBitsOfEachAlone() {
            let (m, n) = (192, 256)
            let inner = [32, 128, 0, 96]
            let a = Block(m * 128, seed: 1)
            defer { a.free() }
            let b = Block(128 * n, seed: 2)
            defer { b.free() }
            let old = values(inner.count * m * n, seed: 3)
            for beta in [Float(0), 1] {
                Threads.start(1)
                var alone = old
                for (index, k) in inner.enumerated() {
                    alone.withUnsafeMutableBufferPointer {
                        product(
                            rows: m, columns: n, inner: k, Operand(a.pointer, stride: 128),
                            Operand(b.pointer, stride: n), beta: beta,
                            into: $0.baseAddress! + index * m * n, stride: n)
                    }
                }
                for threads in [1, 2, 3, 9] {
                    Threads.start(threads)
                    var together = old
                    together.withUnsafeMutableBufferPointer { c in
                        products(
                            inner.enumerated().map { index, k in
                                Product(
                                    rows: m, columns: n, inner: k, Operand(a.pointer, stride: 128),
                                    Operand(b.pointer, stride: n), beta: beta,
                                    into: c.baseAddress! + index * m * n, stride: n)
                            })
                    }
                    #expect(bits(together) == bits(alone))
                    together[m * n + 5] = -together[m * n + 5]
                    #expect(bits(together) != bits(alone))
                }
            }
        }

        /// A rank of T has half or a quarter of the terms; its root is a node of the whole tree.
        @Test(
            arguments: Case.all([(192, 128, 512), (192, 128, 65), (768, 128, 128), (90, 70, 50)]))
        private func partsOfASumAreItsSubtrees(_ test: Case) {
            Threads.start(2)
            let a = Block(test.m * test.k, seed: 1)
            defer { a.free() }
            let b = Block(test.k * test.n, seed: 2)
            defer { b.free() }
            let count = test.m * test.n
            func sum(_ slices: ArraySlice<ProductSlice>) -> [Float] {
                var c = [Float](repeating: .nan, count: count)
                sumOfProducts(
                    rows: test.m, columns: test.n, slices: Array(slices), into: &c, stride: test.n)
                return c
            }
            let slices = test.slices(4, a, b)
            let whole = sum(slices[...])
            for size in [1, 2] {
                let ranks = 4 / size
                var partials = (0..<ranks).flatMap { sum(slices[$0 * size..<($0 + 1) * size]) }
                treeAdd(&partials, slices: ranks, stride: count, count: count)
                #expect(same(Array(partials[..<count]), whole))
            }
        }

        /// What a tensor-parallel rank computes of its slices equals that part of the whole product.
        @Test(
            arguments: Case.all([
                (192, 65, 128), (192, 256, 128), (768, 128, 128), (1024, 768, 64), (40, 3, 16),
            ]), [true, false])
        private func ranksComputeTheirPartOfTheWhole(_ test: Case, slicesRows: Bool) {
            Threads.start(2)
            let a = Block(test.m * test.k, seed: 1)
            defer { a.free() }
            let b = Block(test.k * test.n, seed: 2)
            defer { b.free() }
            let extent = slicesRows ? test.m : test.n
            let borders = (0...4).map { $0 * extent / 4 }
            let smallest = zip(borders, borders.dropFirst()).map { $1 - $0 }.min()!
            func run(_ c: inout [Float], _ slices: Range<Int>) {
                let first = borders[slices.lowerBound]
                let local = (slices.lowerBound...slices.upperBound).map { borders[$0] - first }
                let axis: SlicedAxis =
                    slicesRows
                    ? .rows(borders: local, smallest: smallest)
                    : .columns(borders: local, smallest: smallest)
                c.withUnsafeMutableBufferPointer { c in
                    product(
                        rows: slicesRows ? local.last! : test.m,
                        columns: slicesRows ? test.n : local.last!, inner: test.k,
                        test.operandA(a.pointer, row: slicesRows ? first : 0),
                        test.operandB(b.pointer, column: slicesRows ? 0 : first),
                        into: c.baseAddress! + (slicesRows ? first * test.n : first),
                        stride: test.n,
                        sliced: axis)
                }
            }
            var results: [[UInt32]] = []
            for ranks in [1, 2, 4] {
                var c = [Float](repeating: .nan, count: test.m * test.n)
                for rank in 0..<ranks { run(&c, rank * 4 / ranks..<(rank + 1) * 4 / ranks) }
                results.append(bits(c))
            }
            let areEqual = results.allSatisfy { $0 == results[0] }
            #expect(areEqual)
            let exact = test.reference(a, b, inner: 0..<test.k)
            #expect(isClose(results[0].map(Float.init(bitPattern:)), exact))
        }

        @Test(arguments: [SlicedAxis.none, .rows(borders: [0, 3, 3, 40], smallest: 0)])
        func epilogueSeesEveryElementOnceAndFinished(sliced: SlicedAxis) {
            Threads.start(3)
            for (m, n, k) in [(40, 30, 20), (40, 3000, 64)] {
                let a = Block(m * k, seed: 1)
                defer { a.free() }
                let b = Block(k * n, seed: 2)
                defer { b.free() }
                var plain = [Float](repeating: 0, count: m * n)
                product(
                    rows: m, columns: n, inner: k, Operand(a.pointer, stride: k),
                    Operand(b.pointer, stride: n),
                    into: &plain, stride: n, sliced: sliced)
                var c = plain
                c.withUnsafeMutableBufferPointer { c in
                    let c = c.baseAddress!
                    product(
                        rows: m, columns: n, inner: k, Operand(a.pointer, stride: k),
                        Operand(b.pointer, stride: n),
                        into: c, stride: n, sliced: sliced
                    ) { rows, columns in
                        for row in rows { for column in columns { c[row * n + column] += 1 } }
                    }
                }
                #expect(same(c, plain.map { $0 + 1 }))
            }
        }

        @Test func libraryIsNamedAndPassesItsProbe() {
            #expect(!BLAS.coreName.isEmpty)
            #expect(BLAS.configuration.contains("OpenBLAS"))
            #expect(BLAS.splitInvarianceProbe())
            #expect(BLAS.sgemmRate(threads: 1, repetitions: 1) > 1e8)
        }
    }
}
