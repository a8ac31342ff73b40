// All compilations have the same bits: each kernel of the set, run by two of them on the same operands.

import Foundation
import Kernels
import TestSupport
import Testing

/// One kernel on operands that are a function of a seed: what it leaves in memory, and what it returns.
struct KernelCase: Sendable, CustomTestStringConvertible {
    /// That of the requirement.
    let name: String
    let run: @Sendable (any KernelSet.Type, Operands) -> [Float]

    var testDescription: String { name }

    init(
        _ name: String, _ run: @escaping @Sendable (any KernelSet.Type, Operands) -> [Float]
    ) {
        (self.name, self.run) = (name, run)
    }
}

/// Operands by number; no two of one seed are alike. `width` is odd, and above several registers.
struct Operands: Sendable {
    let type: ElementType
    let rows: Int
    let width: Int
    let seed: UInt64

    var count: Int { rows * width }

    /// Values in [−2, 2).
    func values(_ number: UInt64, _ count: Int) -> [Float] {
        KernelsTests.values(count, seed: seed &* 1_000 &+ number).map { 2 * $0 }
    }

    /// Calls `body` with operands `0 ..< number`, stored elements `[rows × width]`; its last one is the result.
    func elements(_ number: Int, _ body: ([Elements]) -> Void) -> [Float] {
        withMemory { memory in
            let operands = (0..<number).map {
                memory.elements(values(UInt64($0), count), type)
            }
            body(operands)
            return operands.flatMap { array($0, count) }
        }
    }

    /// The same with floats, as memory of which each may be a result.
    func floats(_ number: Int, _ body: ([UnsafeMutablePointer<Float>]) -> Void) -> [Float] {
        withMemory { memory in
            let operands = (0..<number).map { memory.copy(values(UInt64($0), count)) }
            body(operands)
            return operands.flatMap { array($0, count) }
        }
    }

    var ids: [Int32] { (0..<rows).map { Int32(($0 * 7 + Int(seed)) % rows) } }
    var stream: RandomStream { RandomStream(seed: seed, stream: 3) }
    /// Two slices, of which neither is whole blocks.
    var slices: [Range<Int>] { [0..<rows / 3, rows / 3..<rows] }
}

