// A text cut into words, once for all rules that count them. Words are what white space separates, as in C4 and in most
// later corpora; Gopher's paper does not say how it cuts them.

struct TextShape {
    struct Word {
        var hash: UInt64
        /// Bytes of the text.
        var start: Int
        var end: Int
        var characters: Int
        /// What its characters are, all together.
        var classes: TextCharacterClass
    }

    private(set) var words: [Word] = []
    /// Characters of the whole text.
    private(set) var characters = 0
    /// Words that are not of punctuation alone, and their characters.
    private(set) var wordlyWords = 0
    private(set) var wordlyCharacters = 0
    private(set) var letteredWords = 0

    /// Cuts `text`, valid UTF-8; what was cut before is forgotten.
    mutating func cut(_ text: Span<UInt8>) {
        words.removeAll(keepingCapacity: true)
        (wordlyWords, wordlyCharacters, letteredWords) = (0, 0, 0)
        let classes = TextCharacters.classes.span
        characters = TextCharacters.count(text, 0..<text.count)
        var index = 0
        while index < text.count {
            let start = index
            var word = TextCharacterClass()
            var length = 0
            var spaceBytes = 0
            while index < text.count {
                let byte = text[index]
                let scalar: UInt32
                let bytes: Int
                if byte < 0x80 {
                    (scalar, bytes) = (UInt32(byte), 1)
                } else {
                    (scalar, bytes) = TextCharacters.character(text, at: index)
                }
                let found = TextCharacters.classOf(scalar, classes)
                if found.contains(.space) {
                    spaceBytes = bytes
                    break
                }
                word.formUnion(found)
                length += 1
                index += bytes
            }
            if length > 0 { append(text, start..<index, length, word) }
            index += spaceBytes
        }
    }

    @inline(__always)
    private mutating func append(
        _ text: Span<UInt8>, _ range: Range<Int>, _ length: Int, _ classes: TextCharacterClass
    ) {
        words.append(
            Word(
                hash: CleaningHash.of(text, range), start: range.lowerBound, end: range.upperBound,
                characters: length, classes: classes))
        if classes.contains(.wordly) {
            wordlyWords += 1
            wordlyCharacters += length
        }
        if classes.contains(.letter) { letteredWords += 1 }
    }
}

/// How often keys occur, numbered in the order in which they first do.
struct KeyCounter {
    /// The number of a key plus 1, where its hash leads (open addressing, one after another); 0: nothing.
    private var slots: [UInt32] = []
    private var mask = 0
    private(set) var keys: [UInt64] = []
    private(set) var counts: [Int] = []

    /// Forgets everything, and makes room for `count` keys.
    mutating func reset(expecting count: Int) {
        keys.removeAll(keepingCapacity: true)
        counts.removeAll(keepingCapacity: true)
        var size = 16
        while size < 2 * count { size *= 2 }
        if size <= slots.count {
            for index in 0..<size { slots[index] = 0 }
        } else {
            slots = [UInt32](repeating: 0, count: size)
        }
        mask = size - 1
    }

    /// Counts `key`, and gives its number.
    @inline(__always)
    mutating func add(_ key: UInt64) -> Int {
        var slot = Int(truncatingIfNeeded: key) & mask
        while true {
            let number = Int(slots[slot])
            if number == 0 {
                keys.append(key)
                counts.append(1)
                slots[slot] = UInt32(keys.count)
                return keys.count - 1
            }
            if keys[number - 1] == key {
                counts[number - 1] += 1
                return number - 1
            }
            slot = (slot + 1) & mask
        }
    }
}
