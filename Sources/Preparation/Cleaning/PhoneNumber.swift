// Telephone numbers. Digits in groups are most often something else, so a number counts only where it begins with `+` and a
// country's code (ITU-T E.164), is written as one country alone writes them, or follows a word that says so:
//
//     +44 20 7946 0958      +4917612345678      +1 (212) 555-0123
//     212-555-0123   212.555.0123   (212) 555-0123   1-212-555-0123       North America
//     01 42 68 53 00   01.42.68.53.00                                     France
//     020 7946 0958   0161 496 0000   07700 900123                        United Kingdom
//     030/1234567   (030) 1234567                                         Germany, Austria
//     Tel.: 555 0123   phone 12345678   fax: 0123-4567890

enum PhoneNumber {
    /// Where the number that begins at `start` ends.
    static func end(_ text: Span<UInt8>, from start: Int, after before: UInt8) -> Int? {
        switch before {
        case 0x2E, 0x2C, 0x2D, 0x2B, 0x2F, 0x24: return nil
        default: break
        }
        guard let number = Digits(text, from: start) else { return nil }
        if number.hasPlus { return number.isInternational ? number.end : nil }
        if number.isNational || number.digits.count >= 7 && isAnnounced(text, start) {
            return number.end
        }
        return nil
    }

    private static let words = [
        "tel", "phone", "telephone", "telefon", "fon", "fax", "telefax", "mobile", "mobil", "cell",
        "tlf", "call", "hotline", "whatsapp",
    ].map { Array($0.utf8) }

    /// Whether a word that announces a number stands before `start`, with no more than points, colons and spaces between.
    private static func isAnnounced(_ text: Span<UInt8>, _ start: Int) -> Bool {
        var end = start
        while end > 0, start - end < 4 {
            switch text[end - 1] {
            case 0x20, 0x2E, 0x3A, 0x09: end -= 1
            default:
                var first = end
                while first > 0, TextCharacters.isLetter(text[first - 1]) { first -= 1 }
                guard first < end, end < start else { return false }
                if first > 0, TextCharacters.isWordByte(text[first - 1]) { return false }
                return words.contains {
                    $0.count == end - first
                        && TextCharacters.hasFolded(text, $0, at: first, before: end)
                }
            }
        }
        return false
    }

    /// Digits in groups, with what stands between them.
    private struct Digits {
        var hasPlus = false
        var digits: [UInt8] = []
        var groups: [Int] = []
        /// Before each group but the first; in `(030) 12` it is `)`.
        var separators: [UInt8] = []
        var opensWithParenthesis = false
        var end: Int

        /// Up to 15 digits; nil where there are fewer than 7 or more than 15, or a word goes on behind.
        init?(_ text: Span<UInt8>, from start: Int) {
            end = start
            var index = start
            if text[index] == 0x2B {
                hasPlus = true
                index += 1
            }
            if index < text.count, text[index] == 0x28 {
                opensWithParenthesis = true
                index += 1
            }
            guard index < text.count, TextCharacters.isDigit(text[index]) else { return nil }
            var isOpen = opensWithParenthesis
            while true {
                let first = index
                while index < text.count, TextCharacters.isDigit(text[index]) {
                    digits.append(text[index] - 0x30)
                    index += 1
                }
                guard digits.count <= 15 else { return nil }
                groups.append(index - first)
                end = index
                guard let (separator, next) = Digits.separator(text, index, &isOpen) else { break }
                separators.append(separator)
                index = next
            }
            guard digits.count >= 7, !isOpen else { return nil }
            if end < text.count {
                if TextCharacters.isWordByte(text[end]) { return nil }
                if end + 1 < text.count, TextCharacters.isDigit(text[end + 1]),
                    text[end] != 0x20, text[end] != 0x0A, text[end] != 0x09
                {
                    return nil
                }
            }
        }

        /// What stands between two groups at `index`, and where the next begins: a space, a point, a hyphen, a slash, a
        /// parenthesis with or without space.
        private static func separator(
            _ text: Span<UInt8>, _ start: Int, _ isOpen: inout Bool
        ) -> (UInt8, Int)? {
            var (index, separator) = (start, UInt8(0))
            while index < text.count, index - start < 3 {
                let byte = text[index]
                if TextCharacters.isDigit(byte) { break }
                switch byte {
                case 0x20: separator = separator == 0 ? byte : separator
                case 0x2D, 0x2E, 0x2F:
                    guard separator == 0 || separator == 0x20 || separator == 0x29 else {
                        return nil
                    }
                    separator = byte
                case 0x28 where !isOpen:
                    isOpen = true
                    separator = byte
                case 0x29 where isOpen:
                    isOpen = false
                    separator = byte
                default: return nil
                }
                index += 1
            }
            guard index > start, index < text.count, TextCharacters.isDigit(text[index]) else {
                return nil
            }
            return (separator, index)
        }

        /// A country's code and 8 to 15 digits in all.
        var isInternational: Bool {
            guard digits.count >= 8, !opensWithParenthesis else { return false }
            let (first, two) = (digits[0], digits[0] * 10 + digits[1])
            switch first {
            case 0: return false
            case 1, 7: return digits.count == 11
            case 2: return two != 28
            default: return two != 83 && two != 89
            }
        }

        var isNational: Bool {
            isNorthAmerican || isFrench || isBritish || isGerman
        }

        private var isNorthAmerican: Bool {
            var (groups, digits, separators) = (groups[...], digits[...], separators[...])
            if groups.first == 1, digits.first == 1, groups.count == 4, !opensWithParenthesis {
                (groups, digits) = (groups.dropFirst(), digits.dropFirst())
                separators = separators.dropFirst()
            }
            guard groups.elementsEqual([3, 3, 4]), let area = digits.first,
                let exchange = digits.dropFirst(3).first, area >= 2, exchange >= 2,
                let first = separators.first, let last = separators.last
            else { return false }
            // Figures in columns have spaces.
            if first == 0x29 { return last == 0x2D || last == 0x20 || last == 0x2E }
            return first == last && (first == 0x2D || first == 0x2E)
        }

        private var isFrench: Bool {
            groups == [2, 2, 2, 2, 2] && digits[0] == 0 && digits[1] != 0
                && !opensWithParenthesis && separators[0] != 0x2F
                && separators.allSatisfy { $0 == separators[0] }
        }

        private var isBritish: Bool {
            guard digits[0] == 0, separators.allSatisfy({ $0 == 0x20 || $0 == 0x29 }) else {
                return false
            }
            return switch groups {
            case [3, 4, 4]: digits[1] == 2
            case [4, 3, 4]: digits[1] == 1 || digits[1] == 8 || digits[1] == 3
            case [5, 6], [5, 3, 3]: digits[1] == 1 || digits[1] == 7
            default: false
            }
        }

        private var isGerman: Bool {
            guard digits[0] == 0, digits[1] != 0, groups.count >= 2, 3...5 ~= groups[0] else {
                return false
            }
            let isMarked = opensWithParenthesis ? separators[0] == 0x29 : separators[0] == 0x2F
            return isMarked && separators.dropFirst().allSatisfy { $0 == 0x20 || $0 == 0x2D }
                && 9...12 ~= digits.count
        }
    }
}
