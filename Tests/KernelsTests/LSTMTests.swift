import Foundation
import Kernels
import Testing

/// One step and its way back on `count` units: h, c, dc′ and the gradients of the gates, in Float64.
private func reference(_ x: LSTMOperands) -> [Double] {
    func doubles(_ values: [Float]) -> [Double] { values.map(Double.init) }
    let (count, previous) = (x.count, doubles(x.previous))
    func net(_ gate: Int, _ unit: Int) -> Double {
        let place = gate * count + unit
        return Double(x.recurrent[place]) + Double(x.bias?[place] ?? 0) + Double(x.gates[place])
    }
    func logistic(_ z: Double) -> Double { 1 / (1 + exp(-z)) }
    var (hidden, cell, before) = ([Double](), [Double](), [Double]())
    var gradients = [[Double]](repeating: [], count: 4)
    for unit in 0..<count {
        let (i, f) = (logistic(net(0, unit)), logistic(net(1, unit)))
        let (g, o) = (tanh(net(2, unit)), logistic(net(3, unit)))
        let c = f * previous[unit] + i * g
        let t = tanh(c)
        cell.append(c)
        hidden.append(o * t)
        let dh = Double(x.upstream[unit]) + Double(x.hidden[unit])
        let dc = Double(x.cellGradient[unit]) + dh * o * (1 - t * t)
        before.append(dc * f)
        gradients[0].append(dc * g * i * (1 - i))
        gradients[1].append(dc * previous[unit] * f * (1 - f))
        gradients[2].append(dc * i * (1 - g * g))
        gradients[3].append(dh * t * o * (1 - o))
    }
    return hidden + gradients.flatMap { $0 } + cell + before
}

private struct LSTMOperands {
    let count: Int
    let recurrent, gates: [Float]
    var bias: [Float]?
    let previous, upstream, hidden, cellGradient: [Float]

    init(_ count: Int, _ type: ElementType) {
        self.count = count
        let wide = [0, 100, -100, 30] + values(max(0, 4 * count - 4), seed: 2).map { $0 * 4 }
        gates = rounded(Array(wide.prefix(4 * count)), to: type)
        recurrent = values(4 * count, seed: 1).map { $0 * 4 }
        bias = rounded(values(4 * count, seed: 3), to: type)
        previous = values(count, seed: 4).map { $0 * 3 }
        upstream = rounded(values(count, seed: 5), to: type)
        (hidden, cellGradient) = (values(count, seed: 6), values(count, seed: 7))
    }
}

/// Stored ones, then those in Float32, as `reference` has them.
private func run(_ x: LSTMOperands, _ type: ElementType, inPlace: Bool = false) -> [Float] {
    withMemory { memory in
        let count = x.count
        let previous = memory.copy(x.previous)
        let cell = inPlace ? previous : memory.unset(count)
        let (hidden, activations) = (memory.unset(count, type), memory.unset(4 * count))
        kernels.lstmStep(
            count: count, recurrent: memory.copy(x.recurrent),
            gates: memory.elements(x.gates, type), bias: x.bias.map { memory.elements($0, type) },
            previous: previous, activations: inPlace ? nil : activations, cell: cell,
            hidden: hidden)
        let found = array(hidden, count)
        guard !inPlace else { return found + array(cell, count) }
        let (cells, gates) = (memory.copy(x.cellGradient), memory.unset(4 * count, type))
        kernels.lstmStepBackward(
            count: count, activations: activations, cell: cell, previous: previous,
            upstream: memory.elements(x.upstream, type), hidden: memory.copy(x.hidden),
            cellGradient: cells, gates: gates)
        return found + array(gates, 4 * count) + array(cell, count) + array(cells, count)
    }
}

