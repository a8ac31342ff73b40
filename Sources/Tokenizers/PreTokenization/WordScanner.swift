// The patterns of words that nearly every byte-level tokenizer uses, by hand: each is a regular expression whose matches
// cover any text, so that one question is enough, where the word ends that begins here. The same expressions run by PCRE2
// are the tests' reference.

/// Finds words of one of the common patterns.
enum WordScanner: Sendable, Equatable {
    /// GPT-2, RoBERTa, BART.
    case gpt2
    /// Llama 3 and GPT-4; numbers in parts of at most so many digits, Qwen's of one.
    case llama3(digits: Int)
    /// GPT-4o, gpt-oss, Llama 4: words begin with capitals and end with small letters.
    case o200k

    /// The scanner for a pattern, if there is one.
    init?(pattern: String) {
        switch pattern {
        case WordScanner.gpt2.pattern: self = .gpt2
        case WordScanner.llama3(digits: 3).pattern: self = .llama3(digits: 3)
        case WordScanner.llama3(digits: 1).pattern: self = .llama3(digits: 1)
        case WordScanner.o200k.pattern: self = .o200k
        default: return nil
        }
    }

    /// The regular expression, as files have it.
    var pattern: String {
        switch self {
        case .gpt2:
            #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
        case .llama3(let digits):
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"#
                + (digits == 1 ? #"\p{N}"# : #"\p{N}{1,\#(digits)}"#)
                + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        case .o200k:
            #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#
                + #"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"#
                + #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"#
                + #"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"#
                + #"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
        }
    }

    /// Whether a word may go on with `byte` behind a line feed that is its only white space.
    func goesOn(with byte: UInt8) -> Bool { self == .o200k && byte == UInt8(ascii: "/") }

    /// Calls `body` with each word of valid text, from its beginning to its end.
    @inline(__always)
    func forEachWord(in text: Span<UInt8>, _ body: (Range<Int>) -> Void) {
        let cursor = WordCursor(classes: CharacterClasses.shared)
        var start = 0
        while start < text.count {
            let end =
                switch self {
                case .gpt2: cursor.gpt2(start, text)
                case .llama3(let digits): cursor.llama3(start, text, digits)
                case .o200k: cursor.o200k(start, text)
                }
            body(start..<end)
            start = end
        }
    }
}

/// Finds the end of the word that begins at a place of a text.
struct WordCursor {
    let classes: CharacterClasses

    /// The class of the character at `index` as the patterns see it, and the bytes it takes.
    @inline(__always)
    func kind(_ index: Int, _ text: Span<UInt8>) -> (kind: CharacterClass, byteCount: Int) {
        let byte = text[unchecked: index]
        if byte < 0x80 { return (asciiKinds[Int(byte)], 1) }
        let character = UTF8Text.character(in: text, at: index)
        return (
            classes[character.scalar].intersection(.patternClasses), character.byteCount
        )
    }

    /// The end of the run of characters of class `kind` from `index` on.
    @inline(__always)
    func run(_ kind: CharacterClass, _ index: Int, _ text: Span<UInt8>) -> Int {
        var end = index
        while end < text.count {
            let next = self.kind(end, text)
            guard next.kind == kind else { break }
            end += next.byteCount
        }
        return end
    }

    @inline(__always)
    func gpt2(_ start: Int, _ text: Span<UInt8>) -> Int {
        let first = kind(start, text)
        let byte = text[unchecked: start]
        if byte == 0x27, let end = contraction(start, text, ignoresCase: false) { return end }
        if byte == 0x20, start + 1 < text.count {
            let second = kind(start + 1, text)
            if second.kind != .space { return run(second.kind, start + 1 + second.byteCount, text) }
        }
        let end = run(first.kind, start + first.byteCount, text)
        return first.kind == .space ? spaces(start, end, text) : end
    }

    @inline(__always)
    func llama3(_ start: Int, _ text: Span<UInt8>, _ digits: Int) -> Int {
        let first = kind(start, text)
        let byte = text[unchecked: start]
        if first.kind == .letter { return run(.letter, start + first.byteCount, text) }
        if first.kind == .number {
            var (end, count) = (start + first.byteCount, 1)
            while count < digits, end < text.count {
                let next = kind(end, text)
                guard next.kind == .number else { break }
                (end, count) = (end + next.byteCount, count + 1)
            }
            return end
        }
        if byte == 0x27, let end = contraction(start, text, ignoresCase: true) { return end }
        let behind = start + first.byteCount
        let second = behind < text.count ? kind(behind, text) : (.space, 0)
        if second.kind == .letter, byte != 0x0A, byte != 0x0D {
            return run(.letter, behind + second.byteCount, text)
        }
        if first.kind == [] { return lineEnds(run([], behind, text), text) }
        if byte == 0x20, second.kind == [] {
            return lineEnds(run([], behind + second.byteCount, text), text)
        }
        return lines(start, run(.space, behind, text), text)
    }

    /// A run of spaces goes up to its last line end, where it has one.
    @inline(__always)
    func lines(_ start: Int, _ end: Int, _ text: Span<UInt8>) -> Int {
        var last = end
        while last > start {
            if text[last - 1] == 0x0A || text[last - 1] == 0x0D { return last }
            last -= 1
        }
        return spaces(start, end, text)
    }

    /// A run of spaces leaves its last one to the word that follows.
    @inline(__always)
    private func spaces(_ start: Int, _ end: Int, _ text: Span<UInt8>) -> Int {
        guard end < text.count else { return end }
        let last = UTF8Text.start(before: end, in: text)
        return last > start ? last : end
    }

    @inline(__always)
    private func lineEnds(_ index: Int, _ text: Span<UInt8>) -> Int {
        var end = index
        while end < text.count, text[end] == 0x0A || text[end] == 0x0D { end += 1 }
        return end
    }

    /// The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `start`. Where case does not count, the long s is
    /// an s.
    @inline(__always)
    func contraction(_ start: Int, _ text: Span<UInt8>, ignoresCase: Bool) -> Int? {
        func letter(_ index: Int) -> UInt8 {
            guard index < text.count else { return 0 }
            let byte = text[index]
            return ignoresCase && 0x41...0x5A ~= byte ? byte + 0x20 : byte
        }
        switch letter(start + 1) {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
            return start + 2
        case UInt8(ascii: "r"), UInt8(ascii: "v"):
            return letter(start + 2) == UInt8(ascii: "e") ? start + 3 : nil
        case UInt8(ascii: "l"): return letter(start + 2) == UInt8(ascii: "l") ? start + 3 : nil
        case 0xC5 where ignoresCase && letter(start + 2) == 0xBF: return start + 3
        default: return nil
        }
    }
}

/// The classes of ASCII for the patterns.
private let asciiKinds: InlineArray<128, CharacterClass> = InlineArray { index in
    switch UInt8(index) {
    case 0x41...0x5A, 0x61...0x7A: .letter
    case 0x30...0x39: .number
    case 0x09...0x0D, 0x20: .space
    default: []
    }
}
