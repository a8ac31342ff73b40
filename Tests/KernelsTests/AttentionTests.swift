import Kernels
import Testing

private let shapes = [
    AttentionShape(),
    AttentionShape(batch: 2, queryHeads: 2, queries: 5, keys: 7, dimension: 3),
    AttentionShape(queryHeads: 4, keyHeads: 2, queries: 64, keys: 64, dimension: 32),
    AttentionShape(batch: 2, queryHeads: 3, keyHeads: 3, queries: 65, keys: 67, dimension: 16),
    AttentionShape(queryHeads: 2, keyHeads: 2, queries: 130, keys: 130, dimension: 64),
    AttentionShape(batch: 2, queryHeads: 2, queries: 17, keys: 200, dimension: 80),
    AttentionShape(queries: 70, keys: 33, dimension: 128),
    AttentionShape(queryHeads: 2, keyHeads: 2, queries: 131, keys: 131, dimension: 33),
]

private enum MaskKind: CaseIterable, Sendable {
    case none, causal, offset, window, padding, segments, everything

    func mask(_ shape: AttentionShape) -> MaskCase {
        let difference = shape.keys - shape.queries
        func segments(_ length: Int, of size: Int) -> [Int32] {
            (0..<shape.batch * length).map { Int32($0 % length / size) }
        }
        let ranges = (0..<shape.batch).map { $0 * 2 % shape.keys..<max(shape.keys - 3 * $0, 1) }
        switch self {
        case .none: return MaskCase()
        case .causal: return MaskCase(causal: true)
        case .offset: return MaskCase(causal: true, queryOffset: difference)
        case .window: return MaskCase(queryOffset: max(difference, 0), window: 5)
        case .padding: return MaskCase(keyRanges: ranges.map { $0.clamped(to: 1..<shape.keys + 1) })
        case .segments:
            return MaskCase(
                querySegments: segments(shape.queries, of: 19),
                keySegments: segments(shape.keys, of: 23))
        case .everything:
            return MaskCase(
                causal: true, queryOffset: difference, window: 70, keyRanges: ranges,
                querySegments: segments(shape.queries, of: 50),
                keySegments: segments(shape.keys, of: 37))
        }
    }
}

/// Within the sums' own error; of Float16, also half a unit of what is stored, and what the rounding of the
/// output does to δ = Σ_d o·do: 128 products, each off by up to 2⁻¹², errors of either sign.
private func agrees(
    _ found: [Float], _ reference: [Double], as type: ElementType = .float32
) -> Bool {
    switch type {
    case .float32: close(found, reference, absolute: 5e-6, relative: 2e-5)
    case .float16: close(found, reference, absolute: 4e-3, relative: 0x1p-10)
    case .bfloat16: close(found, reference, absolute: 3.2e-2, relative: 0x1p-7)
    }
}

/// The values moved on by one place: a control that must not agree.
private func shuffled(_ x: [Double]) -> [Double] {
    x.isEmpty ? [] : Array(x[1...]) + x[..<1]
}

@Suite(.everyCompilation) struct AttentionTests {
    @Test(arguments: shapes, MaskKind.allCases)
    private func agreesWithFloat64(_ shape: AttentionShape, _ kind: MaskKind) {
        for type in elementTypes { checkAgreement(shape, kind, type) }
    }

