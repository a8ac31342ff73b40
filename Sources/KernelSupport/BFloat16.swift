/// A Float32 without the lower 16 bits of its fraction: as large numbers, 8 binary digits (Wang and Kanwar 2019). As a
/// type of storage it needs no loss scale.
@usableFromInline package struct BFloat16: BitwiseCopyable, Equatable, Sendable {
    @usableFromInline package var bits: UInt16

    package init(bits: UInt16) { self.bits = bits }

    /// Rounded to nearest, ties to even; what is no number stays none.
    @inlinable @inline(__always)
    package init(_ value: Float) {
        let word = value.bitPattern
        let isNumber = word & 0x7fff_ffff <= 0x7f80_0000
        let rounded = isNumber ? word &+ 0x7fff &+ (word >> 16 & 1) : word | 0x40_0000
        bits = UInt16(truncatingIfNeeded: rounded >> 16)
    }

    @inlinable @inline(__always)
    package var float: Float { Float(bitPattern: UInt32(bits) << 16) }
}