private let elementwise: [KernelCase] =
    Activation.allCases.flatMap { kind in
        [
            KernelCase("activate") { kernels, x in
                x.elements(2) { kernels.activate(kind, $0[0], into: $0[1], count: x.count) }
            },
            KernelCase("activateBackward") { kernels, x in
                x.elements(3) {
                    kernels.activateBackward(
                        kind, $0[0], gradient: $0[1], into: $0[2], count: x.count)
                }
            },
            KernelCase("gatedActivate") { kernels, x in
                x.elements(3) {
                    kernels.gatedActivate(kind, gate: $0[0], up: $0[1], into: $0[2], count: x.count)
                }
            },
            KernelCase("gatedActivateBackward") { kernels, x in
                x.elements(5) {
                    kernels.gatedActivateBackward(
                        kind, gate: $0[0], up: $0[1], gradient: $0[2], dgate: $0[3], dup: $0[4],
                        count: x.count)
                }
            },
            KernelCase("finishRow") { kernels, x in
                withMemory { memory in
                    let sums = memory.copy(x.values(9, x.count))
                    return x.elements(4) {
                        kernels.finishRow(
                            values: sums, count: x.count, bias: $0[0], activation: kind,
                            preactivation: $0[1], residual: $0[2], output: $0[3])
                    }
                }
            },
        ]
    } + [
        KernelCase("add") { kernels, x in
            x.elements(3) { kernels.add($0[0], $0[1], into: $0[2], count: x.count) }
        },
        KernelCase("add") { kernels, x in
            x.floats(4) {
                kernels.add($0[0], $0[1], into: $0[2], count: x.count)
                kernels.add($0[0], $0[1], into: $0[2], and: $0[3], count: x.count)
            }
        },
        KernelCase("convert") { kernels, x in
            withMemory { memory in
                let floats = memory.copy(x.values(9, x.count).map { $0 * 1e-4 })
                return x.elements(1) {
                    kernels.convert(from: Elements(floats), to: $0[0], count: x.count)
                    kernels.convert(from: $0[0], to: Elements(floats), count: x.count)
                }
            }
        },
        KernelCase("firstNonFinite") { kernels, x in
            withMemory { memory in
                var values = x.values(0, x.count)
                values[x.count - 1 - Int(x.seed)] = .infinity
                let place = kernels.firstNonFinite(memory.elements(values, x.type), count: x.count)
                return [Float(place ?? -1)]
            }
        },
        KernelCase("accumulate") { kernels, x in
            x.floats(2) { kernels.accumulate($0[0], into: $0[1], count: x.count) }
        },
        KernelCase("scale") { kernels, x in
            x.floats(1) { kernels.scale($0[0], by: 0.3, count: x.count) }
        },
        KernelCase("treeAdd") { kernels, x in
            x.floats(1) {
                kernels.treeAdd($0[0], slices: 4, stride: x.width, count: x.width - 1)
            }
        },
        KernelCase("sumOfSquares") { kernels, x in
            let values = x.values(0, x.count)
            let bits = kernels.sumOfSquares(values, count: x.count).bitPattern
            return [Float(bits >> 40), Float(bits >> 20 & 0xF_FFFF), Float(bits & 0xF_FFFF)]
        },
        KernelCase("columnSums") { kernels, x in
            withMemory { memory in
                let partials = memory.unset(2 * x.width)
                return x.elements(1) {
                    kernels.columnSums(
                        $0[0], rows: x.rows, width: x.width - 2, stride: x.width, into: partials,
                        tokenSlices: x.slices)
                } + array(partials, 2 * (x.width - 2))
            }
        },
        KernelCase("normal") { kernels, x in
            x.floats(1) {
                kernels.normal(
                    x.stream, into: $0[0], count: x.count, firstIndex: 11, mean: 2, deviation: 3)
            }
        },
        KernelCase("dropout") { kernels, x in
            x.elements(2) {
                kernels.dropout(
                    x.stream, $0[0], into: $0[1], count: x.count, firstIndex: 5, rate: 0.3)
            }
        },
        KernelCase("dropoutScales") { kernels, x in
            x.floats(1) {
                kernels.dropoutScales(
                    x.stream, into: $0[0], count: x.count, firstIndex: 5, rate: 0.3)
            }
        },
    ]