    private func checkAgreement(_ shape: AttentionShape, _ kind: MaskKind, _ type: ElementType) {
        for (bias, rate) in [(false, Float(0)), (true, 0), (true, 0.25)] {
            var run = AttentionRun(
                shape, mask: kind.mask(shape), bias: bias, type: type)
            if rate > 0 { run.dropout = DropoutCase(rate: rate) }
            let reference = run.reference
            let (output, logSumExp) = run.forward()
            let expected = reference.forward()
            #expect(agrees(output, expected.output, as: type))
            let totalsAgree = zip(logSumExp, expected.logSumExp).allSatisfy {
                Double($0) == $1 || abs(Double($0) - $1) <= 2e-6 * max(1, abs($1))
            }
            #expect(totalsAgree)
            let gradients = run.backward()
            let gradientsExpected = reference.backward(run.upstream.map(Double.init))
            #expect(agrees(gradients.query, gradientsExpected.query, as: type))
            #expect(agrees(gradients.key, gradientsExpected.key, as: type))
            #expect(agrees(gradients.value, gradientsExpected.value, as: type))
            if bias { #expect(agrees(gradients.bias, gradientsExpected.bias, as: type)) }
            if shape.queries > 1 && kind == .none {
                #expect(!agrees(output, shuffled(expected.output), as: type))
                #expect(!agrees(gradients.query, shuffled(gradientsExpected.query), as: type))
                #expect(!agrees(gradients.key, shuffled(gradientsExpected.key), as: type))
                #expect(!agrees(gradients.value, shuffled(gradientsExpected.value), as: type))
                if bias {
                    #expect(!agrees(gradients.bias, shuffled(gradientsExpected.bias), as: type))
                }
            }
        }
    }

    @Test(arguments: MaskKind.allCases)
    private func referenceAgreesWithCentralDifferences(_ kind: MaskKind) {
        let shape = AttentionShape(
            batch: 2, queryHeads: 2, keyHeads: 1, queries: 4, keys: 5, dimension: 3)
        var run = AttentionRun(shape, mask: kind.mask(shape), bias: true)
        run.dropout = DropoutCase(rate: 0.3)
        let reference = run.reference
        let upstream = run.upstream.map(Double.init)
        let gradients = reference.backward(upstream)
        func slopes(
            _ operand: WritableKeyPath<AttentionReference, [Double]>
        ) -> [Double] {
            reference[keyPath: operand].indices.map { index in
                func loss(_ step: Double) -> Double {
                    var moved = reference
                    moved[keyPath: operand][index] += step
                    return zip(moved.forward().output, upstream).reduce(0) { $0 + $1.0 * $1.1 }
                }
                return (loss(1e-4) - loss(-1e-4)) / 2e-4
            }
        }
        func same(_ x: [Double], _ y: [Double]) -> Bool {
            zip(x, y).allSatisfy { abs($0 - $1) <= 1e-7 + 1e-6 * abs($1) }
        }
        #expect(same(gradients.query, slopes(\.query)))
        #expect(same(gradients.key, slopes(\.key)))
        #expect(same(gradients.value, slopes(\.value)))
        #expect(same(gradients.bias, slopes(\.bias!)))
        #expect(!same(shuffled(gradients.value), slopes(\.value)))
    }

    @Test(
        arguments: [20, 64, 80],
        [(nil, ElementType.float32), (37, .float32), (nil, .float16), (37, .float16)])
    func oneQueryHasTheBitsOfTheFullPass(dimension: Int, _ seam: (window: Int?, type: ElementType))
    {
        let length = 150
        let shape = AttentionShape(
            queryHeads: 2, keyHeads: 1, queries: length, keys: length, dimension: dimension)
        let full = AttentionRun(
            shape, mask: MaskCase(causal: true, window: seam.window), type: seam.type)
        let (output, logSumExp) = full.forward()
        let width = shape.queryHeads * dimension
        for query in 0..<length {
            // Once with the keys so far, as a cache holds them, once with all.
            for keys in [query + 1, length] {
                var one = full
                one.shape.queries = 1
                one.shape.keys = keys
                one.mask.queryOffset = query
                one.query = Array(full.query[query * width..<(query + 1) * width])
                one.key = Array(full.key[..<(keys * dimension)])
                one.value = Array(full.value[..<(keys * dimension)])
                let (row, total) = one.forward()
                #expect(bits(row) == bits(Array(output[query * width..<(query + 1) * width])))
                #expect(
                    bits(total) == bits([logSumExp[query], logSumExp[length + query]]))
            }
        }
        var other = full
        other.key[0] += 0.25
        #expect(bits(other.forward().output) != bits(output))
    }

    /// Both sides of the number up to which keys and values are read as they are stored.
    @Test(arguments: 1...6, [ElementType.float32, .float16])
    func fewQueriesHaveTheBitsOfTheFullPass(count: Int, type: ElementType) {
        let (length, first) = (75, 61)
        let shape = AttentionShape(
            queryHeads: 2, keyHeads: 2, queries: length, keys: length, dimension: 72)
        let full = AttentionRun(shape, mask: MaskCase(causal: true), type: type)
        let width = shape.queryHeads * shape.dimension
        let rows = first * width..<(first + count) * width
        var few = full
        few.shape.queries = count
        few.mask.queryOffset = first
        few.query = Array(full.query[rows])
        #expect(bits(few.forward().output) == bits(Array(full.forward().output[rows])))
        few.value[0] += 0.25
        #expect(bits(few.forward().output) != bits(Array(full.forward().output[rows])))
    }

