// What a character is, as the programs have it whose tokenizers we read. The data is the standard library's; each program
// stopped at some version of Unicode, so a character counts from the version on in which it was assigned.

/// Properties of a character.
struct CharacterClass: OptionSet {
    let rawValue: UInt16

    /// `\p{L}`
    static let letter = CharacterClass(rawValue: 1)
    /// `\p{N}`
    static let number = CharacterClass(rawValue: 2)
    /// White_Space
    static let space = CharacterClass(rawValue: 4)
    /// General category P, and ASCII's punctuation of BERT (`$+<=>^`|~` are symbols to Unicode).
    static let punctuation = CharacterClass(rawValue: 8)
    /// General category Mn
    static let nonspacingMark = CharacterClass(rawValue: 16)
    /// General category C without what is not assigned
    static let other = CharacterClass(rawValue: 32)
    /// General category M
    static let combiningMark = CharacterClass(rawValue: 64)
    /// `\w`: letters, marks, decimal digits, connectors, joiners (UTS #18, annex C)
    static let word = CharacterClass(rawValue: 128)
    /// General category N, as `letter` and `number` but of a later version
    static let numeric = CharacterClass(rawValue: 256)
    /// Ideographs that BERT sets apart
    static let ideograph = CharacterClass(rawValue: 512)
    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`: letters but small ones, and marks
    static let upper = CharacterClass(rawValue: 1024)
    /// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`: letters but capitals, and marks. What has no case is of both.
    static let lower = CharacterClass(rawValue: 2048)

    /// What separates words and runs in the common patterns.
    static let patternClasses: CharacterClass = [.letter, .number, .space]
    static let cases: CharacterClass = [.upper, .lower]
}

/// The classes of all characters, in pages of 256. They are made once and stay; a value is no more than their address.
struct CharacterClasses: @unchecked Sendable {
    static let shared = CharacterClasses()

    private let pages: UnsafePointer<UInt16>
    private let classes: UnsafePointer<CharacterClass>

    private init() {
        var pages = [UInt16](repeating: 0, count: 0x1100)
        // The first page is that of characters which nobody has assigned.
        var classes = [CharacterClass](repeating: [], count: 256)
        for page in 0..<0x1100 where !CharacterClasses.isUnassigned(page) {
            // Private use goes on for two planes but for the ends, which are no characters.
            if page > 0xF00, page & 0xFF != 0xFF {
                pages[page] = pages[0xF00]
                continue
            }
            let values = (0..<256).map { CharacterClasses.of(UInt32(page << 8 | $0)) }
            guard values.contains(where: { !$0.isEmpty }) else { continue }
            pages[page] = UInt16(classes.count >> 8)
            classes += values
        }
        self.pages = CharacterClasses.kept(pages)
        self.classes = CharacterClasses.kept(classes)
    }

    /// Pages of which Unicode has assigned nothing in any version so far, and has no plans to.
    private static func isUnassigned(_ page: Int) -> Bool {
        0x340..<0xE00 ~= page || 0xE02..<0xF00 ~= page
    }

    private static func kept<Element>(_ elements: [Element]) -> UnsafePointer<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: elements.count)
        memory.initialize(from: elements, count: elements.count)
        return UnsafePointer(memory)
    }

    /// The class of a scalar, below U+110000.
    @inline(__always)
    subscript(scalar: UInt32) -> CharacterClass {
        classes[Int(pages[Int(scalar >> 8)]) << 8 | Int(scalar & 0xFF)]
    }

    /// Unicode's versions of the programs: the `regex` and `unicode_categories` crates and Oniguruma in `tokenizers`.
    private enum Version {
        static let patterns = 16
        static let categories = 8
        static let marks = 9
        static let rust = 17
    }

    private static func of(_ value: UInt32) -> CharacterClass {
        // By blocks, assigned or not.
        var result: CharacterClass = isIdeograph(value) ? [.ideograph] : []
        guard let scalar = Unicode.Scalar(value), let age = scalar.properties.age?.major else {
            return result
        }
        let properties = scalar.properties
        let category = properties.generalCategory
        if properties.isWhitespace { result.insert(.space) }
        switch category {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            if age <= Version.patterns { result.insert(.letter) }
        case .decimalNumber, .letterNumber, .otherNumber:
            if age <= Version.patterns { result.insert(.number) }
            if age <= Version.rust { result.insert(.numeric) }
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
            .initialPunctuation, .finalPunctuation, .otherPunctuation:
            if age <= Version.categories { result.insert(.punctuation) }
        case .nonspacingMark:
            if age <= Version.categories { result.insert(.nonspacingMark) }
            if age <= Version.marks { result.insert(.combiningMark) }
        case .spacingMark, .enclosingMark:
            if age <= Version.marks { result.insert(.combiningMark) }
        case .control, .format, .privateUse, .surrogate:
            if age <= Version.categories { result.insert(.other) }
        default: break
        }
        if value < 0x80, "$+<=>^`|~".unicodeScalars.contains(scalar) {
            result.insert(.punctuation)
        }
        if let old = categoriesOfOld[value] {
            result.subtract([.punctuation, .nonspacingMark, .combiningMark])
            result.formUnion(old)
        }
        if age <= Version.patterns {
            // U+0295 was a small letter until version 17.
            result.formUnion(cases(value == 0x0295 ? .lowercaseLetter : category))
            if isWord(properties) { result.insert(.word) }
        }
        return result
    }

    private static func cases(_ category: Unicode.GeneralCategory) -> CharacterClass {
        switch category {
        case .uppercaseLetter, .titlecaseLetter: .upper
        case .lowercaseLetter: .lower
        case .modifierLetter, .otherLetter, .nonspacingMark, .spacingMark, .enclosingMark:
            [.upper, .lower]
        default: []
        }
    }

    /// Characters whose general category has changed since: what they were to those programs.
    private static let categoriesOfOld: [UInt32: CharacterClass] = [
        0x166D: [.punctuation],
        0x1734: [.nonspacingMark, .combiningMark],
        0x1885: [.combiningMark],
        0x1886: [.combiningMark],
        0x1CF2: [.combiningMark],
        0x1CF3: [.combiningMark],
        0xA9BD: [.combiningMark],
        0x111C9: [.punctuation],
        0x1171E: [.nonspacingMark, .combiningMark],
    ]

    private static func isWord(_ properties: Unicode.Scalar.Properties) -> Bool {
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation:
            return true
        default: return false
        }
    }

    /// The blocks that BERT's tokenizer takes for Chinese.
    private static func isIdeograph(_ value: UInt32) -> Bool {
        switch value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F,
            0x2B740...0x2B81F, 0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