private let rowwise: [KernelCase] = [
    KernelCase("layerNorm") { kernels, x in
        withMemory { memory in
            let (means, deviations) = (memory.unset(x.rows), memory.unset(x.rows))
            return x.elements(4) {
                kernels.layerNorm(
                    $0[0], gain: $0[1], bias: $0[2], into: $0[3], means: means,
                    reciprocalDeviations: deviations, rows: x.rows, width: x.width, epsilon: 1e-5)
            } + array(means, x.rows) + array(deviations, x.rows)
        }
    },
    KernelCase("layerNormBackward") { kernels, x in
        withMemory { memory in
            let means = memory.copy(x.values(7, x.rows))
            let deviations = memory.copy(x.values(8, x.rows))
            let (gains, biases) = (memory.unset(2 * x.width), memory.unset(2 * x.width))
            return x.elements(4) {
                kernels.layerNormBackward(
                    gradient: $0[0], $0[1], gain: $0[2], means: means,
                    reciprocalDeviations: deviations, into: $0[3], gainPartials: gains,
                    biasPartials: biases, rows: x.rows, width: x.width, tokenSlices: x.slices)
            } + array(gains, 2 * x.width) + array(biases, 2 * x.width)
        }
    },
    KernelCase("rmsNorm") { kernels, x in
        withMemory { memory in
            let reciprocals = memory.unset(2 * x.rows)
            return x.elements(3) {
                kernels.rmsNorm(
                    $0[0], runs: NormalisedRuns(stride: x.width, offsets: [0, x.width / 2]),
                    gain: $0[1], into: $0[2], reciprocals: reciprocals, rows: x.rows,
                    width: x.width / 2, epsilon: 1e-6)
            } + array(reciprocals, 2 * x.rows)
        }
    },
    KernelCase("rmsNormBackward") { kernels, x in
        withMemory { memory in
            let reciprocals = memory.copy(x.values(7, 2 * x.rows))
            let gains = memory.unset(2 * (x.width / 2))
            return x.elements(4) {
                kernels.rmsNormBackward(
                    gradient: $0[0], $0[1],
                    runs: NormalisedRuns(stride: x.width, offsets: [0, x.width / 2]), gain: $0[2],
                    reciprocals: reciprocals, into: $0[3], gainPartials: gains, rows: x.rows,
                    width: x.width / 2,
                    slices: x.slices.map { NormalisedSlice(rows: $0, offsets: 0..<2) })
            } + array(gains, 2 * (x.width / 2))
        }
    },
    KernelCase("gatherRows") { kernels, x in
        x.elements(2) {
            kernels.gatherRows(
                $0[0], width: x.width, ids: x.ids, count: x.rows, into: $0[1], tableRows: x.rows)
        }
    },
    KernelCase("placeRows") { kernels, x in
        x.elements(2) {
            kernels.placeRows(
                $0[0], width: x.width, rows: Array(0..<Int32(x.rows)).reversed(), count: x.rows,
                into: $0[1], outRows: x.rows)
        }
    },
    KernelCase("scatterAddRows") { kernels, x in
        withMemory { memory in
            let table = memory.copy(x.values(9, x.count))
            return x.elements(1) {
                kernels.scatterAddRows(
                    $0[0], ids: x.ids.map { $0 / 3 }, count: x.rows, into: table, width: x.width,
                    tableRows: x.rows)
            } + array(table, x.count)
        }
    },
    KernelCase("addRows") { kernels, x in
        x.floats(2) {
            kernels.addRows($0[0], rows: x.ids, count: x.rows, into: $0[1], width: x.width)
        }
    },
    KernelCase("rotate") { kernels, x in
        withMemory { memory in
            let pairs = x.width / 4
            let angles = x.values(7, x.rows * pairs)
            let (cosines, sines) = (angles.map { cos($0) }, angles.map { sin($0) })
            let positions = (0..<x.rows).map { Int32($0) }
            return x.elements(1) { operands in
                for arrangement in RotaryPairs.allCases {
                    kernels.rotate(
                        operands[0], rows: x.rows, stride: x.width,
                        headOffsets: [0, 2 * pairs], arrangement: arrangement, pairs: pairs,
                        cosines: cosines, sines: sines, positions: positions, backwards: false)
                }
            }
        }
    },
    KernelCase("softmaxStatistics") { kernels, x in
        withMemory { memory in
            let results = (0..<3).map { _ in memory.unset(2 * x.rows) }
            return x.elements(1) {
                kernels.softmaxStatistics(
                    $0[0], rows: x.rows, stride: x.width,
                    columnSlices: [0..<x.width / 3, x.width / 3..<x.width], into: results[0],
                    sums: results[1], totals: results[2])
            } + results.flatMap { array($0, 2 * x.rows) }
        }
    },
    KernelCase("maximaOverSlices") { kernels, x in
        x.floats(2) {
            kernels.maximaOverSlices($0[0], slices: 4, rows: x.width, into: $0[1])
        }
    },
    KernelCase("rescaleSums") { kernels, x in
        x.floats(3) {
            kernels.rescaleSums(
                $0[0], maxima: $0[1], global: $0[2], slices: 4, rows: x.width)
        }
    },
    KernelCase("logSumExp") { kernels, x in
        withMemory { memory in
            let sums = memory.copy(x.values(9, x.count).map { abs($0) + 0.1 })
            return x.floats(2) {
                kernels.logSumExp(maxima: $0[0], sums: sums, into: $0[1], rows: x.count)
            }
        }
    },
    KernelCase("targetLogits") { kernels, x in
        withMemory { memory in
            let logits = memory.unset(x.rows)
            return x.elements(1) {
                kernels.targetLogits(
                    $0[0], targets: x.ids, into: logits, rows: x.rows, stride: x.width,
                    columns: x.width)
            } + array(logits, x.rows)
        }
    },
    KernelCase("crossEntropyBackward") { kernels, x in
        withMemory { memory in
            let sums = memory.copy(x.values(8, x.rows).map { $0 + 5 })
            let scales = memory.copy(x.values(9, x.rows))
            return x.elements(1) {
                kernels.crossEntropyBackward(
                    $0[0], targets: x.ids, logSumExp: sums, rowScales: scales, rows: x.rows,
                    stride: x.width, columns: x.width,
                    smoothing: LabelSmoothing(0.1, classes: x.width))
            }
        }
    },
]

