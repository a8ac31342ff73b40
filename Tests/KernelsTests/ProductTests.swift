import Kernels
import Testing

private let small = ProductCase.all([
    (1, 1, 1), (1, 17, 3), (5, 1, 31), (7, 11, 13), (6, 16, 16), (12, 32, 64), (16, 33, 17),
    (37, 41, 43), (64, 65, 3), (2, 3, 0), (0, 3, 2), (3, 0, 2), (13, 40, 97),
])

/// Several row blocks, column blocks, chains, panels of columns and panels of chains.
private let large = ProductCase.all([(201, 290, 35), (100, 7, 2100), (5, 530, 1300)])
private let huge = [
    ProductCase(m: 7, n: 1030, k: 3100, transposesA: false, transposesB: true, type: .float32),
    ProductCase(m: 8, n: 6100, k: 520, transposesA: true, transposesB: false, type: .float16),
    ProductCase(m: 40, n: 1030, k: 3100, transposesA: true, transposesB: true, type: .bfloat16),
]

/// What `sumOfProducts` makes of the factors: in memory of the caller's, or seen by the epilogue alone.
private func run(
    _ factors: Factors, slices: Int, addedTo old: [Float]? = nil, tile: TileShape? = nil,
    keeps: Bool = true
) -> [Float] {
    let (m, n) = (factors.test.m, factors.test.n)
    return withMemory { memory in
        let c = memory.copy(old ?? [Float](repeating: .nan, count: m * n))
        kernels.sumOfProducts(
            rows: m, columns: n, slices: factors.slices(slices), accumulate: old != nil,
            into: keeps ? c : nil, stride: n, tile: tile
        ) { block in
            if keeps { return }
            for (i, row) in block.rows.enumerated() {
                for (j, column) in block.columns.enumerated() {
                    c[row * n + column] = block.values[i * block.stride + j]
                }
            }
        }
        return array(c, m * n)
    }
}

extension ThreadedTests {
    @Suite(.serialized, .everyCompilation)
    struct ProductTests {
        @Test(arguments: small + large)
        func agreesWithFloat64(_ test: ProductCase) {
            Threads.start(2)
            let factors = Factors(test)
            let exact = factors.exact()
            // A chain's rounding grows with its length.
            let tolerance = 1e-5 * Double(1 + test.k / 100)
            for slices in [1, 2, 8] {
                var c = run(factors, slices: slices)
                #expect(close(c, exact, absolute: tolerance, relative: 1e-5))
                let old = values(c.count, seed: 3)
                let sum = zip(exact, old).map { $0 + Double($1) }
                c = run(factors, slices: slices, addedTo: old)
                #expect(close(c, sum, absolute: tolerance, relative: 1e-5))
                if test.m * test.n * test.k > 0 {
                    c[c.count / 2] += Float(20 * tolerance)
                    #expect(!close(c, sum, absolute: tolerance, relative: 1e-5))
                }
            }
        }

        /// On any number of threads, with any tile, kept or not: the bits of the definition. No cut can
        /// change them then.
        @Test(arguments: small + large)
        func hasTheBitsOfTheDefinition(_ test: ProductCase) {
            let factors = Factors(test)
            let old = values(test.m * test.n, seed: 3)
            for slices in [1, 2, 4, 8] {
                let expected = factors.canonical(slices: slices)
                let added = factors.canonical(slices: slices, addedTo: old)
                var kinds = [(1, TileShape.narrow), (2, .wide), (3, .narrow), (5, .wide)]
                // By the unit itself where it is there.
                if test.type == .bfloat16 && MatrixUnit.isThere {
                    kinds += [(1, .matrix), (3, .matrix)]
                }
                for (threads, tile) in kinds {
                    Threads.start(threads)
                    #expect(same(run(factors, slices: slices, tile: tile), expected))
                    #expect(same(run(factors, slices: slices, tile: tile, keeps: false), expected))
                    #expect(same(run(factors, slices: slices, addedTo: old, tile: tile), added))
                }
            }
        }

