import Kernels
import Testing

/// Runs at offsets of wider rows, in Float64, from the formula.
private struct Reference {
    let width: Int
    let runs: NormalisedRuns
    let epsilon: Double
    var x: [Double]
    var gain: [Double]

    private func normal(_ start: Int) -> (values: [Double], reciprocal: Double) {
        let values = x[start..<start + width]
        let square = values.reduce(0) { $0 + $1 * $1 } / Double(width)
        let reciprocal = 1 / (square + epsilon).squareRoot()
        return (values.map { $0 * reciprocal }, reciprocal)
    }

    private func starts(_ slice: NormalisedSlice) -> [Int] {
        slice.rows.flatMap { row in
            slice.offsets.map { row * runs.stride + runs.offsets[$0] }
        }
    }

    private var all: NormalisedSlice {
        NormalisedSlice(rows: 0..<x.count / runs.stride, offsets: 0..<runs.offsets.count)
    }

    /// What is in no run stays.
    func forward() -> [Double] {
        var y = x
        for start in starts(all) {
            for (column, value) in normal(start).values.enumerated() {
                y[start + column] = value * gain[column]
            }
        }
        return y
    }

    func backward(_ dy: [Double], _ slices: [NormalisedSlice]) -> (x: [Double], gain: [Double]) {
        var dx = dy
        for start in starts(all) {
            let (values, reciprocal) = normal(start)
            let d = (0..<width).map { dy[start + $0] * gain[$0] }
            let product = zip(d, values).reduce(0) { $0 + $1.0 * $1.1 } / Double(width)
            for column in 0..<width {
                dx[start + column] = reciprocal * (d[column] - values[column] * product)
            }
        }
        let sums = slices.flatMap { slice in
            (0..<width).map { column in
                starts(slice).reduce(0) { $0 + dy[$1 + column] * normal($1).values[column] }
            }
        }
        return (dx, sums)
    }
}

/// The kernels' operands and results; x and y are one memory, and dx and dy are.
private struct Run {
    let rows: Int
    let width: Int
    let runs: NormalisedRuns
    let type: ElementType
    let slices: [NormalisedSlice]
    let x: [Float]
    let gain: [Float]
    let dy: [Float]
    let epsilon: Float = 1e-6

    /// Whole rows, or `heads` of them in rows that are wider by a gap before each.
    init(_ rows: Int, _ width: Int, heads: Int = 0, _ type: ElementType = .float32) {
        (self.rows, self.width, self.type) = (rows, width, type)
        if heads == 0 {
            runs = NormalisedRuns(width: width)
            slices = canonicalSlices(rows).map { NormalisedSlice(rows: $0, offsets: 0..<1) }
        } else {
            runs = NormalisedRuns(
                stride: heads * (width + 3), offsets: (0..<heads).map { $0 * (width + 3) + 3 })
            slices = canonicalSlices(heads).map { NormalisedSlice(rows: 0..<rows, offsets: $0) }
        }
        x = rounded(values(rows * runs.stride, seed: 1).map { $0 * 3 + 0.5 }, to: type)
        gain = rounded(values(width, seed: 2).map { $0 + 1 }, to: type)
        dy = rounded(values(rows * runs.stride, seed: 4), to: type)
    }

    var reference: Reference {
        Reference(
            width: width, runs: runs, epsilon: Double(epsilon), x: x.map(Double.init),
            gain: gain.map(Double.init))
    }

    func forward() -> (y: [Float], reciprocals: [Float]) {
        withMemory { memory in
            let y = memory.elements(x, type)
            let reciprocals = memory.unset(rows * runs.offsets.count)
            kernels.rmsNorm(
                y, runs: runs, gain: memory.elements(gain, type), into: y,
                reciprocals: reciprocals, rows: rows, width: width, epsilon: epsilon)
            return (array(y, x.count), array(reciprocals, rows * runs.offsets.count))
        }
    }

