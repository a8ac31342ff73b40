// Rows of a table by their number, and the gradient of that.

/// Rows of tables.
package protocol EmbeddingKernels: Sendable {
    /// out[t] = table[ids[t] − firstRow] where this table holds that row, zeros elsewhere.
    ///
    /// - Parameters:
    ///   - table: `[tableRows × width]`: rows `firstRow ..< firstRow + tableRows` of the logical table.
    ///   - out: `[count × width]`, of the table's type, overwritten.
    static func gatherRows(
        _ table: Elements, width: Int, ids: UnsafePointer<Int32>, count: Int,
        into out: Elements, firstRow: Int, tableRows: Int
    )

    /// out[rows[t]] = x[t], and zeros in all other rows: what `gatherRows` took goes back to its place.
    ///
    /// - Parameters:
    ///   - x: `[count × width]`.
    ///   - rows: no row twice; a negative one is passed over.
    ///   - out: `[outRows × width]`, of the type of `x`, overwritten.
    static func placeRows(
        _ x: Elements, width: Int, rows: UnsafePointer<Int32>, count: Int, into out: Elements,
        outRows: Int
    )

    /// tableGradient[ids[t] − firstRow] += gradient[t], in token order for each table row; ids outside
    /// the table are passed over.
    ///
    /// Threads share out the table's rows, never one row's tokens, so the order is the same for all.
    /// - Parameters:
    ///   - gradient: `[count × width]`, of any stored type.
    ///   - tableGradient: `[tableRows × width]`, added to.
    static func scatterAddRows(
        _ gradient: Elements, ids: UnsafePointer<Int32>, count: Int,
        into tableGradient: UnsafeMutablePointer<Float>, width: Int, tableRows: Int, firstRow: Int
    )

    /// table[rows[i]] += sums[i], with no row twice.
    ///
    /// - Parameters:
    ///   - sums: `[count × width]`.
    ///   - table: rows of `width`, added to.
    static func addRows(
        _ sums: UnsafePointer<Float>, rows: UnsafePointer<Int32>, count: Int,
        into table: UnsafeMutablePointer<Float>, width: Int
    )
}

// The requirements with default arguments, which a requirement cannot have.
extension EmbeddingKernels {
    package static func gatherRows(
        _ table: Elements, width: Int, ids: UnsafePointer<Int32>, count: Int,
        into out: Elements, firstRow: Int = 0, tableRows: Int
    ) {
        gatherRows(
            table, width: width, ids: ids, count: count, into: out, firstRow: firstRow,
            tableRows: tableRows)
    }

    package static func scatterAddRows(
        _ gradient: Elements, ids: UnsafePointer<Int32>, count: Int,
        into tableGradient: UnsafeMutablePointer<Float>, width: Int, tableRows: Int,
        firstRow: Int = 0
    ) {
        scatterAddRows(
            gradient, ids: ids, count: count, into: tableGradient, width: width,
            tableRows: tableRows, firstRow: firstRow)
    }
}
