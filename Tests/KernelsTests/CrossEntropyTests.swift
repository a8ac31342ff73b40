import Glibc
import Kernels
import Testing

/// A batch of logits with padding between rows, and the kernels run over S vocabulary slices.
private struct Run {
    let rows: Int
    let columns: Int
    let stride: Int
    let type: ElementType
    var smoothing: LabelSmoothing
    var logits: [Float]
    var targets: [Int32]
    var scales: [Float]

    init(
        _ rows: Int, _ columns: Int, _ type: ElementType = .float32, smoothing: Double = 0
    ) {
        self.type = type
        self.smoothing = LabelSmoothing(smoothing, classes: columns)
        self.rows = rows
        self.columns = columns
        stride = columns + 3
        logits = rounded(values(rows * stride, seed: 1).map { $0 * 6 }, to: type)
        targets = values(rows, seed: 2).map { Int32(abs($0) * Float(columns)) }
        scales = values(rows, seed: 3)
        if rows > 1 {
            targets[1] = -100
            scales[1] = 0
        }
    }

    var slices: [Range<Int>] { canonicalSlices(columns) }

    /// ln Σ exp of the rows as `ranks` ranks would have it, each holding 4/ranks slices in its own memory.
    func logSumExps(ranks: Int = 1) -> [Float] { statistics(ranks: ranks).logSumExps }

    /// The same, and the sums of the rows' logits.
    func statistics(ranks: Int = 1) -> (logSumExps: [Float], totals: [Float]) {
        withMemory { memory in
            let maxima = memory.unset(4 * rows)
            let sums = memory.unset(4 * rows)
            let totals = memory.unset(4 * rows)
            let global = memory.unset(rows)
            let out = memory.unset(rows)
            let held = 4 / ranks
            for rank in 0..<ranks {
                let own = slices[rank * held..<(rank + 1) * held]
                let first = own.first?.lowerBound ?? 0
                let width = (own.last?.upperBound ?? first) - first
                let part = (0..<rows).flatMap {
                    logits[$0 * stride + first..<$0 * stride + first + width]
                }
                kernels.softmaxStatistics(
                    memory.elements(part, type), rows: rows, stride: width,
                    columnSlices: own.map { $0.lowerBound - first..<$0.upperBound - first },
                    into: maxima + rank * held * rows, sums: sums + rank * held * rows,
                    totals: totals + rank * held * rows)
            }
            kernels.maximaOverSlices(maxima, slices: 4, rows: rows, into: global)
            for rank in 0..<ranks {
                let offset = rank * held * rows
                kernels.rescaleSums(
                    sums + offset, maxima: maxima + offset, global: global, slices: held,
                    rows: rows)
            }
            kernels.treeAdd(sums, slices: 4, stride: rows, count: rows)
            kernels.treeAdd(totals, slices: 4, stride: rows, count: rows)
            kernels.logSumExp(maxima: global, sums: sums, into: out, rows: rows)
            return (array(out, rows), array(totals, rows))
        }
    }

    func losses() -> [Float] {
        let hits = targetValues(0..<columns)
        let (logSumExps, totals) = statistics()
        return (0..<rows).map { row in
            targets[row] < 0 ? 0 : loss(logSumExps[row], hits[row], totals[row])
        }
    }

    func loss(_ logSumExp: Float, _ hit: Float, _ total: Float) -> Float {
        Float(smoothing.loss(logSumExp: logSumExp, targetLogit: hit, total: total))
    }

    func targetValues(_ range: Range<Int>) -> [Float] {
        withMemory { memory in
            let out = memory.unset(rows)
            kernels.targetLogits(
                memory.elements(logits, type) + range.lowerBound, targets: memory.copy(targets),
                into: out,
                rows: rows, stride: stride, firstColumn: range.lowerBound, columns: range.count)
            return array(out, rows)
        }
    }

    /// Logits turned into gradients over some columns.
    func backward(_ range: Range<Int>? = nil) -> [Float] {
        let range = range ?? 0..<columns
        return withMemory { memory in
            let x = memory.elements(logits, type)
            kernels.crossEntropyBackward(
                x + range.lowerBound, targets: memory.copy(targets),
                logSumExp: memory.copy(logSumExps()), rowScales: memory.copy(scales), rows: rows,
                stride: stride, columns: range.count, firstColumn: range.lowerBound,
                smoothing: smoothing)
            return array(x, rows * stride)
        }
    }

    func referenceLosses(_ logits: [Double]) -> [Double] {
        (0..<rows).map { row in
            let x = logits[row * stride..<row * stride + columns]
            let maximum = x.max() ?? 0
            let total = maximum + log(x.reduce(0) { $0 + exp($1 - maximum) })
            guard targets[row] >= 0 else { return 0 }
            return total - zip(x, wanted(row)).reduce(0) { $0 + $1.0 * $1.1 }
        }
    }

