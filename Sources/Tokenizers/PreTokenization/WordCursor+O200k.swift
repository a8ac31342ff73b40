// Words that begin with capitals and end with small letters, of GPT-4o's pattern. Its two alternatives for them go back and
// forth over letters without case and marks, which are of both kinds; what they come to is found in one way forward.

extension WordCursor {
    @inline(__always)
    func o200k(_ start: Int, _ text: Span<UInt8>) -> Int {
        let first = fullKind(start, text)
        let byte = text[unchecked: start]
        let behind = start + first.byteCount
        if first.kind.contains(.number) {
            var (end, count) = (behind, 1)
            while count < 3, end < text.count {
                let next = fullKind(end, text)
                guard next.kind.contains(.number) else { break }
                (end, count) = (end + next.byteCount, count + 1)
            }
            return end
        }
        if byte != 0x0A, byte != 0x0D {
            // A mark may be what stands before the letters, or one of them: the word ends at the same place.
            let isOfWord = !first.kind.isDisjoint(with: .cases)
            if let end = letters(isOfWord ? start : behind, text) { return end }
        }
        if first.kind.contains(.space) {
            let second = byte == 0x20 && behind < text.count ? kind(behind, text).kind : .space
            guard second == [] else { return lines(start, run(.space, behind, text), text) }
        }
        var end = run([], behind, text)
        while end < text.count {
            let next = text[unchecked: end]
            guard next == 0x0A || next == 0x0D || next == UInt8(ascii: "/") else { break }
            end += 1
        }
        return end
    }

    /// The end of the capitals and small letters from `index` on, with a contraction; nil where there are none.
    ///
    /// Where no small letter follows the run of capitals, the first alternative takes the run up to its last character
    /// that could be a small letter, and the second one all of it.
    @inline(__always)
    private func letters(_ index: Int, _ text: Span<UInt8>) -> Int? {
        var (end, last) = (index, index)
        while end < text.count {
            let next = fullKind(end, text)
            guard next.kind.contains(.upper) else {
                if next.kind.contains(.lower) { last = lowerRun(end + next.byteCount, text) }
                break
            }
            end += next.byteCount
            if next.kind.contains(.lower) { last = end }
        }
        if last > index { end = last }
        guard end > index else { return nil }
        guard end < text.count, text[unchecked: end] == 0x27 else { return end }
        return contraction(end, text, ignoresCase: true) ?? end
    }

    @inline(__always)
    private func lowerRun(_ index: Int, _ text: Span<UInt8>) -> Int {
        var end = index
        while end < text.count {
            let next = fullKind(end, text)
            guard next.kind.contains(.lower) else { break }
            end += next.byteCount
        }
        return end
    }

    /// The class of the character at `index`, cases and all, and the bytes it takes.
    @inline(__always)
    private func fullKind(
        _ index: Int, _ text: Span<UInt8>
    ) -> (kind: CharacterClass, byteCount: Int) {
        let byte = text[unchecked: index]
        if byte < 0x80 { return (asciiCases[Int(byte)], 1) }
        let character = UTF8Text.character(in: text, at: index)
        return (classes[character.scalar], character.byteCount)
    }
}

/// The classes of ASCII for the pattern.
private let asciiCases: InlineArray<128, CharacterClass> = InlineArray { index in
    switch UInt8(index) {
    case 0x41...0x5A: [.letter, .upper]
    case 0x61...0x7A: [.letter, .lower]
    case 0x30...0x39: .number
    case 0x09...0x0D, 0x20: .space
    default: []
    }
}
