import Kernels
import Testing

/// bfloat16: how numbers are rounded, and that products of them have one rule on every unit.
@Suite(.everyCompilation) struct BFloat16Tests {
    @Test func everyNumberComesBack() {
        for bits in UInt16.min...UInt16.max {
            let number = BFloat16(bits: bits)
            let again = BFloat16(number.float)
            if number.float.isNaN {
                #expect(again.float.isNaN)
            } else {
                #expect(again == number)
            }
        }
    }

    /// To the nearest, and where two are as near to the one with an even last digit; beyond the largest, infinity.
    @Test func roundsToNearest() {
        for bits in stride(from: UInt16(0), to: 0x7f7f, by: 97) {
            let (low, high) = (BFloat16(bits: bits), BFloat16(bits: bits + 1))
            let middle = UInt32(bits) << 16 | 0x8000
            #expect(BFloat16(Float(bitPattern: middle - 1)) == low)
            #expect(BFloat16(Float(bitPattern: middle + 1)) == high)
            #expect(BFloat16(Float(bitPattern: middle)) == (bits % 2 == 0 ? low : high))
        }
        #expect(BFloat16(.greatestFiniteMagnitude).float == .infinity)
        #expect(BFloat16(-.greatestFiniteMagnitude).float == -.infinity)
        #expect(BFloat16(.nan).float.isNaN)
    }

    /// Sixteen at a time are rounded as one is.
    @Test func vectorsRoundAsOneDoes() {
        let count = 16 * 64 + 5
        let bits = (0..<UInt32(count)).map { $0 &* 0x9e37_79b9 ^ $0 << 13 }
        withMemory { memory in
            let floats = memory.copy(bits.map { Float(bitPattern: $0) })
            let stored = UnsafeMutablePointer<BFloat16>.allocate(capacity: count)
            defer { stored.deallocate() }
            kernels.convert(from: Elements(floats), to: Elements(stored), count: count)
            for index in 0..<count {
                let one = BFloat16(floats[index])
                #expect(stored[index] == one || one.float.isNaN && stored[index].float.isNaN)
            }
        }
    }

    private func product(
        _ a: [Float], _ b: [Float], addedTo c: [Float]? = nil, rows: Int, columns: Int,
        tile: TileShape
    ) -> [Float] {
        let inner = a.count / rows
        let (left, right) = (
            UnsafeMutablePointer<BFloat16>.allocate(capacity: a.count),
            UnsafeMutablePointer<BFloat16>.allocate(capacity: b.count)
        )
        defer {
            left.deallocate()
            right.deallocate()
        }
        for (index, value) in a.enumerated() { left[index] = BFloat16(value) }
        for (index, value) in b.enumerated() { right[index] = BFloat16(value) }
        return withMemory { memory in
            let target = memory.copy(c ?? [Float](repeating: .nan, count: rows * columns))
            kernels.sumOfProducts(
                rows: rows, columns: columns,
                slices: [
                    ProductSlice(
                        inner: inner, a: Operand(Elements(left), stride: inner),
                        b: Operand(Elements(right), stride: inner, transposed: true))
                ], accumulate: c != nil, into: target, stride: columns, tile: tile)
            return array(target, rows * columns)
        }
    }

    private static let units: [TileShape] =
        [.narrow, .wide] + (MatrixUnit.isThere ? [.matrix] : [])

    /// Denormal factors, products and sums are zeros on every unit.
    @Test(arguments: units) func denormalsAreZeros(tile: TileShape) {
        func one(_ a: Float, _ b: Float) -> Float {
            product([a], [b], rows: 1, columns: 1, tile: tile)[0]
        }
        #expect(one(0x1p-130, 0x1p20) == 0)
        #expect(one(0x1p-70, 0x1p-60) == 0)
        #expect(one(0x1p-70, 0x1p-56) == 0x1p-126, "control")
        // 2⁻¹²⁶ − 1.5 · 2⁻¹²⁷ is none either.
        let sum = product(
            [0x1p-63, 0, 0x1.8p-64], [0x1p-63, 0, -0x1p-63], rows: 1, columns: 1, tile: tile)
        #expect(sum == [0])
        // The arithmetic around the products has them.
        #expect(
            product([0], [0], addedTo: [0x1p-140], rows: 1, columns: 1, tile: tile) == [0x1p-140])
    }

    /// A chain that has become −0, and a last block whose sums are −0 but for the zeros that fill it up.
    @Test(arguments: units) func theLastBlockIsFilledUp(tile: TileShape) {
        func sum(_ inner: Int) -> Float {
            var (a, b) = ([Float](repeating: 0, count: inner), [Float](repeating: 0, count: inner))
            (a[0], b[0], a[32], b[32]) = (0x1p-63, 0x1p-63, 0x1.8p-63, -0x1p-63)
            for index in 64..<inner { (a[index], b[index]) = (0x1p-70, -0x1p-60) }
            return product(a, b, rows: 1, columns: 1, tile: tile)[0]
        }
        for inner in 65..<96 { #expect(sum(inner).bitPattern == 0, "\(inner)") }
        #expect(sum(96).bitPattern == (-0.0 as Float).bitPattern, "control")
    }

    /// Exponents of any size, zeros of both signs, infinities: the units agree bit by bit, but for which number that is
    /// none.
    @Test(arguments: [(117, 137), (50, 75), (58, 66), (0, 30), (0, 254), (180, 255)])
    func unitsAgree(exponents: (low: Int, high: Int)) {
        var random = SystemFreeRandom(seed: 7)
        func number() -> Float {
            let word = random.next()
            let range = UInt32(exponents.high - exponents.low + 1)
            let exponent = UInt32(exponents.low) + UInt32(truncatingIfNeeded: word >> 32) % range
            let sign = UInt32(truncatingIfNeeded: word >> 20 & 1) << 31
            if word & 15 == 0 { return Float(bitPattern: sign) }
            let fraction = exponent == 255 ? 0 : UInt32(truncatingIfNeeded: word & 0x7f) << 16
            return Float(bitPattern: sign | exponent << 23 | fraction)
        }
        let (rows, columns) = (37, 70)
        var seen: Set<UInt32> = []
        for inner in [1, 2, 33, 1100] {
            let a = (0..<rows * inner).map { _ in number() }
            let b = (0..<columns * inner).map { _ in number() }
            let c = (0..<rows * columns).map { _ in number() }
            func bits(_ tile: TileShape) -> [UInt32] {
                product(a, b, addedTo: c, rows: rows, columns: columns, tile: tile).map {
                    $0.isNaN ? Float.nan.bitPattern : $0.bitPattern
                }
            }
            let expected = bits(.narrow)
            for tile in Self.units { #expect(bits(tile) == expected, "\(tile), \(inner)") }
            seen.formUnion(expected)
        }
        #expect(seen.count > 100, "control")
    }
}

/// SplitMix64 (Steele et al. 2014).
private struct SystemFreeRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
        return word ^ word >> 31
    }
}
