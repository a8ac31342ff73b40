import Kernels
import Testing

@Suite(.everyCompilation) struct AttentionTilesTests {
    /// a[rows, inner]·b[inner, 16·vectors] + c, element by element as one chain.
    private func chain(
        _ a: [Float], _ b: [Float], _ c: [Float], rows: Int, inner: Int, vectors: Int
    ) -> [Float] {
        let width = 16 * vectors
        return (0..<rows * width).map { index in
            let (row, column) = index.quotientAndRemainder(dividingBy: width)
            return (0..<inner).reduce(c[index]) { sum, k in
                sum.addingProduct(a[row * inner + k], b[k * width + column])
            }
        }
    }

    @Test(arguments: [4, 8, 12, 16], [1, 2, 3, 5])
    func everyTileFormIsOneChain(rows: Int, vectors: Int) {
        for (inner, accumulate) in [(1, false), (37, false), (37, true), (64, true)] {
            let width = 16 * vectors
            let a = values(rows * inner, seed: 1)
            let b = values(inner * width, seed: 2)
            let before = values(rows * width, seed: 3)
            let start = accumulate ? before : before.map { _ in 0 }
            let expected = chain(a, b, start, rows: rows, inner: inner, vectors: vectors)
            for tile in AttentionTile.allCases {
                withMemory { memory in
                    let c = memory.copy(before)
                    kernels.multiplyRows(
                        Broadcast(memory.copy(a), rowStride: inner), rows: rows,
                        Columns(memory.copy(b), innerStride: width), vectors: vectors,
                        inner: inner, into: c, stride: width, accumulate: accumulate, tile: tile)
                    #expect(same(array(c, rows * width), expected))
                }
            }
            // The order of a chain shows: without that, the comparison would say nothing.
            if inner > 1 {
                let turned = chain(
                    turn(a, columns: inner), turn(b, rows: inner, columns: width), start,
                    rows: rows, inner: inner, vectors: vectors)
                #expect(!same(turned, expected))
            }
        }
    }

    /// Each row from its end.
    private func turn(_ x: [Float], columns: Int) -> [Float] {
        x.indices.map { x[$0 / columns * columns + columns - 1 - $0 % columns] }
    }

    /// The rows from the last.
    private func turn(_ x: [Float], rows: Int, columns: Int) -> [Float] {
        x.indices.map { x[(rows - 1 - $0 / columns) * columns + $0 % columns] }
    }
}