    func backward(frozen: Bool = false) -> (x: [Float], gain: [Float]) {
        let reciprocals = forward().reciprocals
        return withMemory { memory in
            let dx = memory.elements(dy, type)
            let dgain = memory.unset(slices.count * width)
            kernels.rmsNormBackward(
                gradient: dx, memory.elements(x, type), runs: runs,
                gain: memory.elements(gain, type), reciprocals: memory.copy(reciprocals), into: dx,
                gainPartials: frozen ? nil : dgain, rows: rows, width: width, slices: slices)
            return (array(dx, x.count), array(dgain, slices.count * width))
        }
    }
}

private let shapes = [
    (1, 1, 0), (3, 7, 0), (5, 16, 0), (37, 61, 0), (129, 64, 0), (300, 100, 0), (70, 768, 0),
    (1, 8, 1), (5, 16, 3), (70, 20, 8), (131, 64, 4),
]

@Suite(.everyCompilation) struct RMSNormTests {
    @Test(arguments: shapes, elementTypes)
    func agreesWithFloat64(shape: (Int, Int, Int), type: ElementType) {
        let (rows, width, heads) = shape
        let run = Run(rows, width, heads: heads, type)
        func near(_ found: [Float], _ expected: [Double]) -> Bool {
            close(found, expected, absolute: 5e-6, relative: 2e-5, storedAs: type)
        }
        #expect(near(run.forward().y, run.reference.forward()))
        let found = run.backward()
        let expected = run.reference.backward(run.dy.map(Double.init), run.slices)
        #expect(near(found.x, expected.x))
        #expect(close(found.gain, expected.gain, absolute: 2e-5, relative: 2e-5))
        if rows > 1 && width > 1 {
            #expect(!near(found.x, expected.x.reversed()))
            #expect(!close(found.gain, expected.gain.reversed(), absolute: 2e-5, relative: 2e-5))
        }
    }

    @Test func referenceAgreesWithCentralDifferences() {
        let run = Run(3, 5, heads: 2)
        let dy = run.dy.map(Double.init)
        let all = NormalisedSlice(rows: 0..<3, offsets: 0..<2)
        let gradients = run.reference.backward(dy, [all])
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
        #expect(!same(gradients.gain, slopes(\.gain).reversed()))
    }

    /// Within a slice: rows in order, in a row by head, in blocks of 64 rows, and the blocks in order.
    @Test func orderIsTheCanonicalOne() {
        let run = Run(150, 1, heads: 4)
        let found = run.backward().gain
        let reciprocals = run.forward().reciprocals
        for head in 0..<4 {
            func sum(_ blocks: [Range<Int>]) -> Float {
                blocks.reduce(Float(0)) { sum, rows in
                    sum
                        + rows.reduce(Float(0)) { sum, row in
                            let index = row * run.runs.stride + run.runs.offsets[head]
                            return sum.addingProduct(
                                run.dy[index], run.x[index] * reciprocals[row * 4 + head])
                        }
                }
            }
            let expected = sum([0..<64, 64..<128, 128..<150])
            #expect(found[head].bitPattern == expected.bitPattern)
        }
        let frozen = run.backward(frozen: true)
        #expect(same(frozen.x, run.backward().x) && frozen.gain.allSatisfy { $0.isNaN })
    }
}

extension ThreadedTests {
    @Suite(.serialized, .everyCompilation)
    struct RMSNormThreadsTests {
        @Test(arguments: [0, 6])
        func bitsDoNotDependOnThreads(heads: Int) {
            let run = Run(700, 96, heads: heads)
            Threads.start(1)
            let forward = run.forward()
            let backward = run.backward()
            for threads in 2...4 {
                Threads.start(threads)
                #expect(same(run.forward().y, forward.y))
                let found = run.backward()
                #expect(same(found.x, backward.x) && same(found.gain, backward.gain))
            }
        }
    }
}
