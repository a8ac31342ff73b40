import Kernels
import Testing

/// y, then dgate, then dup, in pieces; the gradients take the memory of gate and up.
private func run(
    _ kind: Activation, _ operands: [[Float]], _ type: ElementType, pieces length: Int
) -> [Float] {
    withMemory { memory in
        let count = operands[0].count
        let (gate, up) = (memory.elements(operands[0], type), memory.elements(operands[1], type))
        let (dy, y) = (memory.elements(operands[2], type), memory.unset(count, type))
        inPieces(of: length, count) { range in
            let start = range.lowerBound
            kernels.gatedActivate(
                kind, gate: gate + start, up: up + start, into: y + start, count: range.count)
            kernels.gatedActivateBackward(
                kind, gate: gate + start, up: up + start, gradient: dy + start,
                dgate: gate + start, dup: up + start, count: range.count)
        }
        return array(y, count) + array(gate, count) + array(up, count)
    }
}

/// Of the activation alone, whose own tests hold it against Float64.
private func reference(_ kind: Activation, _ operands: [[Float]]) -> [Double] {
    let (gate, up, dy) = (operands[0], operands[1], operands[2])
    let count = gate.count
    return withMemory { memory in
        let (value, slope) = (memory.unset(count), memory.unset(count))
        kernels.activate(kind, memory.copy(gate), into: value, count: count)
        kernels.activateBackward(
            kind, memory.elements(gate), gradient: memory.elements(gate.map { _ in 1 }),
            into: Elements(slope), count: count)
        return (0..<count).map { Double(value[$0]) * Double(up[$0]) }
            + (0..<count).map { Double(dy[$0]) * Double(up[$0]) * Double(slope[$0]) }
            + (0..<count).map { Double(dy[$0]) * Double(value[$0]) }
    }
}

@Suite(.everyCompilation) struct GatedActivationTests {
    private func operands(_ type: ElementType) -> [[Float]] {
        let gate = values(1003, seed: 1).map { $0 * 12 } + [0, 100, -100]
        return [gate, values(1006, seed: 2), values(1006, seed: 3)].map { rounded($0, to: type) }
    }

    @Test(arguments: Activation.allCases, elementTypes)
    func isTheActivationTimesTheOther(kind: Activation, type: ElementType) {
        let operands = operands(type)
        let found = run(kind, operands, type, pieces: 1006)
        let expected = reference(kind, operands)
        #expect(close(found, expected, storedAs: type))
        #expect(!close(found, reference(kind, operands.reversed()), storedAs: type))
    }

    @Test(arguments: Activation.allCases, pieceLengths)
    func piecesGiveTheSameBits(kind: Activation, length: Int) {
        for type in elementTypes {
            let operands = operands(type)
            let whole = run(kind, operands, type, pieces: 1006)
            #expect(same(whole, run(kind, operands, type, pieces: length)))
            #expect(!same(whole, run(kind, operands.reversed(), type, pieces: length)))
        }
    }
}
