// Packing: the rows of A and the columns of B, as Float32, in the order in which a tile kernel reads them.
//
// A *line* is a row of A or a column of B; it runs along the inner index. A *sliver* is as many lines as a
// tile is high (A) or wide (B), stored [inner × lines], the last of an operand filled up with zeros.
// Lines whose inner index is contiguous in memory are transposed in registers, four lines by four;
// others, whose lines lie side by side, are copied.

import COpenBLAS

/// Lines of an operand.
struct Lines {
    private let elements: Elements
    private let stride: Int
    /// Whether neighbours in memory are of neighbouring lines.
    private let sideBySide: Bool
    private let isLeft: Bool

    /// The rows of a left factor.
    init(rowsOf a: Operand) {
        (elements, stride, sideBySide, isLeft) = (a.elements, a.stride, a.transposed, true)
    }

    /// The columns of a right factor.
    init(columnsOf b: Operand) {
        (elements, stride, sideBySide, isLeft) = (b.elements, b.stride, !b.transposed, false)
    }

    /// Packs `lines`, of `extent` that there are, over the inner indices `inner` into slivers of a tile's height or width.
    func pack(
        _ lines: Range<Int>, of extent: Int, inner: Range<Int>, for tile: TileShape,
        into slivers: UnsafeMutablePointer<Float>
    ) {
        let offset =
            sideBySide
            ? inner.lowerBound * stride + lines.lowerBound
            : lines.lowerBound * stride + inner.lowerBound
        let first = elements + offset
        let readable = extent - lines.lowerBound
        let width = isLeft ? tile.height : tile.width
        if tile == .matrix {
            MatrixSlivers(
                first.pointer(to: BFloat16.self), stride: stride, sideBySide: sideBySide,
                isLeft: isLeft
            ).pack(lines.count, inner: inner.count, into: slivers)
            return
        }
        switch elements.type {
        case .float32:
            pack(first.pointer(to: Float.self), lines.count, readable, inner.count, width, slivers)
        case .float16:
            pack(
                first.pointer(to: Float16.self), lines.count, readable, inner.count, width, slivers)
        case .bfloat16:
            pack(
                first.pointer(to: BFloat16.self), lines.count, readable, inner.count, width, slivers
            )
        }
    }

    @inline(__always)
    private func pack<Element: StoredElement>(
        _ source: UnsafePointer<Element>, _ count: Int, _ readable: Int, _ inner: Int, _ width: Int,
        _ slivers: UnsafeMutablePointer<Float>
    ) {
        if sideBySide {
            copyLines(source, stride, count, readable, inner, width, slivers)
            return
        }
        withScratch(Element.self == Float.self ? 0 : convertedAtOnce * width) { block in
            for line in Swift.stride(from: 0, to: count, by: width) {
                transposeSliver(
                    source + line * stride, stride, min(width, count - line), inner, width,
                    slivers + line * inner, converted: block)
            }
        }
    }
}

// MARK: - Lines side by side

/// Inner indices that are copied sliver by sliver at a time: not more than the nearest cache has places
/// for addresses that are a power of two apart.
private let copiedAtOnce = 8

@inline(__always)
private func copyLines<Element: StoredElement>(
    _ source: UnsafePointer<Element>, _ stride: Int, _ count: Int, _ readable: Int, _ inner: Int,
    _ width: Int, _ slivers: UnsafeMutablePointer<Float>
) {
    for start in Swift.stride(from: 0, to: inner, by: copiedAtOnce) {
        let run = min(copiedAtOnce, inner - start)
        for row in start + 2 * copiedAtOnce..<start + 3 * copiedAtOnce where width < 16 {
            for line in Swift.stride(from: 0, to: count, by: 64 / MemoryLayout<Element>.size) {
                prefetch_for_later(source + row * stride + line)
            }
        }
        for line in Swift.stride(from: 0, to: count, by: width) {
            let part = source + start * stride + line
            let sliver = slivers + line * inner + start * width
            let lines = min(width, count - line)
            // A load of 16 may reach beyond the sliver, not beyond the lines there are.
            guard lines == width && line + max(width, 16) <= readable else {
                copyPart(part, stride, lines, run, width, sliver)
                continue
            }
            switch width {
            case 6: copy(part, stride, run, 6, sliver)
            case 12: copy(part, stride, run, 12, sliver)
            case 16: copy(part, stride, run, 16, sliver)
            default: copy(part, stride, run, 32, sliver)
            }
        }
    }
}

