// Numbers of payment cards: 13 to 19 digits, an issuer's prefix with the length that it has, and the check digit of Luhn's
// formula (ISO/IEC 7812-1, annex B), which one number in ten passes by chance.

enum PaymentCard {
    /// Where the number that begins at `start` ends.
    static func end(_ text: Span<UInt8>, from start: Int, after before: UInt8) -> Int? {
        // Decimal places, the middle of a grouped number, a part of a path.
        switch before {
        case 0x2E, 0x2C, 0x2D, 0x2B, 0x2F, 0x23: return nil
        default: break
        }
        var digits: [UInt8] = []
        var groups: [Int] = []
        var separator: UInt8?
        var (index, groupStart) = (start, start)
        while index < text.count {
            let byte = text[index]
            if TextCharacters.isDigit(byte) {
                digits.append(byte - 0x30)
                guard digits.count <= 19 else { return nil }
                index += 1
                continue
            }
            let goesOn = index + 1 < text.count && TextCharacters.isDigit(text[index + 1])
            guard goesOn, byte == 0x20 || byte == 0x2D, separator == nil || separator == byte
            else { break }
            // What comes behind enough digits and a space is another number.
            if byte == 0x20, digits.count >= 13, isNumber(digits, groups + [index - groupStart]) {
                break
            }
            separator = byte
            groups.append(index - groupStart)
            index += 1
            groupStart = index
        }
        groups.append(index - groupStart)
        if index < text.count {
            let next = text[index]
            if TextCharacters.isWordByte(next) { return nil }
            if next == 0x2E || next == 0x2C || next == 0x2D, index + 1 < text.count,
                TextCharacters.isDigit(text[index + 1])
            {
                return nil
            }
        }
        return isNumber(digits, groups) ? index : nil
    }

    private static func isNumber(_ digits: [UInt8], _ groups: [Int]) -> Bool {
        13...19 ~= digits.count && isGrouped(groups) && isIssued(digits) && passesLuhn(digits)
    }

    /// In one, in fours, or as cards of 15 and 14 digits are printed.
    private static func isGrouped(_ groups: [Int]) -> Bool {
        if groups.count == 1 || groups == [4, 6, 5] || groups == [4, 6, 4] { return true }
        return groups.dropLast().allSatisfy { $0 == 4 } && 1...4 ~= groups[groups.count - 1]
    }

    /// Prefixes and lengths: Visa; Mastercard; American Express; Diners Club; Discover; JCB; UnionPay; Maestro.
    private static func isIssued(_ digits: [UInt8]) -> Bool {
        let six = digits.prefix(6).reduce(0) { $0 * 10 + Int($1) }
        let count = digits.count
        switch six {
        case 400000...499999: return count == 13 || count == 16 || count == 19
        case 510000...559999, 222100...272099: return count == 16
        case 340000...349999, 370000...379999: return count == 15
        case 300000...305999, 309500...309599, 360000...369999, 380000...399999:
            return 14...19 ~= count
        case 601100...601199, 644000...659999, 352800...358999, 620000...629999:
            return 16...19 ~= count
        case 501800...501899, 502000...502099, 503800...503899, 589300...589399, 630400...630499,
            675900...675999, 676100...676399:
            return true
        default: return false
        }
    }

    /// Every second digit from the right but one doubled, less 9 where that has two digits: the sum ends with 0.
    static func passesLuhn(_ digits: [UInt8]) -> Bool {
        var sum = 0
        for (place, digit) in digits.reversed().enumerated() {
            let doubled = Int(digit) * 2
            sum += place % 2 == 0 ? Int(digit) : doubled > 9 ? doubled - 9 : doubled
        }
        return sum % 10 == 0
    }
}
