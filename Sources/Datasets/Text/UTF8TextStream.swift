/// Text from bytes that come in any pieces: every character as soon as it is whole, U+FFFD as soon as bytes cannot
/// become one.
///
/// All that it gives, joined, is what `String(decoding:as:)` makes of all bytes at once: one U+FFFD for each maximal
/// part of an ill-formed sequence (The Unicode Standard, section 3.9).
package struct UTF8TextStream {
    /// The beginning of a character.
    private var pending: [UInt8] = []

    package init() {}

    /// What is certain now; empty where more bytes are needed.
    package mutating func append(_ bytes: some Sequence<UInt8>) -> String {
        pending += bytes
        let count = UTF8TextStream.unfinishedCount(pending)
        defer { pending = pending.suffix(count) }
        return String(decoding: pending.dropLast(count), as: UTF8.self)
    }

    /// What is left when no more bytes come.
    package mutating func finish() -> String {
        defer { pending = [] }
        return String(decoding: pending, as: UTF8.self)
    }

    /// How many bytes at the end are the beginning of a character, of which more is to come.
    private static func unfinishedCount(_ bytes: [UInt8]) -> Int {
        let tail = bytes.suffix(3)
        guard let start = tail.lastIndex(where: { $0 & 0xC0 != 0x80 }) else { return 0 }
        let (lead, rest) = (bytes[start], bytes[(start + 1)...])
        let length =
            switch lead {
            case 0xC2...0xDF: 2
            case 0xE0...0xEF: 3
            case 0xF0...0xF4: 4
            default: 0
            }
        guard rest.count + 1 < length else { return 0 }
        // Overlong forms, surrogates and values above U+10FFFF show in the second byte.
        let second: ClosedRange<UInt8> =
            switch lead {
            case 0xE0: 0xA0...0xBF
            case 0xED: 0x80...0x9F
            case 0xF0: 0x90...0xBF
            case 0xF4: 0x80...0x8F
            default: 0x80...0xBF
            }
        return rest.first.map(second.contains) ?? true ? rest.count + 1 : 0
    }
}
