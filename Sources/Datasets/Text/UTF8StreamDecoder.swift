/// Decodes UTF-8 byte by byte, over any cuts of the stream, and refuses what RFC 3629 forbids: overlong
/// forms, surrogates, values above U+10FFFF, stray and missing continuation bytes.
package struct UTF8StreamDecoder {
    package enum Step: Equatable {
        case scalar(UInt32)
        /// More bytes are needed.
        case incomplete
        case invalid
    }

    private var value: UInt32 = 0
    private var minimum: UInt32 = 0
    private var missing = 0

    package init() {}

    /// Whether the stream may end here.
    package var isComplete: Bool { missing == 0 }

    package mutating func next(_ byte: UInt8) -> Step {
        if missing == 0 {
            switch byte {
            case 0x00...0x7F: return .scalar(UInt32(byte))
            case 0xC2...0xDF: (value, minimum, missing) = (UInt32(byte & 0x1F), 0x80, 1)
            case 0xE0...0xEF: (value, minimum, missing) = (UInt32(byte & 0x0F), 0x800, 2)
            case 0xF0...0xF4: (value, minimum, missing) = (UInt32(byte & 0x07), 0x1_0000, 3)
            default: return .invalid
            }
            return .incomplete
        }
        guard byte & 0xC0 == 0x80 else { return .invalid }
        value = value << 6 | UInt32(byte & 0x3F)
        missing -= 1
        guard missing == 0 else { return .incomplete }
        let isScalar = value >= minimum && value <= 0x10_FFFF && !(0xD800...0xDFFF ~= value)
        return isScalar ? .scalar(value) : .invalid
    }
}
