import Tensors

/// Calls `take` with a matrix [rows, columns] turned around, [columns, rows], whole rows of it at a time
/// and in order, without ever holding more than about twice `most` elements.
///
/// - Parameter read: fills a buffer with elements of the matrix, row-major. A matrix of more than `most`
///   elements is read once for each block that is taken: rows cannot be turned around one by one.
package func transposeBlocks(
    rows: Int, columns: Int, most: Int = 1 << 24,
    read: (Range<Int>, Buffer) throws(CheckpointError) -> Void,
    take: (Buffer) throws(CheckpointError) -> Void
) throws(CheckpointError) {
    guard rows > 0, columns > 0 else { return }
    let width = min(columns, max(1, most / rows))
    // Sixteen rows side by side fill a cache line of the result.
    let height = min(rows, max(16, most / columns / 16 * 16))
    let strip = Buffer(count: width * rows)
    let block = Buffer(count: height * columns)
    var first = 0
    while first < columns {
        let count = min(width, columns - first)
        var row = 0
        while row < rows {
            let part = min(height, rows - row)
            let source = block[0..<part * columns]
            try read(row * columns..<(row + part) * columns, source)
            turn(source, rows: part, columns: columns, from: first, count: count) {
                strip.floats + row + $0 * rows
            }
            row += part
        }
        try take(strip[0..<count * rows])
        first += count
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

/// Calls `take` with `count` elements in order, in blocks of at most `most`.
func forEachBlock(
    of count: Int, most: Int = 1 << 22,
    read: (Range<Int>, Buffer) throws(CheckpointError) -> Void,
    take: (Buffer) throws(CheckpointError) -> Void
) throws(CheckpointError) {
    let block = Buffer(count: min(count, most))
    var position = 0
    while position < count {
        let part = block[0..<min(most, count - position)]
        try read(position..<position + part.count, part)
        try take(part)
        position += part.count
    }
}
