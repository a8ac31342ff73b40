import Kernels
import Testing

private let tokens: [Int32] = [5, 0, 12, 5, 3, 5, 12, 7, 30, 5]

private func gather(
    _ table: [Float], _ ids: [Int32], width: Int, firstRow: Int = 0, _ type: ElementType = .float32
) -> [Float] {
    withMemory { memory in
        let out = memory.unset(ids.count * width, type)
        gatherRows(
            memory.elements(table, type), width: width, ids: memory.copy(ids), count: ids.count,
            into: out,
            firstRow: firstRow, tableRows: table.count / width)
        return array(out, ids.count * width)
    }
}

private func scatter(
    _ gradient: [Float], _ ids: [Int32], onto table: [Float], width: Int, firstRow: Int = 0,
    _ type: ElementType = .float32
) -> [Float] {
    withMemory { memory in
        let target = memory.copy(table)
        scatterAddRows(
            memory.elements(gradient, type), ids: memory.copy(ids), count: ids.count, into: target,
            width: width, tableRows: table.count / width, firstRow: firstRow)
        return array(target, table.count)
    }
}

@Suite struct EmbeddingTests {
    @Test(arguments: [1, 7, 16, 64], elementTypes)
    func gathersRowsAndZerosForRowsElsewhere(width: Int, type: ElementType) {
        let table = rounded(values(31 * width, seed: 1), to: type)
        let whole = gather(table, tokens, width: width, type)
        let expected = tokens.flatMap { table[Int($0) * width..<(Int($0) + 1) * width] }
        #expect(bits(whole) == bits(expected))
        let part = gather(
            Array(table[(5 * width)..<(13 * width)]), tokens, width: width, firstRow: 5, type)
        for (token, id) in tokens.enumerated() {
            let row = Array(part[token * width..<(token + 1) * width])
            let held = (5..<13).contains(id)
            #expect(
                bits(row)
                    == bits(
                        held
                            ? Array(expected[token * width..<(token + 1) * width])
                            : [Float](repeating: 0, count: width)))
        }
    }

    @Test(arguments: [1, 7, 64], elementTypes)
    func addsInTokenOrder(width: Int, type: ElementType) {
        // Many tokens on few rows, so that the order shows in the bits.
        let count = 5_000
        let ids = values(count, seed: 2).map { Int32(abs($0) * 40) }
        let gradient = rounded(values(count * width, seed: 3), to: type)
        let table = values(40 * width, seed: 4)
        var expected = table
        for token in 0..<count {
            for column in 0..<width {
                expected[Int(ids[token]) * width + column] += gradient[token * width + column]
            }
        }
        #expect(bits(scatter(gradient, ids, onto: table, width: width, type)) == bits(expected))
        var reversed = table
        for token in (0..<count).reversed() {
            for column in 0..<width {
                reversed[Int(ids[token]) * width + column] += gradient[token * width + column]
            }
        }
        #expect(bits(reversed) != bits(expected))
        let part = scatter(
            gradient, ids, onto: Array(table[(11 * width)..<(30 * width)]), width: width,
            firstRow: 11, type)
        #expect(bits(part) == bits(Array(expected[(11 * width)..<(30 * width)])))
    }
}

extension ThreadedTests {
    @Suite(.serialized)
    struct EmbeddingThreadsTests {
        @Test func bitsDoNotDependOnThreads() {
            let ids = values(3_000, seed: 2).map { Int32(abs($0) * 500) }
            let gradient = values(3_000 * 48, seed: 3)
            let table = values(500 * 48, seed: 4)
            Threads.start(1)
            let expected = bits(scatter(gradient, ids, onto: table, width: 48))
            for threads in 2...3 {
                Threads.start(threads)
                #expect(bits(scatter(gradient, ids, onto: table, width: 48)) == expected)
            }
        }
    }
}
