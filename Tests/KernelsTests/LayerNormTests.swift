import Glibc
import Kernels
import Testing

/// Layer normalisation in Float64, from the formula.
private struct Reference {
    let width: Int
    let epsilon: Double
    var x: [Double]
    var gain: [Double]
    var bias: [Double]

    private func normal(_ row: Int) -> (values: [Double], reciprocal: Double) {
        let values = x[row * width..<(row + 1) * width]
        let mean = values.reduce(0, +) / Double(width)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
        let reciprocal = 1 / (variance + epsilon).squareRoot()
        return (values.map { ($0 - mean) * reciprocal }, reciprocal)
    }

    var rows: Int { x.count / width }

    func forward() -> [Double] {
        (0..<rows).flatMap { row in
            zip(normal(row).values, zip(gain, bias)).map { $0 * $1.0 + $1.1 }
        }
    }

    /// Gradients of Σ y·dy; those of gain and bias over the rows of each slice.
    func backward(_ dy: [Double], _ slices: [Range<Int>]) -> (
        x: [Double], gain: [Double], bias: [Double]
    ) {
        let dx = (0..<rows).flatMap { row -> [Double] in
            let (normal, reciprocal) = normal(row)
            let d = (0..<width).map { dy[row * width + $0] * gain[$0] }
            let mean = d.reduce(0, +) / Double(width)
            let product = zip(d, normal).reduce(0) { $0 + $1.0 * $1.1 } / Double(width)
            return zip(d, normal).map { reciprocal * ($0 - mean - $1 * product) }
        }
        func sums(_ term: (_ row: Int, _ column: Int) -> Double) -> [Double] {
            slices.flatMap { slice in
                (0..<width).map { column in slice.reduce(0) { $0 + term($1, column) } }
            }
        }
        let normals = (0..<rows).map { normal($0).values }
        return (
            dx, sums { dy[$0 * width + $1] * normals[$0][$1] }, sums { dy[$0 * width + $1] }
        )
    }
}

/// The kernels' operands and results.
private struct Run {
    let rows: Int
    let width: Int
    let type: ElementType
    let slices: [Range<Int>]
    let x: [Float]
    let gain: [Float]
    let bias: [Float]
    let dy: [Float]
    let epsilon: Float = 1e-5

    init(
        _ rows: Int, _ width: Int, _ type: ElementType = .float32, slices: [Range<Int>]? = nil
    ) {
        self.type = type
        self.rows = rows
        self.width = width
        self.slices = slices ?? canonicalSlices(rows)
        x = rounded(values(rows * width, seed: 1).map { $0 * 3 + 0.5 }, to: type)
        gain = rounded(values(width, seed: 2).map { $0 + 1 }, to: type)
        bias = rounded(values(width, seed: 3), to: type)
        dy = rounded(values(rows * width, seed: 4), to: type)
    }

    var reference: Reference {
        Reference(
            width: width, epsilon: Double(epsilon), x: x.map(Double.init),
            gain: gain.map(Double.init), bias: bias.map(Double.init))
    }

    func forward(bias hasBias: Bool = true) -> (y: [Float], means: [Float], reciprocals: [Float]) {
        withMemory { memory in
            let y = memory.unset(rows * width, type)
            let means = memory.unset(rows)
            let reciprocals = memory.unset(rows)
            kernels.layerNorm(
                memory.elements(x, type), gain: memory.elements(gain, type),
                bias: hasBias ? memory.elements(bias, type) : nil,
                into: y, means: means, reciprocalDeviations: reciprocals, rows: rows, width: width,
                epsilon: epsilon)
            return (array(y, rows * width), array(means, rows), array(reciprocals, rows))
        }
    }

    func backward(frozen: Bool = false) -> (x: [Float], gain: [Float], bias: [Float]) {
        let saved = forward()
        return withMemory { memory in
            // In place: dx may be dy.
            let dx = memory.elements(dy, type)
            let dgain = memory.unset(slices.count * width)
            let dbias = memory.unset(slices.count * width)
            kernels.layerNormBackward(
                gradient: dx, memory.elements(x, type), gain: memory.elements(gain, type),
                means: memory.copy(saved.means),
                reciprocalDeviations: memory.copy(saved.reciprocals), into: dx,
                gainPartials: frozen ? nil : dgain, biasPartials: frozen ? nil : dbias, rows: rows,
                width: width, tokenSlices: slices)
            return (
                array(dx, rows * width), array(dgain, slices.count * width),
                array(dbias, slices.count * width)
            )
        }
    }
}

/// The four canonical slices of an axis.
func canonicalSlices(_ count: Int) -> [Range<Int>] {
    (0..<4).map { $0 * count / 4..<($0 + 1) * count / 4 }
}

private let shapes = [(1, 1), (3, 7), (5, 16), (2, 17), (37, 61), (129, 64), (300, 100), (70, 768)]

@Suite(.everyCompilation) struct LayerNormTests {
    @Test(arguments: shapes, elementTypes)
    func agreesWithFloat64(shape: (Int, Int), type: ElementType) {
        let (rows, width) = shape
        let run = Run(rows, width, type)
        func near(_ found: [Float], _ expected: [Double], _ absolute: Double) -> Bool {
            close(found, expected, absolute: absolute, relative: 2e-5, storedAs: type)
        }
        #expect(near(run.forward().y, run.reference.forward(), 5e-6))
        var unbiased = run.reference
        unbiased.bias = unbiased.bias.map { _ in 0 }
        #expect(near(run.forward(bias: false).y, unbiased.forward(), 5e-6))
        let found = run.backward()
        let expected = run.reference.backward(run.dy.map(Double.init), run.slices)
        // At width 1 the deviation is 0 and rstd 1/√ε: rounding of dy·gain is multiplied by 316.
        #expect(near(found.x, expected.x, width == 1 ? 1e-4 : 5e-6))
        #expect(close(found.gain, expected.gain, absolute: 2e-5, relative: 2e-5))
        #expect(close(found.bias, expected.bias, absolute: 2e-5, relative: 2e-5))
        if rows > 1 && width > 1 {
            let wrong = Array(expected.x.reversed())
            #expect(!near(found.x, wrong, 5e-6))
            #expect(!close(found.gain, expected.bias, absolute: 2e-5, relative: 2e-5))
        }
    }