    /// What softmax is compared with.
    func wanted(_ row: Int) -> [Double] {
        (0..<columns).map {
            (Int(targets[row]) == $0 ? 1 - smoothing.amount : 0)
                + smoothing.amount / Double(smoothing.classes)
        }
    }

    /// Gradient of Σ scale·loss.
    func referenceGradient() -> [Double] {
        var result = logits.map(Double.init)
        for row in 0..<rows {
            let x = result[row * stride..<row * stride + columns].map { $0 }
            let maximum = x.max() ?? 0
            let sum = x.reduce(0) { $0 + exp($1 - maximum) }
            for (column, wanted) in wanted(row).enumerated() {
                result[row * stride + column] =
                    (exp(x[column] - maximum) / sum - wanted) * Double(scales[row])
            }
        }
        return result
    }
}

/// Types of logits and label smoothing.
private let kinds: [(ElementType, Double)] = elementTypes.flatMap {
    [($0, 0), ($0, 0.1), ($0, 0.75)]
}

private let shapes = [(1, 1), (2, 2), (3, 3), (5, 17), (7, 61), (4, 128), (3, 1009), (2, 20_011)]

@Suite(.everyCompilation) struct CrossEntropyTests {
    @Test(arguments: shapes, kinds)
    func agreesWithFloat64(shape: (Int, Int), kind: (ElementType, Double)) {
        let ((rows, columns), (type, smoothing)) = (shape, kind)
        let run = Run(rows, columns, type, smoothing: smoothing)
        let expected = run.referenceLosses(run.logits.map(Double.init))
        #expect(close(run.losses(), expected, absolute: 3e-6, relative: 1e-6))
        let gradient = run.referenceGradient()
        #expect(
            close(
                run.backward(), gradient, absolute: 1e-6, relative: 5e-6, storedAs: type))
        if columns > 1 {
            var other = run
            other.targets[0] = (other.targets[0] + 1) % Int32(columns)
            #expect(!close(other.losses(), expected, absolute: 3e-6, relative: 1e-6))
            #expect(
                !close(
                    other.backward(), gradient, absolute: 1e-6, relative: 5e-6, storedAs: type))
        }
    }

    /// A rank that smooths over the classes that it holds, not over all, gets another loss and gradient.
    @Test(arguments: shapes.filter { $0.1 > 1 }, elementTypes)
    func classesAreThoseOfTheWholeVocabulary(shape: (Int, Int), type: ElementType) {
        let run = Run(shape.0, shape.1, type, smoothing: 0.1)
        var local = run
        local.smoothing = LabelSmoothing(0.1, classes: (shape.1 + 1) / 2)
        let expected = run.referenceLosses(run.logits.map(Double.init))
        #expect(!close(local.losses(), expected, absolute: 3e-6, relative: 1e-6))
        // In rows that count a gradient sums to 0: the distributions have one weight.
        func sums(_ run: Run) -> [Double] {
            let gradient = run.backward()
            return (0..<run.rows).map { row in
                (0..<run.columns).reduce(0) { $0 + Double(gradient[row * run.stride + $1]) }
            }
        }
        let tolerance =
            switch type {
            case .float32: 1e-5
            case .float16: 4e-3
            case .bfloat16: 3.2e-2
            }
        #expect(sums(run).allSatisfy { abs($0) < tolerance })
        // Of few classes eight digits do not show it.
        let isSeen = !sums(local).allSatisfy { abs($0) < tolerance }
        #expect(isSeen || type == .bfloat16 && shape.1 < 4)
    }

    @Test(arguments: shapes, elementTypes)
    func noSmoothingIsTheSameBits(shape: (Int, Int), type: ElementType) {
        let run = Run(shape.0, shape.1, type)
        var plain = run
        plain.smoothing = .none
        #expect(same(run.losses(), plain.losses()))
        #expect(same(run.backward(), plain.backward()))
        plain.smoothing = LabelSmoothing(0.05, classes: shape.1)
        #expect(shape.1 == 1 || !same(run.losses(), plain.losses()))
        #expect(shape.1 == 1 || !same(run.backward(), plain.backward()))
    }

    /// Without smoothing nothing is added to a product: not even to a zero, whose sign would show it.
    @Test func zerosKeepTheirSign() {
        var run = Run(2, 40)
        run.targets = [3, 3]
        run.scales = [-2, 2]
        for row in 0..<2 {
            for column in [5, 39] { run.logits[row * run.stride + column] = -1_000 }
        }
        for (row, zero) in [(0, -Float.zero), (1, Float.zero)] {
            for column in [5, 39] {
                #expect(
                    run.backward()[row * run.stride + column].bitPattern == zero.bitPattern)
            }
        }
    }

    @Test(arguments: [0, 0.1, 0.75])
    func referenceAgreesWithCentralDifferences(smoothing: Double) {
        let run = Run(3, 5, smoothing: smoothing)
        let x = run.logits.map(Double.init)
        func loss(_ index: Int, _ step: Double) -> Double {
            var moved = x
            moved[index] += step
            return zip(run.referenceLosses(moved), run.scales).reduce(0) {
                $0 + $1.0 * Double($1.1)
            }
        }
        let gradient = run.referenceGradient()
        for row in 0..<3 {
            for index in row * run.stride..<row * run.stride + 5 {
                let slope = (loss(index, 1e-5) - loss(index, -1e-5)) / 2e-5
                #expect(abs(slope - gradient[index]) <= 1e-8 + 1e-6 * abs(slope))
            }
        }
    }

    @Test(arguments: shapes, kinds)
    func ranksGiveTheBitsOfOneProcess(shape: (Int, Int), kind: (ElementType, Double)) {
        let ((rows, columns), (type, smoothing)) = (shape, kind)
        let run = Run(rows, columns, type, smoothing: smoothing)
        let whole = run.statistics()
        for ranks in [2, 4] {
            let parts = run.statistics(ranks: ranks)
            #expect(same(parts.logSumExps, whole.logSumExps))
            #expect(same(parts.totals, whole.totals))
        }
        // Parts of the vocabulary: one rank gives each row's target, and the gradients fit together.
        let halves = [0..<columns / 2, columns / 2..<columns]
        let targets = halves.map { run.targetValues($0) }
        let gradients = halves.map { run.backward($0) }
        let loss = run.losses()
        let gradient = run.backward()
        for row in 0..<rows {
            #expect(targets[0][row] == 0 || targets[1][row] == 0)
            if run.targets[row] >= 0 {
                let hit = targets[0][row] + targets[1][row]
                #expect(run.loss(whole.logSumExps[row], hit, whole.totals[row]) == loss[row])
            }
            for column in 0..<columns {
                let index = row * run.stride + column
                let own = gradients[column < columns / 2 ? 0 : 1][index]
                #expect(own.bitPattern == gradient[index].bitPattern)
            }
        }
    }

    /// A large scale (the loss scale) comes before the one rounding: probabilities that Float16 holds badly
    /// give gradients as good as any.
    @Test func halvesAreRoundedAfterTheScale() {
        var run = Run(2, 2_011, .float16)
        run.targets = [2_010, 2_010]
        run.scales = [65_536, 65_536]
        let found = (0..<2).flatMap { row in
            run.backward(0..<2_010)[row * run.stride..<row * run.stride + 2_010]
        }
        let gradient = run.referenceGradient()
        let exact = (0..<2).flatMap { row in gradient[row * run.stride..<row * run.stride + 2_010] }
        #expect(close(found, exact, absolute: 0, relative: 2e-5, storedAs: .float16))
        let early = exact.map { Float(Float16($0 / 65_536)) * 65_536 }
        #expect(!close(early, exact, absolute: 0, relative: 2e-5, storedAs: .float16))
    }

    @Test(arguments: kinds)
    func ignoredRowsGiveExactZerosAndNothingElseIsTouched(type: ElementType, smoothing: Double) {
        var run = Run(4, 37, type, smoothing: smoothing)
        run.logits[run.stride + 5] = .nan
        let gradient = run.backward()
        #expect(run.losses()[1] == 0)
        #expect(gradient[run.stride..<run.stride + 37].allSatisfy { $0.bitPattern == 0 })
        for row in 0..<4 {
            let gap = row * run.stride + 37..<(row + 1) * run.stride
            #expect(bits(Array(gradient[gap])) == bits(Array(run.logits[gap])))
        }
    }

    @Test func extremesStayFiniteAndNotANumberShows() {
        var run = Run(3, 20)
        run.logits = run.logits.map { $0 * 1_000 }
        run.logits[4] = -.infinity
        if run.targets[0] == 4 { run.targets[0] = 5 }
        #expect(run.losses().allSatisfy { $0.isFinite })
        let inRow = Array(run.backward()[..<20])
        #expect(inRow.allSatisfy { $0.isFinite } && inRow[4] == 0)
        run.logits[2 * run.stride + 7] = .nan
        #expect(run.losses()[2].isNaN)
        #expect(run.losses()[0].isFinite)
    }
}

extension ThreadedTests {
    @Suite(.serialized, .everyCompilation)
    struct CrossEntropyThreadsTests {
        @Test(arguments: kinds)
        func bitsDoNotDependOnThreads(type: ElementType, smoothing: Double) {
            let run = Run(40, 2_003, type, smoothing: smoothing)
            Threads.start(1)
            let losses = bits(run.losses())
            let gradient = bits(run.backward())
            for threads in 2...3 {
                Threads.start(threads)
                #expect(bits(run.losses()) == losses)
                #expect(bits(run.backward()) == gradient)
            }
        }
    }
}