private let recurrent: [KernelCase] = [
    KernelCase("lstmStep") { kernels, x in
        withMemory { memory in
            let (sums, cells) = (
                memory.copy(x.values(7, x.count)), memory.copy(x.values(8, x.count))
            )
            let activations = memory.unset(x.count)
            return x.elements(3) {
                kernels.lstmStep(
                    count: x.count / 4, recurrent: sums, gates: $0[0], bias: $0[1],
                    previous: cells, activations: activations, cell: cells, hidden: $0[2])
            } + array(cells, x.count / 4) + array(activations, x.count / 4 * 4)
        }
    },
    KernelCase("lstmStepBackward") { kernels, x in
        withMemory { memory in
            let activations = memory.copy(x.values(6, x.count).map { 0.25 * $0 + 0.5 })
            let floats = (7..<11).map { memory.copy(x.values($0, x.count)) }
            return x.elements(2) {
                kernels.lstmStepBackward(
                    count: x.count / 4, activations: activations, cell: floats[0],
                    previous: floats[1], upstream: $0[0], hidden: floats[2],
                    cellGradient: floats[3], gates: $0[1])
            } + array(floats[3], x.count / 4)
        }
    },
]

private let optimizers: [KernelCase] = [
    KernelCase("adamW") { kernels, x in
        withMemory { memory in
            let second = memory.copy(x.values(9, x.count).map { abs($0) })
            let working = memory.unset(x.count, x.type)
            return x.floats(3) {
                kernels.adamW(
                    AdamWStep(
                        learningRate: 1e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8,
                        weightDecay: 0.1, time: 3, gradientScale: 0.7), weights: $0[0],
                    gradient: $0[1], firstMoment: $0[2], secondMoment: second, working: working,
                    count: x.count)
            } + array(second, x.count) + array(working, x.count)
        }
    },
    KernelCase("lion") { kernels, x in
        withMemory { memory in
            let working = memory.unset(x.count, x.type)
            return x.floats(3) {
                kernels.lion(
                    LionStep(
                        learningRate: 1e-3, beta1: 0.9, beta2: 0.99, weightDecay: 0.1,
                        gradientScale: 0.7), weights: $0[0], gradient: $0[1], moment: $0[2],
                    working: working, count: x.count)
            } + array(working, x.count)
        }
    },
    KernelCase("momentumDescent") { kernels, x in
        withMemory { memory in
            let working = memory.unset(x.count, x.type)
            return x.floats(3) {
                kernels.momentumDescent(
                    MomentumStep(
                        learningRate: 1e-3, momentum: 0.9, isNesterov: true, weightDecay: 0.1,
                        gradientScale: 0.7), weights: $0[0], gradient: $0[1], moment: $0[2],
                    working: working, count: x.count)
            } + array(working, x.count)
        }
    },
]

