// Packing for the matrix unit: factors in bfloat16 as its tiles have them (`multiply_tiles` in CTiles).
//
// A sliver is 32 lines. Over each block of 32 inner indices it is two tiles: of the left factor rows of 32 elements, a line
// each; of the right one rows of 16 pairs, a pair being two inner indices of one column. What is beyond the operand is zero.

import CTiles

/// Lines of a factor in bfloat16, the first of them at `source`.
struct MatrixSlivers {
    private let source: UnsafePointer<BFloat16>
    private let stride: Int
    /// Whether neighbours in memory are of neighbouring lines.
    private let sideBySide: Bool
    private let isLeft: Bool

    init(
        _ source: UnsafeMutablePointer<BFloat16>, stride: Int, sideBySide: Bool,
        isLeft: Bool
    ) {
        (self.source, self.stride, self.sideBySide) = (UnsafePointer(source), stride, sideBySide)
        self.isLeft = isLeft
    }

    /// Packs `count` lines over `inner` indices from `source` on.
    func pack(_ count: Int, inner: Int, into slivers: UnsafeMutablePointer<Float>) {
        let sliverFloats = 32 * TileShape.matrix.packed(inner: inner)
        for line in Swift.stride(from: 0, to: count, by: 32) {
            let sliver = UnsafeMutableRawPointer(slivers + line / 32 * sliverFloats)
            for start in Swift.stride(from: 0, to: inner, by: 32) {
                let (lines, indices) = (min(32, count - line), min(32, inner - start))
                for half in 0..<2 {
                    let tile = sliver + start * 64 + half * 1024
                    let (first, here) = (line + 16 * half, max(0, min(16, lines - 16 * half)))
                    if here == 16 && indices == 32 {
                        packWhole(first, start, into: tile)
                    } else {
                        packPart(first, here, start, indices, into: tile)
                    }
                }
            }
        }
    }

    /// A tile of 16 lines by 32 inner indices.
    @inline(__always)
    private func packWhole(_ line: Int, _ start: Int, into tile: UnsafeMutableRawPointer) {
        if !sideBySide {
            let from = UnsafeRawPointer(source + line * stride + start)
            if isLeft {
                for row in 0..<16 {
                    (tile + 64 * row).copyMemory(from: from + 2 * row * stride, byteCount: 64)
                }
            } else {
                transpose_words(from, 2 * stride, tile)
            }
            return
        }
        // Inner indices lie `stride` apart, the lines of each side by side.
        var from = UnsafeRawPointer(source + start * stride + line)
        func pairs(into rows: UnsafeMutableRawPointer) {
            for pair in 0..<16 {
                let even = from.loadUnaligned(as: SIMD16<UInt16>.self)
                let odd = (from + 2 * stride).loadUnaligned(as: SIMD16<UInt16>.self)
                (rows + 64 * pair).storeBytes(
                    of: pairs_of_brains(even, odd), as: SIMD16<UInt32>.self)
                from += 4 * stride
            }
        }
        guard isLeft else { return pairs(into: tile) }
        withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 64) { rows in
            guard let rows = rows.baseAddress else { return }
            pairs(into: rows)
            transpose_words(rows, 64, tile)
        }
    }

    @inline(never)
    private func packPart(
        _ line: Int, _ lines: Int, _ start: Int, _ indices: Int, into tile: UnsafeMutableRawPointer
    ) {
        let target = tile.assumingMemoryBound(to: BFloat16.self)
        target.update(repeating: BFloat16(bits: 0), count: 512)
        for row in 0..<lines {
            for index in 0..<indices {
                let place =
                    sideBySide
                    ? (start + index) * stride + line + row : (line + row) * stride + start + index
                target[isLeft ? 32 * row + index : index / 2 * 32 + 2 * row + index % 2] =
                    source[place]
            }
        }
    }
}
