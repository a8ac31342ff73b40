import CTiles

/// A Float32 without the lower 16 bits of its fraction: as large numbers, 8 binary digits (Wang and Kanwar 2019). As a
/// type of storage it needs no loss scale.
package struct BFloat16: Equatable, Sendable {
    package var bits: UInt16

    package init(bits: UInt16) { self.bits = bits }
}

extension BFloat16: StoredElement {
    @inline(__always)
    static func load(_ source: UnsafeRawPointer) -> Vector {
        floats_of_brains(source.loadUnaligned(as: SIMD16<UInt16>.self))
    }

    @inline(__always)
    static func store(_ vector: Vector, to target: UnsafeMutableRawPointer) {
        target.storeBytes(of: brains_of_floats(vector), as: SIMD16<UInt16>.self)
    }

    @inline(__always)
    static func loadFour(_ source: UnsafeRawPointer) -> SIMD4<Float> {
        let four = source.assumingMemoryBound(to: BFloat16.self)
        return SIMD4(four[0].float, four[1].float, four[2].float, four[3].float)
    }

    /// Rounded to nearest, ties to even; what is no number stays none.
    @inline(__always)
    package init(_ value: Float) {
        let word = value.bitPattern
        let isNumber = word & 0x7fff_ffff <= 0x7f80_0000
        let rounded = isNumber ? word &+ 0x7fff &+ (word >> 16 & 1) : word | 0x40_0000
        bits = UInt16(truncatingIfNeeded: rounded >> 16)
    }

    @inline(__always)
    package var float: Float { Float(bitPattern: UInt32(bits) << 16) }
}
