// Characters that are no text: controls, invisible spaces, five spellings of a line's end. One pass, which copies runs.
//
//     line feed    CR LF · CR · U+000B · U+000C · U+0085 · U+2028 · U+2029
//     nothing      other C0 but the tab · U+007F · other C1 · U+200B · U+2060 · U+FEFF
//
// The joiners U+200C and U+200D stay: Persian, the scripts of India and emoji are spelt with them.

enum CharacterCleaning {
    /// Bytes where something may have to be done; true for those that begin such a character.
    private static let isSuspect: [Bool] = (0..<256).map { byte in
        switch byte {
        case 0x09, 0x0A: false
        case 0..<0x20, 0x7F, 0xC2, 0xE2, 0xEF: true
        default: false
        }
    }

    private enum Change { case none, removed, lineFeed }

    /// What becomes of the character at `index`, and the bytes it takes.
    private static func change(_ text: Span<UInt8>, at index: Int) -> (Change, bytes: Int) {
        let byte = text[index]
        if byte < 0x80 {
            switch byte {
            case 0x0D:
                let isPair = index + 1 < text.count && text[index + 1] == 0x0A
                return (.lineFeed, isPair ? 2 : 1)
            case 0x0B, 0x0C: return (.lineFeed, 1)
            default: return (.removed, 1)
            }
        }
        let (scalar, bytes) = TextCharacters.character(text, at: index)
        switch scalar {
        case 0x85, 0x2028, 0x2029: return (.lineFeed, bytes)
        case 0x80...0x9F, 0x200B, 0x2060, 0xFEFF: return (.removed, bytes)
        default: return (.none, bytes)
        }
    }

    /// `text`, valid UTF-8, without control characters; nil where it has none.
    /// - Parameter count: goes up by what was removed or rewritten.
    static func cleaned(_ text: [UInt8], count: inout Int) -> [UInt8]? {
        let span = text.span
        let isSuspect = isSuspect.span
        var result: [UInt8] = []
        var (index, done) = (0, 0)
        while index < span.count {
            guard isSuspect[Int(span[index])] else {
                index += 1
                continue
            }
            let (change, bytes) = change(span, at: index)
            if change != .none {
                if done == 0 { result.reserveCapacity(text.count) }
                result += text[done..<index]
                if change == .lineFeed { result.append(0x0A) }
                done = index + bytes
                count += 1
            }
            index += bytes
        }
        guard done > 0 else { return nil }
        result += text[done...]
        return result
    }

    /// `text` without white space at the ends of lines, and with at most two of blank lines that follow each other.
    static func withTidyLines(
        _ text: [UInt8], trimsLineEnds: Bool, collapsesBlankLines: Bool, removed: inout Int
    ) -> [UInt8] {
        let span = text.span
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var (start, blankLines) = (0, 0)
        while start < span.count {
            var end = start
            while end < span.count, span[end] != 0x0A { end += 1 }
            let trimmed = TextCharacters.endWithoutSpace(span, start..<end)
            // A text's last line without an end is no line more.
            let isLast = end == span.count
            blankLines = trimmed == start ? blankLines + 1 : 0
            if collapsesBlankLines, blankLines > 2, !isLast {
                removed += 1
            } else {
                result += text[start..<(trimsLineEnds ? trimmed : end)]
                if !isLast { result.append(0x0A) }
            }
            start = end + 1
        }
        return result
    }
}
