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
    private struct Entry {
        var key: UInt64 = 0
        var count = 0
    }

    /// The number of a key plus 1, where its hash leads (open addressing, one after another); 0: nothing.
    private var slots: [UInt32] = []
    private var entries: [Entry] = []
    /// Different keys.
    private(set) var count = 0

    /// Forgets what was counted, counts `keys`, and writes each one's number into `numbers`, which is as long.
    mutating func count(_ keys: [UInt64], numbers: inout [Int]) {
        precondition(keys.count == numbers.count, "KeyCounter: expected a number for each key")
        var size = 16
        while size < 2 * keys.count { size *= 2 }
        if size > slots.count { slots = [UInt32](repeating: 0, count: size) }
        if keys.count > entries.count {
            entries = [Entry](repeating: Entry(), count: max(keys.count, 2 * entries.count))
        }
        let mask = size - 1
        var count = 0
        slots.withUnsafeMutableBufferPointer { slots in
            entries.withUnsafeMutableBufferPointer { entries in
                slots[..<size].update(repeating: 0)
                for (place, key) in keys.enumerated() {
                    var slot = Int(truncatingIfNeeded: key) & mask
                    while slots[slot] != 0, entries[Int(slots[slot]) - 1].key != key {
                        slot = (slot + 1) & mask
                    }
                    if slots[slot] == 0 {
                        entries[count] = Entry(key: key, count: 0)
                        count += 1
                        slots[slot] = UInt32(count)
                    }
                    let number = Int(slots[slot]) - 1
                    entries[number].count += 1
                    numbers[place] = number
                }
            }
        }
        self.count = count
    }

    /// How often the key of this number occurs.
    @inline(__always)
    func occurrences(_ number: Int) -> Int { entries[number].count }
}
