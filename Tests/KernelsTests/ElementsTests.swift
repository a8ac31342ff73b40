import Kernels
import Testing

/// The value of a half from its fields, without any conversion instruction; nil where it is not a number.
private func decoded(_ pattern: UInt16) -> Float? {
    let sign: Float = pattern >> 15 == 0 ? 1 : -1
    let exponent = Int(pattern >> 10 & 31)
    let fraction = Float(pattern & 1023)
    switch exponent {
    case 31: return fraction == 0 ? sign * .infinity : nil
    case 0: return sign * fraction * 0x1p-24
    default:
        let power = Float(sign: .plus, exponent: exponent - 25, significand: 1)
        return sign * (1024 + fraction) * power
    }
}

/// Converts with the kernel, whole or in pieces.
private func narrowed(_ x: [Float], pieces length: Int) -> [UInt16] {
    withMemory { memory in
        let source = memory.elements(x)
        let target = memory.copy([Float16](repeating: .nan, count: x.count))
        inPieces(of: length, x.count) {
            kernels.convert(
                from: source + $0.lowerBound, to: Elements(target + $0.lowerBound), count: $0.count)
        }
        return array(target, x.count).map(\.bitPattern)
    }
}

private func widened(_ x: [UInt16], pieces length: Int) -> [Float] {
    withMemory { memory in
        let source = memory.copy(x.map { Float16(bitPattern: $0) })
        let target = memory.unset(x.count)
        inPieces(of: length, x.count) {
            kernels.convert(
                from: Elements(source + $0.lowerBound), to: Elements(target + $0.lowerBound),
                count: $0.count)
        }
        return array(target, x.count)
    }
}

private let halves = (0...65_535).map { UInt16($0) }
/// Whole runs and pieces: 65,536 is a multiple of a register, so 1 and 7 also take the padded one.
private let lengths = pieceLengths + [65_536]

@Suite(.everyCompilation) struct ElementsTests {
    @Test(arguments: lengths)
    func everyHalfIsReadAndWrittenBack(length: Int) {
        let floats = widened(halves, pieces: length)
        let wrong = halves.filter { half in
            let found = floats[Int(half)]
            guard let expected = decoded(half) else {
                // Not a number stays so: its payload stands on top, made quiet.
                let payload = UInt32(half & 1023 | 0x200) << 13
                let sign = UInt32(half >> 15) << 31
                return found.bitPattern != sign | 0x7F80_0000 | payload
            }
            return found.bitPattern != expected.bitPattern
                || Float(Float16(bitPattern: half)).bitPattern != expected.bitPattern
        }
        #expect(wrong.isEmpty)
        let back = narrowed(floats, pieces: length)
        #expect(back == halves.map { decoded($0) == nil ? $0 | 0x200 : $0 })
        #expect(back != halves)
    }

    /// Between two neighbours: the middle goes to the even one, the floats beside it to the nearer one.
    @Test(arguments: lengths)
    func tiesGoToEven(length: Int) {
        var x: [Float] = []
        var expected: [UInt16] = []
        for sign: UInt16 in [0, 0x8000] {
            for low in UInt16(0)..<0x7C00 {
                // The half after 65,504 would be 65,536: from the middle on all goes to infinity.
                let high = low == 0x7BFF ? 65_536 : decoded(low + 1) ?? .nan
                let middle = ((decoded(low) ?? .nan) + high) / 2
                let even = low & 1 == 0 ? low : low + 1
                let cases = [(middle.nextDown, low), (middle, even), (middle.nextUp, low + 1)]
                x += cases.map { sign == 0 ? $0.0 : -$0.0 }
                expected += cases.map { $0.1 | sign }
            }
        }
        #expect(narrowed(x, pieces: length) == expected)
        #expect(narrowed(x, pieces: length) != expected.map { $0 & ~1 })
        #expect(narrowed(x, pieces: length) == x.map { Float16($0).bitPattern })
    }

    @Test func overflowBeginsAt65520() {
        let x: [Float] = [65_504, 65_520 - 1 / 256, 65_520, -65_520, 1e30, -.infinity]
        #expect(narrowed(x, pieces: 6) == [0x7BFF, 0x7BFF, 0x7C00, 0xFC00, 0x7C00, 0xFC00])
    }

    @Test(arguments: elementTypes, [0, 1, 17, 1003])
    func oneTypeIsCopied(type: ElementType, count: Int) {
        let x = values(count, seed: 1)
        let copied = withMemory { memory in
            let target = memory.unset(count + 1, type)
            kernels.convert(from: memory.elements(x, type), to: target, count: count)
            return array(target, count + 1)
        }
        #expect(same(Array(copied[..<count]), rounded(x, to: type)))
        #expect(copied[count].isNaN)
    }

    @Test(arguments: pieceLengths + [1_003])
    func sumsOfHalvesAreRoundedOnce(length: Int) {
        let count = 1003
        let (a, b) = (
            rounded(values(count, seed: 1), to: .float16),
            rounded(values(count, seed: 2), to: .float16)
        )
        let sums = withMemory { memory in
            let (x, y) = (memory.elements(a, .float16), memory.elements(b, .float16))
            inPieces(of: length, count) {
                let start = $0.lowerBound
                kernels.add(x + start, y + start, into: x + start, count: $0.count)
            }
            return array(x, count)
        }
        #expect(same(sums, zip(a, b).map { Float(Float16($0 + $1)) }))
        #expect(!same(sums, zip(a, b).map { $0 + $1 }))
    }

    @Test(arguments: elementTypes, [1, 16, 4_096, 10_003])
    func theFirstNonFiniteElementIsFound(type: ElementType, count: Int) {
        withMemory { memory in
            let finite = values(count, seed: 1).map { $0 * 65_504 }
            #expect(kernels.firstNonFinite(memory.elements(finite, type), count: count) == nil)
            for (place, bad) in [(0, Float.nan), (count / 2, .infinity), (count - 1, -.infinity)] {
                var x = finite
                x[place] = bad
                x[count - 1] = .nan
                #expect(kernels.firstNonFinite(memory.elements(x, type), count: count) == place)
            }
        }
    }
}