        @Test(arguments: huge)
        func hasTheBitsOfTheDefinitionPanelByPanel(_ test: ProductCase) {
            Threads.start(2)
            let factors = Factors(test)
            let old = values(test.m * test.n, seed: 3)
            for slices in [1, 4] {
                let expected = factors.canonical(slices: slices)
                #expect(same(run(factors, slices: slices), expected))
                #expect(same(run(factors, slices: slices, keeps: false), expected))
                let added = factors.canonical(slices: slices, addedTo: old)
                #expect(same(run(factors, slices: slices, addedTo: old, tile: .wide), added))
            }
        }

        /// The control of the two above: they see where a chain ends, and the order of addition.
        @Test func otherChainsGiveOtherBits() {
            let test = ProductCase(
                m: 9, n: 20, k: 3001, transposesA: false, transposesB: true, type: .float32)
            let factors = Factors(test)
            let found = run(factors, slices: 1)
            #expect(same(found, factors.canonical()))
            #expect(!same(found, factors.canonical(chain: chainLength - 1)))
            #expect(!same(found, factors.canonical(chain: test.k)))
            #expect(!same(found, factors.canonical(slices: 2)))
        }

        /// Rows up to and beyond the limit, strips, blocks and pieces that are not whole, chains that are not, in
        /// any number of slices: what reads B where it lies has the bits of the packed form.
        @Test(arguments: 1...17, [ElementType.float32, .float16, .bfloat16])
        func fewRowsHaveTheBitsOfTheDefinition(_ rows: Int, _ type: ElementType) {
            let shapes = [
                (1, 1), (7, 5), (8, 16), (9, 31), (33, 32), (47, 100), (70, 1029), (300, 70),
            ]
            for (n, k) in shapes + [(0, 4), (4, 0)] {
                for transposesA in [false, true] {
                    let factors = Factors(
                        ProductCase(
                            m: rows, n: n, k: k, transposesA: transposesA, transposesB: true,
                            type: type))
                    let old = values(rows * n, seed: 3)
                    for (slices, threads) in [(1, 1), (2, 2), (4, 3), (8, 4)] {
                        Threads.start(threads)
                        let expected = factors.canonical(slices: slices)
                        #expect(same(run(factors, slices: slices), expected))
                        #expect(same(run(factors, slices: slices, keeps: false), expected))
                        #expect(
                            same(run(factors, slices: slices, tile: kernels.nativeTile), expected))
                        let added = factors.canonical(slices: slices, addedTo: old)
                        #expect(same(run(factors, slices: slices, addedTo: old), added))
                    }
                }
            }
        }

        /// The control of the one above.
        @Test func otherChainsOfFewRowsGiveOtherBits() {
            let factors = Factors(
                ProductCase(
                    m: 3, n: 40, k: 3001, transposesA: false, transposesB: true, type: .float32))
            let found = run(factors, slices: 1)
            #expect(same(found, factors.canonical()))
            #expect(!same(found, factors.canonical(chain: chainLength - 1)))
            #expect(!same(found, factors.canonical(chain: 3001)))
            #expect(!same(found, factors.canonical(slices: 2)))
        }

        /// What a rank computes of its rows or columns is that part of the whole product.
        @Test(arguments: ProductCase.all([(192, 65, 128), (40, 70, 1100)]), [false, true])
        func partsHaveTheBitsOfTheWhole(_ test: ProductCase, cutsRows: Bool) {
            Threads.start(2)
            let factors = Factors(test)
            let whole = run(factors, slices: 4)
            let extent = cutsRows ? test.m : test.n
            for pieces in [2, 3, 5] {
                let found = withMemory { memory in
                    let c = memory.unset(test.m * test.n)
                    for piece in 0..<pieces {
                        let low = piece * extent / pieces
                        let count = (piece + 1) * extent / pieces - low
                        kernels.sumOfProducts(
                            rows: cutsRows ? count : test.m, columns: cutsRows ? test.n : count,
                            slices: factors.slices(
                                4, row: cutsRows ? low : 0, column: cutsRows ? 0 : low),
                            into: c + (cutsRows ? low * test.n : low), stride: test.n)
                    }
                    return array(c, test.m * test.n)
                }
                #expect(same(found, whole))
            }
        }

