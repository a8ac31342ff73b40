import Checkpointing
import Tensors
import Testing

@Suite struct TransposedBlocksTests {
    /// Element i of a matrix is i.
    private static func transposed(
        rows: Int, columns: Int, most: Int
    ) throws -> (values: [Float], largestBlock: Int) {
        var values: [Float] = []
        var largest = 0
        try transposeBlocks(rows: rows, columns: columns, most: most) {
            (range, buffer) throws(CheckpointError) in
            for index in range { buffer.floats[index - range.lowerBound] = Float(index) }
            largest = max(largest, buffer.count)
        } take: { (block) throws(CheckpointError) in
            values += Tensor(buffer: block, shape: [block.count]).array
            largest = max(largest, block.count)
        }
        return (values, largest)
    }

    @Test(
        arguments: [(1, 1), (1, 7), (7, 1), (3, 5), (16, 16), (17, 31), (64, 48), (100, 3)],
        [1, 20, 300, 1 << 20])
    func everyElementComesToItsPlace(size: (rows: Int, columns: Int), most: Int) throws {
        let (rows, columns) = size
        let (values, largest) = try Self.transposed(rows: rows, columns: columns, most: most)
        let expected = (0..<columns).flatMap { column in
            (0..<rows).map { Float($0 * columns + column) }
        }
        #expect(values == expected)
        // One whole column is the least that is held.
        #expect(largest <= max(most, rows))
    }
}
