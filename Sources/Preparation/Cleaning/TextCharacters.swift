// Characters of UTF-8 as the rules look at them: what is white space, a letter, a mark of punctuation. A table from the
// standard library's data answers for the planes that have letters; ASCII has its own, as most of it is ASCII.

/// What a character is to the rules.
struct TextCharacterClass: OptionSet {
    let rawValue: UInt8

    /// White_Space.
    static let space = TextCharacterClass(rawValue: 1)
    /// General category L.
    static let letter = TextCharacterClass(rawValue: 2)
    /// Neither general category P nor S of ASCII nor a control character: what makes a run of characters a word.
    static let wordly = TextCharacterClass(rawValue: 4)
    /// General category M.
    static let mark = TextCharacterClass(rawValue: 8)
}

/// Classes of characters, and characters of bytes.
enum TextCharacters {
    /// Of characters below U+20000; those behind are letters up to U+323AF and nothing after.
    static let classes: [TextCharacterClass] = (0..<UInt32(0x20000)).map(of)

    @inline(__always)
    static func classOf(_ scalar: UInt32, _ classes: Span<TextCharacterClass>) -> TextCharacterClass
    {
        if Int(scalar) < classes.count { return classes[Int(scalar)] }
        return scalar < 0x323B0 ? [.letter, .wordly] : .wordly
    }

    private static func of(_ value: UInt32) -> TextCharacterClass {
        switch value {
        // Ideographs and syllables, of which there are too many to ask for each.
        case 0x3400..<0x4DC0, 0x4E00..<0xA000, 0xAC00..<0xD7A4: return [.letter, .wordly]
        default: break
        }
        guard let scalar = Unicode.Scalar(value) else { return [] }
        let properties = scalar.properties
        if properties.isWhitespace { return .space }
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            return [.letter, .wordly]
        case .nonspacingMark, .spacingMark, .enclosingMark: return [.mark, .wordly]
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
            .initialPunctuation, .finalPunctuation, .otherPunctuation, .control:
            return []
        case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol:
            return value < 0x80 ? [] : .wordly
        default: return .wordly
        }
    }

    /// The character at `index` of valid UTF-8, and the bytes it takes there.
    @inline(__always)
    static func character(_ text: Span<UInt8>, at index: Int) -> (scalar: UInt32, bytes: Int) {
        let lead = UInt32(text[index])
        if lead < 0x80 { return (lead, 1) }
        let second = UInt32(text[index + 1] & 0x3F)
        if lead < 0xE0 { return ((lead & 0x1F) << 6 | second, 2) }
        let third = UInt32(text[index + 2] & 0x3F)
        if lead < 0xF0 { return ((lead & 0x0F) << 12 | second << 6 | third, 3) }
        let fourth = UInt32(text[index + 3] & 0x3F)
        return ((lead & 0x07) << 18 | second << 12 | third << 6 | fourth, 4)
    }

    /// Bytes of the white space that begins at `index`; 0 where another character does.
    @inline(__always)
    static func spaceBytes(_ text: Span<UInt8>, at index: Int) -> Int {
        let lead = text[index]
        if lead < 0x80 { return isASCIISpace(lead) ? 1 : 0 }
        guard lead == 0xC2 || lead == 0xE1 || lead == 0xE2 || lead == 0xE3 else { return 0 }
        let (scalar, bytes) = character(text, at: index)
        return isOtherSpace(scalar) ? bytes : 0
    }

    /// `range` of `text` without white space at its ends.
    static func trimmed(_ text: Span<UInt8>, _ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        while start < range.upperBound {
            let bytes = spaceBytes(text, at: start)
            if bytes == 0 { break }
            start += bytes
        }
        return start..<endWithoutSpace(text, start..<range.upperBound)
    }

    /// Where `range` of `text` ends without the white space at its end.
    static func endWithoutSpace(_ text: Span<UInt8>, _ range: Range<Int>) -> Int {
        var end = range.upperBound
        while end > range.lowerBound {
            var last = end - 1
            while last > range.lowerBound, text[last] & 0xC0 == 0x80 { last -= 1 }
            if spaceBytes(text, at: last) == 0 { break }
            end = last
        }
        return end
    }

    @inline(__always)
    static func isASCIISpace(_ byte: UInt8) -> Bool { byte == 0x20 || 0x09...0x0D ~= byte }

    /// White_Space beyond ASCII.
    private static func isOtherSpace(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// Characters of a range of valid UTF-8.
    @inline(__always)
    static func count(_ text: Span<UInt8>, _ range: Range<Int>) -> Int {
        var count = 0
        for index in range where text[index] & 0xC0 != 0x80 { count += 1 }
        return count
    }

    @inline(__always)
    static func isLetter(_ byte: UInt8) -> Bool { 0x61...0x7A ~= byte | 0x20 }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { 0x30...0x39 ~= byte }

    @inline(__always)
    static func isAlphanumeric(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) }

    /// What a word of a block list or an identifier goes on with: letters, digits, `_`, and all beyond ASCII.
    @inline(__always)
    static func isWordByte(_ byte: UInt8) -> Bool {
        byte >= 0x80 || byte == 0x5F || isAlphanumeric(byte)
    }

    /// Small letters of ASCII for capitals.
    @inline(__always)
    static func folded(_ byte: UInt8) -> UInt8 { 0x41...0x5A ~= byte ? byte | 0x20 : byte }

    /// Whether `word`, in small letters, stands at `index`, in letters of either case.
    @inline(__always)
    static func hasFolded(_ text: Span<UInt8>, _ word: [UInt8], at index: Int, before end: Int)
        -> Bool
    {
        guard index + word.count <= end else { return false }
        for offset in word.indices where folded(text[index + offset]) != word[offset] {
            return false
        }
        return true
    }
}

/// 64 bits that stand for bytes: two texts of a document have the same with a chance of 2⁻⁶⁴ a pair.
enum CleaningHash {
    private static let first: UInt64 = 0x9E37_79B9_7F4A_7C15
    private static let second: UInt64 = 0xD6E8_FEB8_6659_FD93

    @inline(__always)
    static func mixed(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }

    /// Of a sequence's hash and that of what follows it.
    @inline(__always)
    static func joined(_ left: UInt64, _ right: UInt64) -> UInt64 {
        mixed((left << 23 | left >> 41) ^ first, right ^ second)
    }

    @inline(__always)
    static func of(_ text: Span<UInt8>, _ range: Range<Int>) -> UInt64 {
        var hash = first ^ UInt64(truncatingIfNeeded: range.count)
        var index = range.lowerBound
        while index + 8 <= range.upperBound {
            let word = unsafe text.bytes.unsafeLoadUnaligned(
                fromByteOffset: index, as: UInt64.self)
            hash = mixed(hash ^ UInt64(littleEndian: word), second)
            index += 8
        }
        let rest = range.upperBound - index
        if rest > 0 {
            var word: UInt64 = 0
            if index + 8 <= text.count {
                let loaded = unsafe text.bytes.unsafeLoadUnaligned(
                    fromByteOffset: index, as: UInt64.self)
                word = UInt64(littleEndian: loaded) & (1 << UInt64(rest * 8) - 1)
            } else {
                for offset in 0..<rest {
                    word |= UInt64(text[index + offset]) << UInt64(offset * 8)
                }
            }
            hash = mixed(hash ^ word, second)
        }
        return hash ^ hash >> 32
    }
}
