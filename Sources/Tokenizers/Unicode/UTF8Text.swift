// UTF-8 as bytes. All text inside the module is valid; what comes from outside is repaired once.

/// A character of a text and the bytes that it takes there.
struct UTF8Character {
    let scalar: UInt32
    let byteCount: Int
}

package enum UTF8Text {
    /// Whether all of `bytes` is UTF-8 (RFC 3629).
    package static func isValid(_ bytes: [UInt8]) -> Bool {
        firstFault(in: bytes.span, from: 0) == nil
    }

    /// `bytes` where they are UTF-8, else with U+FFFD for each maximal part of an ill-formed sequence (The Unicode
    /// Standard, section 3.9), as Python's `errors="replace"` and Rust's `from_utf8_lossy` have it.
    package static func repaired(_ bytes: [UInt8]) -> [UInt8] {
        guard var fault = firstFault(in: bytes.span, from: 0) else { return bytes }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + 16)
        var start = 0
        while true {
            result += bytes[start..<fault.lowerBound]
            result += [0xEF, 0xBF, 0xBD]
            start = fault.upperBound
            guard let next = firstFault(in: bytes.span, from: start) else { break }
            fault = next
        }
        result += bytes[start...]
        return result
    }

    /// The first maximal part of an ill-formed sequence at `start` or behind.
    static func firstFault(in bytes: Span<UInt8>, from start: Int) -> Range<Int>? {
        var index = start
        let end = bytes.count
        while index < end {
            while index + 8 <= end {
                let word = unsafe bytes.bytes.unsafeLoadUnaligned(
                    fromByteOffset: index, as: UInt64.self)
                guard word & 0x8080_8080_8080_8080 == 0 else { break }
                index += 8
            }
            guard index < end else { return nil }
            let lead = bytes[index]
            if lead < 0x80 {
                index += 1
                continue
            }
            let length: Int
            let second: ClosedRange<UInt8>
            switch lead {
            case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
            case 0xE0: (length, second) = (3, 0xA0...0xBF)
            case 0xED: (length, second) = (3, 0x80...0x9F)
            case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
            case 0xF0: (length, second) = (4, 0x90...0xBF)
            case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
            case 0xF4: (length, second) = (4, 0x80...0x8F)
            default: return index..<index + 1
            }
            guard index + 1 < end, second.contains(bytes[index + 1]) else {
                return index..<index + 1
            }
            var count = 2
            while count < length {
                guard index + count < end, bytes[index + count] & 0xC0 == 0x80 else {
                    return index..<index + count
                }
                count += 1
            }
            index += length
        }
        return nil
    }

    /// The character that begins at `index` of valid text.
    @inline(__always)
    static func character(in text: Span<UInt8>, at index: Int) -> UTF8Character {
        let lead = UInt32(text[index])
        if lead < 0x80 { return UTF8Character(scalar: lead, byteCount: 1) }
        if lead < 0xE0 {
            return UTF8Character(
                scalar: (lead & 0x1F) << 6 | UInt32(text[index + 1] & 0x3F), byteCount: 2)
        }
        if lead < 0xF0 {
            return UTF8Character(
                scalar: (lead & 0x0F) << 12 | UInt32(text[index + 1] & 0x3F) << 6
                    | UInt32(text[index + 2] & 0x3F), byteCount: 3)
        }
        return UTF8Character(
            scalar: (lead & 0x07) << 18 | UInt32(text[index + 1] & 0x3F) << 12
                | UInt32(text[index + 2] & 0x3F) << 6 | UInt32(text[index + 3] & 0x3F), byteCount: 4
        )
    }

    /// Where the character before `index` begins.
    @inline(__always)
    static func start(before index: Int, in text: Span<UInt8>) -> Int {
        var start = index - 1
        while text[start] & 0xC0 == 0x80 { start -= 1 }
        return start
    }

    /// Bytes of a scalar.
    @inline(__always)
    static func byteCount(_ scalar: UInt32) -> Int {
        scalar < 0x80 ? 1 : scalar < 0x800 ? 2 : scalar < 0x1_0000 ? 3 : 4
    }

    @inline(__always)
    static func append(_ scalar: UInt32, to bytes: inout [UInt8]) {
        if scalar < 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: scalar))
            return
        }
        let last = UInt8(truncatingIfNeeded: 0x80 | scalar & 0x3F)
        let third = UInt8(truncatingIfNeeded: 0x80 | scalar >> 6 & 0x3F)
        if scalar < 0x800 {
            bytes.append(UInt8(truncatingIfNeeded: 0xC0 | scalar >> 6))
        } else if scalar < 0x1_0000 {
            bytes.append(UInt8(truncatingIfNeeded: 0xE0 | scalar >> 12))
            bytes.append(third)
        } else {
            bytes.append(UInt8(truncatingIfNeeded: 0xF0 | scalar >> 18))
            bytes.append(UInt8(truncatingIfNeeded: 0x80 | scalar >> 12 & 0x3F))
            bytes.append(third)
        }
        bytes.append(last)
    }

    /// The characters of valid text.
    static func scalars(of bytes: [UInt8]) -> [UInt32] {
        var scalars: [UInt32] = []
        var index = 0
        while index < bytes.count {
            let character = character(in: bytes.span, at: index)
            scalars.append(character.scalar)
            index += character.byteCount
        }
        return scalars
    }

    /// Number of characters of valid text.
    static func count(_ text: Span<UInt8>) -> Int {
        var count = 0
        for index in text.indices where text[index] & 0xC0 != 0x80 { count += 1 }
        return count
    }
}