        /// A rank of T has half or a quarter of the terms; its root is a node of the whole tree.
        @Test(arguments: ProductCase.all([(192, 128, 65), (90, 70, 50)]))
        func partsOfASumAreItsSubtrees(_ test: ProductCase) {
            Threads.start(2)
            let factors = Factors(test)
            let count = test.m * test.n
            func sum(_ slices: ArraySlice<ProductSlice>) -> [Float] {
                var c = [Float](repeating: .nan, count: count)
                kernels.sumOfProducts(
                    rows: test.m, columns: test.n, slices: Array(slices), into: &c, stride: test.n)
                return c
            }
            let slices = factors.slices(4)
            let whole = sum(slices[...])
            for size in [1, 2] {
                let ranks = 4 / size
                var partials = (0..<ranks).flatMap { sum(slices[$0 * size..<($0 + 1) * size]) }
                kernels.treeAdd(&partials, slices: ranks, stride: count, count: count)
                #expect(same(Array(partials[..<count]), whole))
                #expect(!same(Array(partials[(ranks - 1) * count..<ranks * count]), whole))
            }
        }

        /// Terms of different shapes, an empty one, and terms that add to what is there.
        @Test func productsTogetherHaveTheBitsOfEachAlone() {
            let tests = [(192, 256, 32), (60, 256, 128), (192, 31, 0), (7, 5, 96)].map { m, n, k in
                ProductCase(
                    m: m, n: n, k: k, transposesA: true, transposesB: false, type: .float16)
            }
            let factors = tests.map { Factors($0) }
            for accumulates in [false, true] {
                let old = tests.map { values($0.m * $0.n, seed: 3) }
                let alone = zip(factors, old).map {
                    run($0, slices: 1, addedTo: accumulates ? $1 : nil)
                }
                for threads in [1, 2, 3, 9] {
                    Threads.start(threads)
                    let together = withMemory { memory in
                        let results = old.map { memory.copy($0) }
                        kernels.products(
                            zip(factors, results).map { factors, c in
                                Product(
                                    rows: factors.test.m, columns: factors.test.n,
                                    inner: factors.test.k, factors.operandA(), factors.operandB(),
                                    accumulate: accumulates, into: c, stride: factors.test.n)
                            })
                        return zip(results, old).map { array($0, $1.count) }
                    }
                    for (found, expected) in zip(together, alone) { #expect(same(found, expected)) }
                    #expect(!same(together[0], alone[0].map { -$0 }))
                }
            }
        }

        @Test func rowsBetweenStridesAreUntouched() {
            let factors = Factors(
                ProductCase(
                    m: 25, n: 20, k: 7, transposesA: false, transposesB: false, type: .float32))
            var c = [Float](repeating: 9, count: 25 * 26)
            kernels.product(
                rows: 25, columns: 20, inner: 7, factors.operandA(), factors.operandB(), into: &c,
                stride: 26)
            for row in 0..<25 {
                #expect(c[row * 26 + 20..<row * 26 + 26].allSatisfy { $0 == 9 })
                #expect(c[row * 26..<row * 26 + 20].allSatisfy { $0 != 9 })
            }
        }

        @Test(arguments: [(40, 30, 20), (40, 3000, 64), (3, 700, 3200)])
        func epilogueSeesEveryElementOnceAndFinished(m: Int, n: Int, k: Int) {
            Threads.start(3)
            let factors = Factors(
                ProductCase(m: m, n: n, k: k, transposesA: false, transposesB: true, type: .float32)
            )
            let plain = run(factors, slices: 2)
            var c = plain
            c.withUnsafeMutableBufferPointer { c in
                guard let c = c.baseAddress else { return }
                kernels.sumOfProducts(
                    rows: m, columns: n, slices: factors.slices(2), into: c, stride: n
                ) { block in
                    for (i, row) in block.rows.enumerated() {
                        for column in block.columns {
                            c[row * n + column] += 1
                            block.values[i * block.stride + column - block.columns.lowerBound] *= 2
                        }
                    }
                }
            }
            #expect(same(c, plain.map { ($0 + 1) * 2 }))
        }
    }
}