@Suite(.everyCompilation) struct LSTMTests {
    @Test(arguments: [1, 7, 16, 131], elementTypes)
    func matchesTheEquations(count: Int, type: ElementType) {
        for isBiased in [false, true] {
            var operands = LSTMOperands(count, type)
            if !isBiased { operands.bias = nil }
            let (found, expected) = (run(operands, type), reference(operands))
            #expect(
                close(Array(found[..<(5 * count)]), Array(expected[..<(5 * count)]), storedAs: type)
            )
            // Cells and their gradients are not rounded.
            let (cells, exact) = (Array(found[(5 * count)...]), Array(expected[(5 * count)...]))
            #expect(close(cells, exact, storedAs: .float32))
            #expect(!close(cells, exact.map { $0 + 1e-3 }, storedAs: .float32))
            #expect(!close(found, expected.map { $0 * 1.1 }, storedAs: type))
        }
    }

    /// What is not kept changes no bit, and a cell may take the place of the one before.
    @Test(arguments: elementTypes)
    func inPlaceHasTheSameBits(type: ElementType) {
        let operands = LSTMOperands(53, type)
        let (found, inPlace) = (run(operands, type), run(operands, type, inPlace: true))
        #expect(same(inPlace, Array(found[..<53]) + Array(found[265..<318])))
        #expect(!same(inPlace, Array(found[..<106])))
    }

    /// A unit has its bits wherever it stands.
    @Test func unitsDependOnThemselvesAlone() {
        let whole = LSTMOperands(37, .float32)
        let found = run(whole, .float32)
        for unit in [0, 15, 16, 36] {
            let one = run(LSTMOperands(whole, unit: unit), .float32)
            #expect(same(one, (0..<7).map { found[$0 * 37 + unit] }))
        }
    }
}

extension LSTMOperands {
    /// One unit of another's.
    init(_ other: LSTMOperands, unit: Int) {
        func part(_ array: [Float]) -> [Float] {
            (0..<array.count / other.count).map { array[$0 * other.count + unit] }
        }
        count = 1
        (recurrent, gates, bias) = (part(other.recurrent), part(other.gates), other.bias.map(part))
        (previous, upstream) = (part(other.previous), part(other.upstream))
        (hidden, cellGradient) = (part(other.hidden), part(other.cellGradient))
    }
}

/// Products whose right factor is packed once.
@Suite(.everyCompilation) struct PackedProductTests {
    @Test(arguments: [false, true], elementTypes)
    func haveTheBitsOfOthers(transposed: Bool, type: ElementType) {
        let (columns, inners) = (75, [1_030, 0, 67, 400])
        func factors(_ memory: TestMemory, rows: Int, seed: UInt64) -> [ProductSlice] {
            inners.enumerated().map { slice, inner in
                let a = memory.elements(values(rows * inner, seed: seed + UInt64(slice)), type)
                let b = memory.elements(values(inner * columns, seed: 20 + UInt64(slice)), type)
                return ProductSlice(
                    inner: inner, a: Operand(a, stride: inner),
                    b: Operand(b, stride: transposed ? inner : columns, transposed: transposed))
            }
        }
        func task(_ slices: [ProductSlice], _ rows: Int, _ c: UnsafeMutablePointer<Float>)
            -> ProductTask
        {
            ProductTask(
                rows: rows, columns: columns, slices: slices, accumulate: false, into: c,
                stride: columns, epilogue: nil)
        }
        withMemory { memory in
            let spare = memory.unset(40 * columns)
            let first = task(factors(memory, rows: 1, seed: 40), 1, spare)
            let packed = memory.unset(kernels.packedCount(first))
            kernels.pack(first, into: packed)
            for rows in [1, 5, 33] {
                let slices = factors(memory, rows: rows, seed: 10)
                let (c, expected) = (memory.unset(rows * columns), memory.unset(rows * columns))
                kernels.compute(task(slices, rows, c), packed: packed)
                kernels.sumOfProducts(
                    rows: rows, columns: columns, slices: slices, into: expected, stride: columns)
                let count = rows * columns
                #expect(same(array(c, count), array(expected, count)))
                #expect(!same(array(c, count), array(expected, count).reversed()))
            }
        }
    }
}