    @Test(arguments: [MaskKind.causal, .everything], [ElementType.float32, .float16])
    private func headsAndSequencesApartHaveTheSameBits(_ kind: MaskKind, _ type: ElementType) {
        let shape = AttentionShape(
            batch: 2, queryHeads: 6, keyHeads: 3, queries: 70, keys: 70, dimension: 24)
        var mask = kind.mask(shape)
        mask.keyRanges = nil
        mask.window = 30
        var run = AttentionRun(shape, mask: mask, type: type)
        run.dropout = DropoutCase(rate: 0.1)
        let (output, _) = run.forward()
        let gradients = run.backward()
        for sequence in 0..<shape.batch {
            for keyHead in 0..<shape.keyHeads {
                let part = run.part(sequence: sequence, keyHead: keyHead)
                let found = part.backward()
                func cutQueries(_ x: [Float]) -> [Float] {
                    var whole = run
                    whole.query = x
                    return whole.part(sequence: sequence, keyHead: keyHead).query
                }
                func cutKeys(_ x: [Float]) -> [Float] {
                    var whole = run
                    whole.key = x
                    return whole.part(sequence: sequence, keyHead: keyHead).key
                }
                #expect(bits(part.forward().output) == bits(cutQueries(output)))
                #expect(bits(found.query) == bits(cutQueries(gradients.query)))
                #expect(bits(found.key) == bits(cutKeys(gradients.key)))
                #expect(bits(found.value) == bits(cutKeys(gradients.value)))
            }
        }
    }

    @Test func rowsThatSeeNothingGiveZeros() {
        let shape = AttentionShape(queries: 70, keys: 70, dimension: 20)
        let run = AttentionRun(shape, mask: MaskCase(causal: true, queryOffset: -66))
        let (output, logSumExp) = run.forward()
        let gradients = run.backward()
        #expect(output[..<(66 * 20)].allSatisfy { $0 == 0 })
        #expect(logSumExp[..<66].allSatisfy { $0 == -.infinity })
        #expect(logSumExp[66...].allSatisfy { $0.isFinite })
        #expect(gradients.query[..<(66 * 20)].allSatisfy { $0 == 0 })
        #expect(gradients.key[(4 * 20)...].allSatisfy { $0 == 0 })
        #expect(gradients.value[(4 * 20)...].allSatisfy { $0 == 0 })
        #expect(gradients.value[..<(4 * 20)].allSatisfy { $0 != 0 })

        var blind = run
        blind.mask = MaskCase(keyRanges: [0..<0])
        #expect(blind.forward().output.allSatisfy { $0 == 0 })
        #expect(blind.backward().query.allSatisfy { $0 == 0 })
        #expect(blind.backward().key.allSatisfy { $0 == 0 })
    }

    @Test func hiddenKeysDoNotMatterAndNotANumberShows() {
        let shape = AttentionShape(queries: 66, keys: 66, dimension: 20)
        let run = AttentionRun(shape, mask: MaskCase(causal: true))
        let output = run.forward().output
        var other = run
        other.key[40 * 20] += 1
        other.value[40 * 20] += 1
        let moved = other.forward().output
        #expect(bits(Array(moved[..<(40 * 20)])) == bits(Array(output[..<(40 * 20)])))
        #expect(moved[40 * 20] != output[40 * 20])
        other.key[40 * 20] = .nan
        #expect(other.forward().output[(40 * 20)...].allSatisfy { $0.isNaN })
    }

    @Test func unwantedGradientsAreLeftAlone() {
        let run = AttentionRun(
            AttentionShape(queries: 66, keys: 66, dimension: 20), mask: MaskCase(causal: true))
        let all = run.backward()
        let query = run.backward(keyWanted: false, valueWanted: false)
        let keyAndValue = run.backward(queryWanted: false)
        #expect(bits(query.query) == bits(all.query))
        #expect((query.key + query.value).allSatisfy { $0.isNaN })
        #expect(bits(keyAndValue.key) == bits(all.key))
        #expect(bits(keyAndValue.value) == bits(all.value))
        #expect(keyAndValue.query.allSatisfy { $0.isNaN })
    }
}

extension ThreadedTests {
    @Suite(.serialized, .everyCompilation)
    struct AttentionThreadsTests {
        @Test(arguments: [false, true])
        func bitsDoNotDependOnThreads(bias: Bool) {
            let shape = AttentionShape(
                batch: 2, queryHeads: 6, keyHeads: 3, queries: 80, keys: 90, dimension: 40)
            var run = AttentionRun(shape, mask: MaskCase(causal: true, queryOffset: 10), bias: bias)
            run.dropout = DropoutCase(rate: 0.1)
            Threads.start(1)
            let output = run.forward().output
            let gradients = run.backward()
            for threads in 2...3 {
                Threads.start(threads)
                #expect(bits(run.forward().output) == bits(output))
                let found = run.backward()
                #expect(bits(found.query) == bits(gradients.query))
                #expect(bits(found.key) == bits(gradients.key))
                #expect(bits(found.value) == bits(gradients.value))
                #expect(bits(found.bias) == bits(gradients.bias))
            }
        }
    }
}
