// The words of a text as hashes, whatever its case and punctuation: what two texts are compared by.
//
// A word is a longest run of letters, marks and numbers; letters are taken small. In scripts that are written
// without spaces each character is a word by itself.

/// What each character is to words. The table is made once and stays; a value is no more than its address.
struct WordCharacters: @unchecked Sendable {
    static let shared = WordCharacters()

    /// Set beside the scalar of a character that is a word by itself.
    static let alone: UInt32 = 1 << 31
    /// Characters of the table; behind them nothing has case.
    private static let count = 0x2_0000
    /// Later characters separate words, so that another version of the standard library changes nothing.
    private static let lastVersion = 16

    /// For each scalar 0 where it separates words, else its small letter.
    private let table: UnsafePointer<UInt32>

    private init() {
        let table = UnsafeMutablePointer<UInt32>.allocate(capacity: WordCharacters.count)
        for value in 0..<WordCharacters.count { table[value] = WordCharacters.entry(UInt32(value)) }
        self.table = UnsafePointer(table)
    }

    @inline(__always)
    subscript(scalar: UInt32) -> UInt32 {
        if scalar < WordCharacters.count { return table[Int(scalar)] }
        // Planes 2 and 3 are ideographs; behind them no script has its place.
        return scalar < 0x4_0000 ? scalar | WordCharacters.alone : 0
    }

    private static func entry(_ value: UInt32) -> UInt32 {
        if isIdeograph(value) { return value | alone }
        guard let scalar = Unicode.Scalar(value), let age = scalar.properties.age?.major,
            age <= lastVersion
        else { return 0 }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .titlecaseLetter:
            // The first of several is the simple mapping: İ is i.
            return scalar.properties.lowercaseMapping.unicodeScalars.first?.value ?? value
        case .lowercaseLetter, .modifierLetter, .otherLetter, .nonspacingMark, .spacingMark,
            .enclosingMark, .decimalNumber, .letterNumber, .otherNumber:
            return hasNoSpaces(value) ? value | alone : value
        default: return 0
        }
    }

    private static func isIdeograph(_ value: UInt32) -> Bool {
        0x3400..<0x4DC0 ~= value || 0x4E00..<0xA000 ~= value || 0xF900..<0xFB00 ~= value
    }

    /// Kana; Thai and Lao; Myanmar; Khmer.
    private static func hasNoSpaces(_ value: UInt32) -> Bool {
        switch value {
        case 0x3040..<0x3100, 0x31F0..<0x3200, 0xFF66..<0xFFA0, 0x0E00..<0x0F00, 0x1000..<0x10A0,
            0x1780..<0x1800:
            true
        default: false
        }
    }
}

enum WordHashes {
    /// Calls `body` with hash, first byte and end of each word of `text`, which is valid UTF-8.
    @inline(__always)
    static func each(
        in text: UnsafeBufferPointer<UInt8>, _ body: (UInt64, Int, Int) -> Void
    ) {
        let characters = WordCharacters.shared
        let end = text.count
        var (index, start, hash) = (0, -1, seed)
        while index < end {
            let lead = text[index]
            let length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
            // Text that is cut off within a character is none; but nothing is read behind its end.
            guard index + length <= end else { break }
            let value = characters[scalar(in: text, at: index, length)]
            if value != 0, value < WordCharacters.alone {
                if start < 0 { start = index }
                hash = step(hash, value)
            } else {
                if start >= 0 {
                    body(mixed(hash), start, index)
                    (start, hash) = (-1, seed)
                }
                if value != 0 { body(mixed(step(seed, value)), index, index + length) }
            }
            index += length
        }
        if start >= 0 { body(mixed(hash), start, index) }
    }

    private static let seed: UInt64 = 0x51_7C_C1_B7_27_22_0A_95

    @inline(__always)
    private static func step(_ hash: UInt64, _ value: UInt32) -> UInt64 {
        (hash ^ UInt64(value)) &* 0x9E37_79B9_7F4A_7C15
    }

    @inline(__always)
    private static func scalar(
        in text: UnsafeBufferPointer<UInt8>, at index: Int, _ length: Int
    ) -> UInt32 {
        let lead = UInt32(text[index])
        if length == 1 { return lead }
        let second = UInt32(text[index + 1] & 0x3F)
        if length == 2 { return (lead & 0x1F) << 6 | second }
        let third = UInt32(text[index + 2] & 0x3F)
        if length == 3 { return (lead & 0x0F) << 12 | second << 6 | third }
        return (lead & 0x07) << 18 | second << 12 | third << 6 | UInt32(text[index + 3] & 0x3F)
    }

    /// Every bit of the result depends on every bit of `bits` (the finaliser of MurmurHash3, Appleby 2011).
    @inline(__always)
    static func mixed(_ bits: UInt64) -> UInt64 {
        var bits = bits
        bits = (bits ^ bits >> 33) &* 0xFF51_AFD7_ED55_8CCD
        bits = (bits ^ bits >> 33) &* 0xC4CE_B9FE_1A85_EC53
        return bits ^ bits >> 33
    }
}

/// The hash of the last `width` words, as words come in: Σ wᵢ·B^(width−1−i) modulo 2⁶⁴ (Karp and Rabin 1987).
struct WordWindow {
    static let base: UInt64 = 0xD6E8_FEB8_6659_FD93
    /// B^width
    let power: UInt64

    init(width: Int) {
        power = (0..<width).reduce(1) { power, _ in power &* WordWindow.base }
    }

    @inline(__always)
    func next(_ hash: UInt64, in word: UInt64, out old: UInt64) -> UInt64 {
        hash &* WordWindow.base &+ word &- old &* power
    }
}