    @Test func referenceAgreesWithCentralDifferences() {
        let run = Run(3, 5)
        let dy = run.dy.map(Double.init)
        let gradients = run.reference.backward(dy, [0..<3])
        func slopes(_ operand: WritableKeyPath<Reference, [Double]>) -> [Double] {
            run.reference[keyPath: operand].indices.map { index in
                func loss(_ step: Double) -> Double {
                    var moved = run.reference
                    moved[keyPath: operand][index] += step
                    return zip(moved.forward(), dy).reduce(0) { $0 + $1.0 * $1.1 }
                }
                return (loss(1e-5) - loss(-1e-5)) / 2e-5
            }
        }
        func same(_ x: [Double], _ y: [Double]) -> Bool {
            zip(x, y).allSatisfy { abs($0 - $1) <= 1e-7 + 1e-6 * abs($1) }
        }
        #expect(same(gradients.x, slopes(\.x)))
        #expect(same(gradients.gain, slopes(\.gain)))
        #expect(same(gradients.bias, slopes(\.bias)))
        #expect(!same(gradients.gain, slopes(\.bias)))
    }

    @Test func tokenSlicesAreSummedApart() {
        let slices = [0..<0, 0..<130, 130..<130, 130..<200]
        let whole = Run(200, 33, slices: slices).backward()
        #expect(whole.gain[..<33].allSatisfy { $0 == 0 })
        #expect(whole.bias[66..<99].allSatisfy { $0 == 0 })
        // A rank that owns whole slices gets their bits, wherever they stand in its rows.
        let run = Run(200, 33, slices: slices)
        let saved = run.forward()
        let sums = withMemory { memory in
            let dgain = memory.unset(33)
            let dbias = memory.unset(33)
            kernels.layerNormBackward(
                gradient: memory.elements(Array(run.dy[(130 * 33)...])),
                memory.elements(Array(run.x[(130 * 33)...])), gain: memory.elements(run.gain),
                means: memory.copy(Array(saved.means[130...])),
                reciprocalDeviations: memory.copy(Array(saved.reciprocals[130...])),
                into: memory.unset(70 * 33, .float32), gainPartials: dgain, biasPartials: dbias,
                rows: 70,
                width: 33, tokenSlices: [0..<70])
            return (array(dgain, 33), array(dbias, 33))
        }
        #expect(bits(sums.0) == bits(Array(whole.gain[99...])))
        #expect(bits(sums.1) == bits(Array(whole.bias[99...])))
    }

    @Test func frozenGainAndBiasAreLeftAlone() {
        let run = Run(70, 33)
        let frozen = run.backward(frozen: true)
        #expect(bits(frozen.x) == bits(run.backward().x))
        #expect((frozen.gain + frozen.bias).allSatisfy { $0.isNaN })
    }
}

@Suite(.everyCompilation) struct ColumnSumsTests {
    @Test(
        arguments: [(1, 1), (65, 7), (64, 16), (200, 61), (130, 130), (300, 768)], elementTypes)
    func agreesWithFloat64(shape: (Int, Int), type: ElementType) {
        let (rows, width) = shape
        let stride = width + 5
        let x = rounded(values(rows * stride, seed: 5), to: type)
        let slices = canonicalSlices(rows)
        let found = withMemory { memory in
            let partials = memory.unset(4 * width)
            kernels.columnSums(
                memory.elements(x, type), rows: rows, width: width, stride: stride, into: partials,
                tokenSlices: slices)
            return array(partials, 4 * width)
        }
        let expected = slices.flatMap { slice in
            (0..<width).map { column in slice.reduce(0) { $0 + Double(x[$1 * stride + column]) } }
        }
        #expect(close(found, expected, absolute: 1e-5, relative: 1e-5))
        let wrong = expected.map { $0 + 1e-3 }
        #expect(!close(found, wrong, absolute: 1e-5, relative: 1e-5))
    }

    /// The order is defined: rows in order within blocks of 64, then blocks in order.
    @Test func orderIsTheCanonicalOne() {
        let rows = 150
        let x = values(rows, seed: 6)
        let found = withMemory { memory in
            let partials = memory.unset(1)
            kernels.columnSums(
                memory.elements(x), rows: rows, width: 1, stride: 1, into: partials,
                tokenSlices: [0..<rows])
            return partials[0]
        }
        var sum: Float = 0
        for block in [0..<64, 64..<128, 128..<150] { sum += x[block].reduce(0, +) }
        #expect(found.bitPattern == sum.bitPattern)
        #expect(found.bitPattern != x.reduce(0, +).bitPattern)
    }
}

extension ThreadedTests {
    @Suite(.serialized, .everyCompilation)
    struct TokenSumThreadsTests {
        @Test func bitsDoNotDependOnThreads() {
            let run = Run(700, 96)
            Threads.start(1)
            let forward = run.forward()
            let backward = run.backward()
            for threads in 2...3 {
                Threads.start(threads)
                #expect(bits(run.forward().y) == bits(forward.y))
                let found = run.backward()
                #expect(bits(found.x) == bits(backward.x))
                #expect(bits(found.gain) == bits(backward.gain))
                #expect(bits(found.bias) == bits(backward.bias))
            }
        }
    }
}
