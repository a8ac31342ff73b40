// Rows of a table by their number, and the gradient of that: rows added back in token order.

/// out[t] = table[ids[t] − firstRow] where this table holds that row, zeros elsewhere.
///
/// - Parameters:
///   - table: `[tableRows × width]`: rows `firstRow ..< firstRow + tableRows` of the logical table.
///   - out: `[count × width]`, overwritten.
package func gatherRows(
    _ table: UnsafePointer<Float>, width: Int, ids: UnsafePointer<Int32>, count: Int,
    into out: UnsafeMutablePointer<Float>, firstRow: Int = 0, tableRows: Int
) {
    parallelRows(count, width: width) { tokens in
        for token in tokens {
            let row = Int(ids[token]) - firstRow
            if row >= 0 && row < tableRows {
                (out + token * width).update(from: table + row * width, count: width)
            } else {
                (out + token * width).update(repeating: 0, count: width)
            }
        }
    }
}

/// tableGradient[ids[t] − firstRow] += gradient[t], in token order for each table row; ids outside
/// the table are passed over.
///
/// Threads share out the table's rows, never one row's tokens, so the order is the same for all.
/// - Parameters:
///   - gradient: `[count × width]`.
///   - tableGradient: `[tableRows × width]`, added to.
package func scatterAddRows(
    _ gradient: UnsafePointer<Float>, ids: UnsafePointer<Int32>, count: Int,
    into tableGradient: UnsafeMutablePointer<Float>, width: Int, tableRows: Int, firstRow: Int = 0
) {
    // Row in the high bits, token in the low ones: sorted, each row's tokens stand in their order.
    var entries: [UInt64] = []
    entries.reserveCapacity(count)
    for token in 0..<count {
        let row = Int(ids[token]) - firstRow
        if row >= 0 && row < tableRows { entries.append(UInt64(row) << 32 | UInt64(token)) }
    }
    entries.sort()
    let starts = entries.indices.filter { $0 == 0 || entries[$0] >> 32 != entries[$0 - 1] >> 32 }
    entries.withUnsafeBufferPointer { entries in
        parallelRows(starts.count, width: width) { runs in
            let end = runs.upperBound < starts.count ? starts[runs.upperBound] : entries.count
            for entry in entries[starts[runs.lowerBound]..<end] {
                let target = tableGradient + Int(entry >> 32) * width
                let source = gradient + Int(entry & 0xFFFF_FFFF) * width
                for column in 0..<width { target[column] += source[column] }
            }
        }
    }
}
