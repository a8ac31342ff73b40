// Addresses of the Internet Protocol in texts. Four numbers with points may also be a version's number, and `a::b` a name in
// a program, so what cannot be somebody's address is left alone unless it is asked for.

enum IPAddress {
    /// Where the address that begins at `start` ends.
    /// - Parameter includesReserved: whether addresses are meant that nobody has: IANA's registries of special purposes
    ///   (RFC 6890).
    static func end(
        _ text: Span<UInt8>, from start: Int, after before: UInt8, includesReserved: Bool
    ) -> Int? {
        // 1.2.3.4.5 is no address from its second number on, nor is a::b from its second colon.
        if before == 0x2E || before == 0x3A && text[start] == 0x3A { return nil }
        var end = start
        var (points, colons) = (0, 0)
        while end < text.count, end - start <= 45 {
            let byte = text[end]
            if byte == 0x2E {
                points += 1
            } else if byte == 0x3A {
                colons += 1
            } else if !isHexadecimal(byte) {
                break
            }
            end += 1
        }
        if end < text.count, end - start <= 45, TextCharacters.isWordByte(text[end]) { return nil }
        if colons >= 2 {
            return version6End(text, start..<end, includesReserved: includesReserved)
        }
        guard points >= 3, TextCharacters.isDigit(text[start]), before != 0x2D else { return nil }
        guard let (value, last) = version4(text, start..<end) else { return nil }
        // A fifth number, or a port.
        if last < text.count, text[last] == 0x2E, last + 1 < text.count,
            TextCharacters.isAlphanumeric(text[last + 1])
        {
            return nil
        }
        return includesReserved || !isReserved(value) ? last : nil
    }

    @inline(__always)
    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        TextCharacters.isDigit(byte) || 0x61...0x66 ~= byte | 0x20
    }

    /// Four numbers of 0 to 255 without leading zeros at the start of `range`.
    private static func version4(
        _ text: Span<UInt8>, _ range: Range<Int>
    ) -> (value: UInt32, end: Int)? {
        var (value, index) = (UInt32(0), range.lowerBound)
        for part in 0..<4 {
            if part > 0 {
                guard index < range.upperBound, text[index] == 0x2E else { return nil }
                index += 1
            }
            var (number, digits) = (UInt32(0), 0)
            let first = index
            while index < range.upperBound, digits < 4, TextCharacters.isDigit(text[index]) {
                number = number * 10 + UInt32(text[index] - 0x30)
                (digits, index) = (digits + 1, index + 1)
            }
            guard 1...3 ~= digits, number <= 255, digits == 1 || text[first] != 0x30 else {
                return nil
            }
            value = value << 8 | number
        }
        if index < range.upperBound, isHexadecimal(text[index]) { return nil }
        return (value, index)
    }

    /// IANA's registry of special IPv4 addresses, and multicast (RFC 5771) and class E (RFC 1112).
    static func isReserved(_ value: UInt32) -> Bool {
        let networks: [(UInt32, Int)] = [
            (0x0000_0000, 8), (0x0A00_0000, 8), (0x6440_0000, 10), (0x7F00_0000, 8),
            (0xA9FE_0000, 16), (0xAC10_0000, 12), (0xC000_0000, 24), (0xC000_0200, 24),
            (0xC058_6300, 24), (0xC0A8_0000, 16), (0xC612_0000, 15), (0xC633_6400, 24),
            (0xCB00_7100, 24), (0xE000_0000, 4), (0xF000_0000, 4),
        ]
        return networks.contains { value >> UInt32(32 - $0.1) == $0.0 >> UInt32(32 - $0.1) }
    }

    /// RFC 4291, section 2.2: eight groups, or fewer with `::` once, the last two perhaps as IPv4.
    private static func version6End(
        _ text: Span<UInt8>, _ range: Range<Int>, includesReserved: Bool
    ) -> Int? {
        // A point or a colon at the end is the sentence's.
        var last = range.upperBound
        while last > range.lowerBound, text[last - 1] == 0x2E { last -= 1 }
        if last - range.lowerBound >= 2, text[last - 1] == 0x3A, text[last - 2] != 0x3A {
            last -= 1
        }
        guard let groups = groups(text, range.lowerBound..<last) else { return nil }
        switch kind(groups) {
        case .common: return last
        case .reserved: return includesReserved ? last : nil
        case .none: return nil
        }
    }

    private static func groups(_ text: Span<UInt8>, _ range: Range<Int>) -> [UInt32]? {
        var groups: [UInt32] = []
        var gap: Int?
        var index = range.lowerBound
        while index < range.upperBound {
            if text[index] == 0x3A {
                let isDouble = index + 1 < range.upperBound && text[index + 1] == 0x3A
                if isDouble {
                    guard gap == nil else { return nil }
                    gap = groups.count
                    index += 2
                    continue
                }
                // One colon stands between groups.
                guard index > range.lowerBound, index + 1 < range.upperBound,
                    text[index - 1] != 0x3A
                else { return nil }
                index += 1
                continue
            }
            let start = index
            var value: UInt32 = 0
            while index < range.upperBound, isHexadecimal(text[index]) {
                value = value << 4 | digit(text[index])
                index += 1
                guard index - start <= 4 else { return nil }
            }
            if index < range.upperBound, text[index] == 0x2E {
                guard let (address, end) = version4(text, start..<range.upperBound),
                    end == range.upperBound
                else { return nil }
                groups += [address >> 16, address & 0xFFFF]
                index = end
            } else {
                groups.append(value)
            }
            guard groups.count <= 8 else { return nil }
        }
        guard let gap else { return groups.count == 8 ? groups : nil }
        guard groups.count < 8 else { return nil }
        let zeros = [UInt32](repeating: 0, count: 8 - groups.count)
        return groups[..<gap] + zeros + groups[gap...]
    }

    private static func digit(_ byte: UInt8) -> UInt32 {
        TextCharacters.isDigit(byte) ? UInt32(byte - 0x30) : UInt32((byte | 0x20) - 0x61) + 10
    }

    private enum Kind { case common, reserved, none }

    /// Global unicast is 2000::/3 without IETF's 2001::/23, the documentation's 2001:db8::/32 and 3fff::/20. Reserved are
    /// those, ::1, fc00::/7, fe80::/10 and ff00::/8. An IPv4 address in ::ffff:0:0/96 or 64:ff9b::/96 is what it is by
    /// itself. The rest is assigned to nobody.
    private static func kind(_ groups: [UInt32]) -> Kind {
        let (first, second) = (groups[0], groups[1])
        if first >> 13 == 1 {
            let isReserved =
                first == 0x2001 && (second < 0x200 || second == 0xDB8)
                || first == 0x3FFF && second < 0x1000
            return isReserved ? .reserved : .common
        }
        if first >> 9 == 0x7E || first >> 6 == 0x3FA || first >> 8 == 0xFF { return .reserved }
        let isTranslated = first == 0x64 && second == 0xFF9B
        let isMapped = groups[..<5].allSatisfy { $0 == 0 } && groups[5] == 0xFFFF
        if isTranslated && groups[2..<6].allSatisfy({ $0 == 0 }) || isMapped {
            return isReserved(groups[6] << 16 | groups[7]) ? .reserved : .common
        }
        return groups[..<7].allSatisfy { $0 == 0 } && groups[7] == 1 ? .reserved : .none
    }
}
