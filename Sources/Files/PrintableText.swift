// Text that somebody else has written, as part of a line for a person: a name with a line feed is no second line,
// an escape sequence does nothing to a terminal, and a long text does not push the rest away.

extension String {
    /// One line of at most 100 bytes whatever was read, for messages that quote a hostile name.
    package var printable: String { printable(most: 100) }

    /// The same for a path: longer ones than the system's limit are cut.
    package var printablePath: String { printable(most: 4096) }

    /// The same for a whole message; of one that is too long the beginning and the end stay, which tell where and
    /// what to do.
    package var printableMessage: String {
        let (most, end) = (8192, 1024)
        let (line, isWhole) = cut(most: most)
        if isWhole { return line }
        let tail = String(String.UnicodeScalarView(unicodeScalars.suffix(end / 8)))
        return cut(most: most - end).line + tail.printable(most: end)
    }

    /// This text with control characters written as escapes, on one line of at most `most` bytes of UTF-8, from 3
    /// up; what is longer ends in `…`.
    package func printable(most: Int) -> String { cut(most: most).line }

    private func cut(most: Int) -> (line: String, isWhole: Bool) {
        var bytes: [UInt8] = []
        // As far as there is room for the ellipsis.
        var end = 0
        for scalar in unicodeScalars {
            if let escape = scalar.escape {
                bytes += escape.utf8
            } else {
                bytes += String(scalar).utf8
            }
            guard bytes.count <= most else {
                return (String(decoding: bytes[..<end], as: UTF8.self) + "…", false)
            }
            if bytes.count + 3 <= most { end = bytes.count }
        }
        return (String(decoding: bytes, as: UTF8.self), true)
    }
}

extension Unicode.Scalar {
    /// How a character is written that would move the cursor, begin a line or turn the direction of text; nil for
    /// all others.
    fileprivate var escape: String? {
        switch value {
        case 0x0A: "\\n"
        case 0x0D: "\\r"
        case 0x09: "\\t"
        case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069:
            "\\u{\(String(value, radix: 16))}"
        default: nil
        }
    }
}
