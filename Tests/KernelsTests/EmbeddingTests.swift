import Kernels
import Testing

private let tokens: [Int32] = [5, 0, 12, 5, 3, 5, 12, 7, 30, 5]

private func gather(
    _ table: [Float], _ ids: [Int32], width: Int, firstRow: Int = 0, _ type: ElementType = .float32
) -> [Float] {
    withMemory { memory in
        let out = memory.unset(ids.count * width, type)
        kernels.gatherRows(
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
        kernels.scatterAddRows(
            memory.elements(gradient, type), ids: memory.copy(ids), count: ids.count, into: target,
            width: width, tableRows: table.count / width, firstRow: firstRow)
        return array(target, table.count)
    }
}

@Suite(.everyCompilation) struct EmbeddingTests {
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
    func placesRowsWhereTheyWereTaken(width: Int, type: ElementType) {
        let rows: [Int32] = [3, -1, 0, 7]
        let x = rounded(values(rows.count * width, seed: 1), to: type)
        let found = withMemory { memory in
            let out = memory.elements([Float](repeating: 9, count: 9 * width), type)
            kernels.placeRows(
                memory.elements(x, type), width: width, rows: memory.copy(rows),
                count: rows.count, into: out, outRows: 9)
            return array(out, 9 * width)
        }
        let expected = (0..<9).flatMap { row -> [Float] in
            guard let index = rows.firstIndex(of: Int32(row)) else {
                return [Float](repeating: 0, count: width)
            }
            return Array(x[index * width..<(index + 1) * width])
        }
        #expect(bits(found) == bits(expected))
        #expect(bits(found) != bits(expected.reversed()))
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

extension EmbeddingTests {
    /// Canonical slices of the table's rows, each on a rank of its own.
    @Test(arguments: [1, 7, 64], elementTypes)
    func ranksGiveTheBitsOfOneProcess(width: Int, type: ElementType) {
        let table = rounded(values(31 * width, seed: 1), to: type)
        let gradient = rounded(values(tokens.count * width, seed: 2), to: type)
        let sum = values(31 * width, seed: 3)
        let slices = canonicalSlices(31)
        let gathered = slices.map { rows in
            gather(
                Array(table[rows.lowerBound * width..<rows.upperBound * width]), tokens,
                width: width, firstRow: rows.lowerBound, type)
        }
        // A row is its owner's, not the sum of all: −0 + 0 would be 0.
        let taken = tokens.enumerated().flatMap { token, id in
            let owner = slices.firstIndex { $0.contains(Int(id)) }!
            return gathered[owner][token * width..<(token + 1) * width]
        }
        #expect(same(taken, gather(table, tokens, width: width, type)))
        let scattered = slices.flatMap { rows in
            scatter(
                gradient, tokens,
                onto: Array(sum[rows.lowerBound * width..<rows.upperBound * width]), width: width,
                firstRow: rows.lowerBound, type)
        }
        let whole = scatter(gradient, tokens, onto: sum, width: width, type)
        #expect(same(scattered, whole))
        #expect(!same(scatter(gradient, tokens.reversed(), onto: sum, width: width, type), whole))
    }
}

extension ThreadedTests {
    @Suite(.serialized, .everyCompilation)
    struct EmbeddingThreadsTests {
        @Test(arguments: elementTypes)
        func bitsDoNotDependOnThreads(type: ElementType) {
            let ids = values(3_000, seed: 2).map { Int32(abs($0) * 500) }
            let gradient = rounded(values(3_000 * 48, seed: 3), to: type)
            let table = values(500 * 48, seed: 4)
            Threads.start(1)
            let expected = bits(scatter(gradient, ids, onto: table, width: 48, type))
            for threads in 2...3 {
                Threads.start(threads)
                #expect(bits(scatter(gradient, ids, onto: table, width: 48, type)) == expected)
            }
        }
    }
}
