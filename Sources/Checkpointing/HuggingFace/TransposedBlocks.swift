import Tensors

/// Calls `take` with a matrix [rows, columns] turned around, [columns, rows], whole rows of it at a time
/// and in order.
///
/// - Parameters:
///   - most: elements that are held in each of two blocks, or one of its columns where that is more.
///   - read: fills a buffer with elements of the matrix, row-major. It is asked for whole rows where they are
///     not too long, and for those of a matrix of more than `most` elements once for each block that is taken.
package func transposeBlocks(
    rows: Int, columns: Int, most: Int = 1 << 24,
    read: (Range<Int>, Buffer) throws(CheckpointError) -> Void,
    take: (Buffer) throws(CheckpointError) -> Void
) throws(CheckpointError) {
    guard rows > 0, columns > 0 else { return }
    let width = min(columns, max(1, most / rows))
    let usual = min(most, StreamedTensor.blockElementCount)
    // Sixteen rows side by side fill a cache line of the result.
    let isWhole = 16 * columns <= max(usual, 16 * width)
    let span = isWhole ? columns : width
    let height = min(rows, max(16, usual / span / 16 * 16))
    // Of the same size for every matrix, so that all of them share the memory.
    let strip = Buffer(count: max(most, rows))
    let block = Buffer(count: max(usual, height * span))
    for first in stride(from: 0, to: columns, by: width) {
        let count = min(width, columns - first)
        for row in stride(from: 0, to: rows, by: height) {
            let part = min(height, rows - row)
            if isWhole {
                try read(row * columns..<(row + part) * columns, block[0..<part * columns])
            } else {
                for line in 0..<part {
                    let start = (row + line) * columns + first
                    try read(start..<start + count, block[line * span..<line * span + count])
                }
            }
            turn(
                block, rows: part, columns: span, from: isWhole ? first : 0, count: count
            ) { strip.floats + row + $0 * rows }
        }
        try take(strip[0..<count * rows])
    }
}

/// Column `from` + c of `source` goes, element by element, to what `target` gives for c.
private func turn(
    _ source: Buffer, rows: Int, columns: Int, from first: Int, count: Int,
    into target: (Int) -> UnsafeMutablePointer<Float>
) {
    let values = source.floats
    for start in stride(from: 0, to: rows, by: 16) {
        let end = min(start + 16, rows)
        for column in 0..<count {
            let line = target(column)
            for row in start..<end { line[row] = values[row * columns + first + column] }
        }
    }
}

/// Calls `take` with `count` elements in order, in blocks of at most 4 MiB.
func forEachBlock(
    of count: Int, read: (Range<Int>, Buffer) throws(CheckpointError) -> Void,
    take: (Buffer) throws(CheckpointError) -> Void
) throws(CheckpointError) {
    let block = Buffer(count: StreamedTensor.blockElementCount)
    for start in stride(from: 0, to: count, by: block.count) {
        let end = min(start + block.count, count)
        let part = block[0..<end - start]
        try read(start..<end, part)
        try take(part)
    }
}