@inline(__always)
private func copy<Element: StoredElement>(
    _ source: UnsafePointer<Element>, _ stride: Int, _ inner: Int, _ width: Int,
    _ sliver: UnsafeMutablePointer<Float>
) {
    var (source, sliver) = (source, UnsafeMutableRawPointer(sliver))
    for _ in 0..<inner {
        let vector = source.vector(at: 0)
        if width >= 16 {
            sliver.storeBytes(of: vector, as: Vector.self)
            if width == 32 {
                (sliver + 64).storeBytes(of: source.vector(at: 16), as: Vector.self)
            }
        } else if width == 12 {
            sliver.storeBytes(of: vector.lowHalf, as: SIMD8<Float>.self)
            (sliver + 32).storeBytes(of: vector.highHalf.lowHalf, as: SIMD4<Float>.self)
        } else {
            sliver.storeBytes(of: vector.lowHalf.lowHalf, as: SIMD4<Float>.self)
            (sliver + 16).storeBytes(of: vector.lowHalf.highHalf.lowHalf, as: SIMD2<Float>.self)
        }
        source += stride
        sliver += 4 * width
    }
}

/// A sliver with `lines` lines, and zeros for the others.
@inline(never)
private func copyPart<Element: StoredElement>(
    _ source: UnsafePointer<Element>, _ stride: Int, _ lines: Int, _ inner: Int, _ width: Int,
    _ sliver: UnsafeMutablePointer<Float>
) {
    for index in 0..<inner {
        let (from, to) = (source + index * stride, sliver + index * width)
        for line in 0..<lines { to[line] = from[line].float }
        for line in lines..<width { to[line] = 0 }
    }
}

// MARK: - Lines one after the other

/// Inner indices of a sliver whose halves are made floats at a time.
private let convertedAtOnce = 128

/// A sliver with `lines` lines, and zeros for the others.
@inline(__always)
private func transposeSliver<Element: StoredElement>(
    _ source: UnsafePointer<Element>, _ stride: Int, _ lines: Int, _ inner: Int, _ width: Int,
    _ sliver: UnsafeMutablePointer<Float>, converted block: UnsafeMutablePointer<Float>
) {
    let whole = lines == width ? inner & ~15 : 0
    if whole > 0 {
        if Element.self == Float.self {
            let floats = UnsafeRawPointer(source).assumingMemoryBound(to: Float.self)
            transposeLines(floats, stride, whole, width, sliver)
        } else {
            transposeConverted(source, stride, whole, width, sliver, by: block)
        }
    }
    for index in whole..<inner {
        for line in 0..<lines { sliver[index * width + line] = source[line * stride + index].float }
        for line in lines..<width { sliver[index * width + line] = 0 }
    }
}

/// By way of a block of floats in the nearest cache: the compiler would convert what goes through
/// shuffles lane by lane.
@inline(__always)
private func transposeConverted<Element: StoredElement>(
    _ source: UnsafePointer<Element>, _ stride: Int, _ inner: Int, _ width: Int,
    _ sliver: UnsafeMutablePointer<Float>, by block: UnsafeMutablePointer<Float>
) {
    for start in Swift.stride(from: 0, to: inner, by: convertedAtOnce) {
        let run = min(convertedAtOnce, inner - start)
        for line in 0..<width {
            let (from, to) = (source + line * stride + start, block + line * convertedAtOnce)
            for index in Swift.stride(from: 0, to: run, by: 16) {
                to.store(from.vector(at: index), at: index)
                prefetch_for_later(from + width * stride + index)
            }
        }
        transposeLines(block, convertedAtOnce, run, width, sliver + start * width)
    }
}

