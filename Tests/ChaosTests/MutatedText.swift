import TestSupport

/// Damages text as editors, other programs, people and forgers do.
struct MutatedText {
    /// What a value is replaced by, and what is put anywhere.
    private static let words: [[UInt8]] =
        [
            "-1", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
            "1e308",
            "1e-320", "1e999", ".nan", "NaN", "null", "~", "true", "\"\"", "[]", "{}", "[", "]",
            "{", "}",
            ":", ": ", ",", "\"", "'", "\\", "#", " #", "\n", "\r", "\t", "\n\n", "- ", "? ", "&a ",
            "*a",
            "!!int ", "<<: ", "|", ">", "---\n", "...\n", "%YAML 1.1\n", "\u{FEFF}", "\u{85}",
            "\u{2028}",
            "0", "1", "2", "00", "1.5", "4294967296", "4611686018427387904", "18446744073709551616",
            "[0]", "[[0, 1]]", "\"\\ud800\"", "\u{FFFD}", "\u{10FFFF}", "e\u{301}", "\\ud800",
            "\\u0000", "../", "~/",
        ].map { Array($0.utf8) } + [
            [0], [0x7F], [0x80], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xFF, 0xFE],
        ]

    let original: [UInt8]

    /// One to four faults in a copy of the original.
    func next(_ dice: inout Dice) -> [UInt8] {
        var bytes = original
        for _ in 0...dice.roll(4) { damage(&bytes, &dice) }
        return bytes
    }

    private func damage(_ bytes: inout [UInt8], _ dice: inout Dice) {
        let start = dice.roll(bytes.count + 1)
        let length = dice.roll([2, 8, 64, 512][dice.roll(4)])
        let range = start..<min(bytes.count, start + length)
        switch dice.roll(10) {
        case 0 where start < bytes.count: bytes[start] ^= 1 << UInt8(dice.roll(8))
        case 1: bytes.removeSubrange(range)
        case 2: bytes.insert(contentsOf: bytes[range], at: dice.roll(bytes.count + 1))
        case 3: bytes.removeSubrange(start...)
        case 4:
            let word = dice.pick(Self.words)
            bytes.insert(
                contentsOf: Array(repeating: word, count: 1 + dice.roll(40)).joined(), at: start)
        case 5: replaceWord(at: start, in: &bytes, by: dice.pick(Self.words))
        case 6:
            let other = dice.roll(bytes.count + 1)
            bytes.insert(contentsOf: original.dropFirst(other).prefix(length), at: start)
        case 7, 8: replaceNumber(from: start, in: &bytes, by: dice.pick(Self.words))
        default: bytes.insert(contentsOf: dice.pick(Self.words), at: start)
        }
    }

    /// The first number from `start` on, which nearly all that a reader counts on is.
    private func replaceNumber(from start: Int, in bytes: inout [UInt8], by word: [UInt8]) {
        let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
        guard let first = bytes[start...].firstIndex(where: isDigit) else { return }
        let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.count
        bytes.replaceSubrange(first..<end, with: word)
    }

    /// Letters, digits and signs from `start` on, as far as they go.
    private func replaceWord(at start: Int, in bytes: inout [UInt8], by word: [UInt8]) {
        let isInWord = { (byte: UInt8) in !" \t\r\n,:[]{}\"".utf8.contains(byte) }
        var first = start
        while first > 0, isInWord(bytes[first - 1]) { first -= 1 }
        let end = bytes[first...].firstIndex { !isInWord($0) } ?? bytes.count
        bytes.replaceSubrange(first..<end, with: word)
    }
}
