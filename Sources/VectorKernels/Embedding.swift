// Rows of a table by their number, and the gradient of that: rows added back in token order, or put back
// where no row was taken twice.

extension VectorKernels {
    package static func gatherRows(
        _ table: Elements, width: Int, ids: UnsafePointer<Int32>, count: Int,
        into out: Elements, firstRow: Int, tableRows: Int
    ) {
        precondition(
            table.type == out.type,
            "gatherRows: operands of one type expected, found \(table.type) and \(out.type)")
        let rowBytes = width * table.type.size
        parallelRows(count, width: width) { tokens in
            for token in tokens {
                let row = Int(ids[token]) - firstRow
                if row >= 0 && row < tableRows {
                    (out + token * width).base.copyMemory(
                        from: (table + row * width).base, byteCount: rowBytes)
                } else {
                    // All bits 0 are the number 0 in all types.
                    (out + token * width).base.initializeMemory(
                        as: UInt8.self, repeating: 0, count: rowBytes)
                }
            }
        }
    }

    package static func placeRows(
        _ x: Elements, width: Int, rows: UnsafePointer<Int32>, count: Int, into out: Elements,
        outRows: Int
    ) {
        precondition(
            x.type == out.type,
            "placeRows: operands of one type expected, found \(x.type) and \(out.type)")
        let rowBytes = width * x.type.size
        parallelRows(outRows, width: width) { block in
            (out + block.lowerBound * width).base.initializeMemory(
                as: UInt8.self, repeating: 0, count: block.count * rowBytes)
        }
        parallelRows(count, width: width) { block in
            for index in block where rows[index] >= 0 {
                (out + Int(rows[index]) * width).base.copyMemory(
                    from: (x + index * width).base, byteCount: rowBytes)
            }
        }
    }

    package static func scatterAddRows(
        _ gradient: Elements, ids: UnsafePointer<Int32>, count: Int,
        into tableGradient: UnsafeMutablePointer<Float>, width: Int, tableRows: Int, firstRow: Int
    ) {
        func run<Element: StoredElement>(_ type: Element.Type) {
            scatterAddRows(
                UnsafePointer(gradient.pointer(to: type)), ids: ids, count: count,
                into: tableGradient,
                width: width, tableRows: tableRows, firstRow: firstRow)
        }
        serially {
            switch gradient.type {
            case .float32: run(Float.self)
            case .float16: run(Float16.self)
            case .bfloat16: run(BFloat16.self)
            }
        }
    }

    private static func scatterAddRows<Element: StoredElement>(
        _ gradient: UnsafePointer<Element>, ids: UnsafePointer<Int32>, count: Int,
        into tableGradient: UnsafeMutablePointer<Float>, width: Int, tableRows: Int, firstRow: Int
    ) {
        // Row in the high bits, token in the low ones: sorted, each row's tokens stand in their order.
        var entries: [UInt64] = []
        entries.reserveCapacity(count)
        for token in 0..<count {
            let row = Int(ids[token]) - firstRow
            if row >= 0 && row < tableRows { entries.append(UInt64(row) << 32 | UInt64(token)) }
        }
        entries.sort()
        let starts = entries.indices.filter {
            $0 == 0 || entries[$0] >> 32 != entries[$0 - 1] >> 32
        }
        entries.withUnsafeBufferPointer { entries in
            parallelRows(starts.count, width: width) { runs in
                let end = runs.upperBound < starts.count ? starts[runs.upperBound] : entries.count
                for entry in entries[starts[runs.lowerBound]..<end] {
                    let target = tableGradient + Int(entry >> 32) * width
                    let source = gradient + Int(entry & 0xFFFF_FFFF) * width
                    map(target, source, into: target, width) { $0 + $1 }
                }
            }
        }
    }

    package static func addRows(
        _ sums: UnsafePointer<Float>, rows: UnsafePointer<Int32>, count: Int,
        into table: UnsafeMutablePointer<Float>, width: Int
    ) {
        parallelRows(count, width: width) { places in
            for place in places {
                let target = table + Int(rows[place]) * width
                map(target, sums + place * width, into: target, width) { $0 + $1 }
            }
        }
    }
}
