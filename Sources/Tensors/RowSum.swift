import Kernels

/// The sum of the rows that embeddings add to the gradient of a table with other users, of those rows alone that
/// occur; in Float32.
///
/// It is kept apart from what products add, and joins it once (`Leaf.endAccumulation`): so a pipeline whose first
/// stage embeds and whose last stage holds the tied output projection has the bits of one process, and what
/// crosses the stages is a few rows.
final class RowSum {
    private let width: Int
    /// By row of the table, its place among the sums; negative: none.
    private var places: [Int32]
    /// The rows that occur, in the order in which they came.
    private var rows: [Int32] = []
    /// [places, width]; kept from sum to sum.
    private var sums: Buffer?
    /// Ids so far: no more rows than these occur.
    private var idCount = 0

    /// - Parameter tableRows: those that are here.
    init(tableRows: Int, width: Int) {
        self.width = width
        places = Array(repeating: -1, count: tableRows)
    }

    /// sum[ids[t] − firstRow] += gradient[t], in order of t; other rows are passed over. `gradient` is
    /// [ids, width], of any storage type.
    func add(_ gradient: Elements, ids: Tensor, firstRow: Int) {
        let count = ids.shape.count
        idCount += count
        let sums = room(for: min(places.count, idCount))
        serially { add(gradient, ids: ids, firstRow: firstRow, into: sums) }
    }

    private func add(_ gradient: Elements, ids: Tensor, firstRow: Int, into sums: Buffer) {
        let count = ids.shape.count
        let numbers = ids.buffer.integers
        let known = rows.count
        var own = [Int32](repeating: -1, count: count)
        for token in 0..<count {
            let row = Int(numbers[token]) - firstRow
            guard places.indices.contains(row) else { continue }
            if places[row] < 0 {
                places[row] = Int32(rows.count)
                rows.append(Int32(row))
            }
            own[token] = places[row]
        }
        sums[known * width..<rows.count * width].clear()
        own.withUnsafeBufferPointer { own in
            guard let base = own.baseAddress else { return }
            kernels.scatterAddRows(
                gradient, ids: base, count: count, into: sums.floats, width: width,
                tableRows: rows.count)
        }
    }

    /// table[row] += sum[row] for each row that occurs; afterwards none does.
    func finish(into table: Buffer) {
        if let sums {
            rows.withUnsafeBufferPointer { rows in
                guard let base = rows.baseAddress else { return }
                kernels.addRows(
                    sums.floats, rows: base, count: rows.count, into: table.floats, width: width)
            }
        }
        clear()
    }

    /// No row occurs.
    func clear() {
        for row in rows { places[Int(row)] = -1 }
        rows.removeAll(keepingCapacity: true)
        idCount = 0
    }

    /// Room for the rows of so many micro-batches like the last sum's one: what a group of them leaves.
    func reserve(microBatches: Int) {
        let (count, reserved) = (idCount, places.count)
        for number in 1...max(1, microBatches) where (number - 1) * count < reserved {
            _ = room(for: min(reserved, number * count))
        }
    }

    /// Memory for so many rows, a number that follows from shapes alone.
    private func room(for count: Int) -> Buffer {
        if let sums, sums.count >= count * width { return sums }
        let larger = Buffer(count: count * width)
        if let sums {
            let used = rows.count * width
            larger[0..<used].copyBytes(from: sums[0..<used])
        }
        sums = larger
        return larger
    }
}