private let products: [KernelCase] =
    [(false, false), (false, true), (true, false), (true, true)].flatMap {
        transposesA, transposesB in
        [
            (rows: 5, columns: 47, inner: 1_100), (rows: 61, columns: 75, inner: 67),
            (rows: 37, columns: 300, inner: 1_029),
        ].map { shape in
            KernelCase("compute") { kernels, x in
                let (m, n, k) = (shape.rows, shape.columns, shape.inner)
                return withMemory { memory in
                    let a = memory.elements(x.values(0, m * k), x.type)
                    let b = memory.elements(x.values(1, k * n), x.type)
                    let c = memory.copy(x.values(2, m * n))
                    kernels.product(
                        rows: m, columns: n, inner: k,
                        Operand(a, stride: transposesA ? m : k, transposed: transposesA),
                        Operand(b, stride: transposesB ? k : n, transposed: transposesB),
                        accumulate: true, into: c, stride: n)
                    return array(c, m * n)
                }
            }
        }
    } + [
        KernelCase("pack") { kernels, x in
            withMemory { memory in
                let a = memory.elements(x.values(0, 7 * 67), x.type)
                let b = memory.elements(x.values(1, 67 * 75), x.type)
                let c = memory.unset(7 * 75)
                let factors = ProductSlice(
                    inner: 67, a: Operand(a, stride: 67), b: Operand(b, stride: 75))
                let task = ProductTask(
                    rows: 7, columns: 75, slices: [factors], accumulate: false, into: c,
                    stride: 75, epilogue: nil)
                let packed = memory.unset(kernels.packedCount(task))
                kernels.pack(task, into: packed)
                kernels.compute(task, packed: packed)
                return array(c, 7 * 75)
            }
        },
        KernelCase("multiplyRows") { kernels, x in
            withMemory { memory in
                let a = memory.copy(x.values(0, 12 * 33))
                let b = memory.copy(x.values(1, 33 * 80))
                let c = memory.copy(x.values(2, 12 * 80))
                kernels.multiplyRows(
                    Broadcast(a, rowStride: 33), rows: 12, Columns(b, innerStride: 80), vectors: 5,
                    inner: 33, into: c, stride: 80, accumulate: true)
                return array(c, 12 * 80)
            }
        },
        KernelCase("addMultiples") { kernels, x in
            kernels.multiplyAdds(.narrow, rounds: 99, Float(x.seed))
                + kernels.multiplyAdds(.wide, rounds: 99, Float(x.seed))
        },
        KernelCase("triad") { kernels, x in
            withMemory { memory in
                let a = memory.copy(x.values(0, 3 * 160))
                kernels.triad(a, 160, 16..<144)
                return array(a, 160)
            }
        },
        KernelCase("sumOfWords") { kernels, x in
            let values = x.values(0, 64 * 5)
            let sum = values.withUnsafeBytes { kernels.sumOfWords($0) }
            return [Float(sum >> 16), Float(sum & 0xFFFF)]
        },
    ]

private let attention: [KernelCase] = [
    (
        AttentionShape(batch: 2, queryHeads: 4, keyHeads: 2, queries: 37, keys: 53, dimension: 23),
        true
    ),
    (
        AttentionShape(batch: 1, queryHeads: 2, keyHeads: 1, queries: 3, keys: 45, dimension: 40),
        false
    ),
].flatMap { shape, isBiased in
    [
        KernelCase("attentionForward") { _, x in
            let found = attentionRun(shape, isBiased, x).forward()
            return found.output + found.logSumExp
        },
        KernelCase("attentionBackward") { _, x in
            let found = attentionRun(shape, isBiased, x).backward()
            return found.query + found.key + found.value + found.bias
        },
    ]
}

private func attentionRun(_ shape: AttentionShape, _ isBiased: Bool, _ x: Operands) -> AttentionRun
{
    var run = AttentionRun(
        shape, mask: MaskCase(causal: true, queryOffset: shape.keys - shape.queries),
        bias: isBiased, seed: x.seed, type: x.type)
    run.dropout = DropoutCase(rate: 0.2)
    return run
}

private let all = elementwise + rowwise + recurrent + optimizers + products + attention

@Suite struct CompilationBitsTests {
    static let processorHasBoth = Compilation.all.count == 2

    @Test(
        .enabled(
            if: processorHasBoth, "this processor has no AVX-512: there is one compilation to run"),
        arguments: all, elementTypes)
    func areTheSame(_ test: KernelCase, type: ElementType) {
        for (rows, width) in [(1, 67), (7, 19), (150, 83)] {
            func found(_ compilation: Compilation, seed: UInt64 = 1) -> [Float] {
                let operands = Operands(type: type, rows: max(4, rows), width: width, seed: seed)
                return compilation.run { test.run(compilation.kernels, operands) }
            }
            let narrow = found(Compilation.all[0])
            #expect(same(narrow, found(Compilation.all[1])))
            #expect(!same(narrow, found(Compilation.all[1], seed: 2)), "control")
        }
    }

    /// No requirement of the set is left out above.
    @Test func everyKernelIsCompared() throws {
        let folder = "\(packageRoot)/Sources/KernelSupport"
        var names: Set<String> = []
        for file in try FileManager.default.contentsOfDirectory(atPath: folder) {
            let text = try String(contentsOfFile: "\(folder)/\(file)", encoding: .utf8)
            for named in text.matches(of: /package protocol \w+.*?\n}/.dotMatchesNewlines()) {
                for match in named.output.matches(of: /\n    static func (\w+)\(/) {
                    names.insert("\(match.1)")
                }
            }
        }
        #expect(names == Set(all.map(\.name)))
        #expect(names.count > 30, "control")
    }
}