/// `inner` is a multiple of 16.
private func transposeLines(
    _ source: UnsafePointer<Float>, _ stride: Int, _ inner: Int, _ width: Int,
    _ sliver: UnsafeMutablePointer<Float>
) {
    switch width {
    case 6: transpose(source, stride, inner, 6, sliver)
    case 12: transpose(source, stride, inner, 12, sliver)
    case 16: transpose(source, stride, inner, 16, sliver)
    default: transpose(source, stride, inner, 32, sliver)
    }
}

/// `width` is a literal wherever this is called, so that the loops over it are gone.
@inline(__always)
private func transpose(
    _ source: UnsafePointer<Float>, _ stride: Int, _ inner: Int, _ width: Int,
    _ sliver: UnsafeMutablePointer<Float>
) {
    for start in Swift.stride(from: 0, to: inner, by: 16) {
        for line in 0..<width { prefetch_for_reading(source + line * stride + start + 32) }
        for line in width..<2 * width { prefetch_for_later(source + line * stride + start) }
        var line = 0
        while line + 4 <= width {
            let from = source + line * stride + start
            transposeFour(
                from.vector(at: 0), from.vector(at: stride), from.vector(at: 2 * stride),
                from.vector(at: 3 * stride), into: sliver + start * width + line, stride: width)
            line += 4
        }
        if line < width {
            let from = source + line * stride + start
            transposeTwo(
                from.vector(at: 0), from.vector(at: stride),
                into: sliver + start * width + line, stride: width)
        }
    }
}

/// Four lines of 16: each inner index's four elements side by side.
@inline(__always)
private func transposeFour(
    _ a: Vector, _ b: Vector, _ c: Vector, _ d: Vector, into sliver: UnsafeMutablePointer<Float>,
    stride: Int
) {
    transposeFour(
        a.lowHalf.lowHalf, b.lowHalf.lowHalf, c.lowHalf.lowHalf, d.lowHalf.lowHalf, into: sliver,
        stride: stride)
    transposeFour(
        a.lowHalf.highHalf, b.lowHalf.highHalf, c.lowHalf.highHalf, d.lowHalf.highHalf,
        into: sliver + 4 * stride, stride: stride)
    transposeFour(
        a.highHalf.lowHalf, b.highHalf.lowHalf, c.highHalf.lowHalf, d.highHalf.lowHalf,
        into: sliver + 8 * stride, stride: stride)
    transposeFour(
        a.highHalf.highHalf, b.highHalf.highHalf, c.highHalf.highHalf, d.highHalf.highHalf,
        into: sliver + 12 * stride, stride: stride)
}

@inline(__always)
private func transposeFour(
    _ a: SIMD4<Float>, _ b: SIMD4<Float>, _ c: SIMD4<Float>, _ d: SIMD4<Float>,
    into sliver: UnsafeMutablePointer<Float>, stride: Int
) {
    let lowAB = SIMD4(a[0], b[0], a[1], b[1])
    let lowCD = SIMD4(c[0], d[0], c[1], d[1])
    let highAB = SIMD4(a[2], b[2], a[3], b[3])
    let highCD = SIMD4(c[2], d[2], c[3], d[3])
    store(SIMD4(lowHalf: lowAB.lowHalf, highHalf: lowCD.lowHalf), sliver)
    store(SIMD4(lowHalf: lowAB.highHalf, highHalf: lowCD.highHalf), sliver + stride)
    store(SIMD4(lowHalf: highAB.lowHalf, highHalf: highCD.lowHalf), sliver + 2 * stride)
    store(SIMD4(lowHalf: highAB.highHalf, highHalf: highCD.highHalf), sliver + 3 * stride)
}

@inline(__always)
private func store(_ four: SIMD4<Float>, _ target: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(target).storeBytes(of: four, as: SIMD4<Float>.self)
}

/// Two lines of 16.
@inline(__always)
private func transposeTwo(
    _ a: Vector, _ b: Vector, into sliver: UnsafeMutablePointer<Float>, stride: Int
) {
    for index in 0..<16 {
        UnsafeMutableRawPointer(sliver + index * stride).storeBytes(
            of: SIMD2(a[index], b[index]), as: SIMD2<Float>.self)
    }
}
