/// The words of a corpus as one text of letters: the characters that occur are numbered from 1 on in their order, so that
/// few bits tell one, and 0 ends every word.
struct LetteredWords: Sendable {
    /// 4 bytes a character.
    let letters: [UInt32]
    /// The character of each letter, that of letter 1 first.
    let alphabet: [UInt32]
    /// Where each word begins in `letters`, and behind the last one the end.
    let starts: [Int32]
    /// How often each word occurs.
    let counts: [Int]
    /// Characters of all occurrences of the words.
    let characterCount: Int
    /// The word of every sixteenth place.
    private let samples: [Int32]

    private static let sampleShift = 4

    /// `words` that are UTF-8; those that are empty or never occur are left out.
    init(_ words: [(text: [UInt8], count: Int)]) throws(TokenizerError) {
        var letterOf = [UInt32](repeating: 0, count: 0x11_0000)
        var (size, largest) = (0, 0)
        for word in words where word.count > 0 && !word.text.isEmpty {
            LetteredWords.forEachScalar(word.text) { scalar in
                letterOf[Int(scalar)] = 1
                largest = max(largest, Int(scalar))
            }
            size += UTF8Text.count(word.text.span) + 1
        }
        guard size > 0 else {
            throw TokenizerError(
                .untrainable, "unigram training: words: expected at least one, found none")
        }
        guard size <= Int(Int32.max) else {
            throw TokenizerError(
                .untrainable,
                "unigram training: words: expected at most \(Int32.max) characters in the distinct ones, found \(size)"
            )
        }
        var alphabet: [UInt32] = []
        for scalar in 0...largest where letterOf[scalar] > 0 {
            alphabet.append(UInt32(scalar))
            letterOf[scalar] = UInt32(alphabet.count)
        }
        var letters: [UInt32] = []
        letters.reserveCapacity(size)
        var starts: [Int32] = [0]
        var counts: [Int] = []
        var characterCount = 0
        for word in words where word.count > 0 && !word.text.isEmpty {
            LetteredWords.forEachScalar(word.text) { letters.append(letterOf[Int($0)]) }
            characterCount += (letters.count - Int(starts[starts.count - 1])) * word.count
            letters.append(0)
            starts.append(Int32(letters.count))
            counts.append(word.count)
        }
        var samples: [Int32] = []
        var word = 0
        for place in stride(from: 0, to: letters.count, by: 1 << LetteredWords.sampleShift) {
            while Int(starts[word + 1]) <= place { word += 1 }
            samples.append(Int32(word))
        }
        (self.letters, self.alphabet) = (letters, alphabet)
        (self.starts, self.counts, self.samples) = (starts, counts, samples)
        self.characterCount = characterCount
    }

    private static func forEachScalar(_ text: [UInt8], _ body: (UInt32) -> Void) {
        let bytes = text.span
        var index = 0
        while index < bytes.count {
            let character = UTF8Text.character(in: bytes, at: index)
            body(character.scalar)
            index += character.byteCount
        }
    }

    /// The places of a word's letters.
    @inline(__always)
    func range(_ word: Int) -> Range<Int> { Int(starts[word])..<Int(starts[word + 1]) - 1 }

    /// The word that has the letter at `place`.
    @inline(__always)
    func word(at place: Int) -> Int {
        var word = Int(samples[place >> LetteredWords.sampleShift])
        while Int(starts[word + 1]) <= place { word += 1 }
        return word
    }

    /// Length of the longest word.
    var longest: Int { counts.indices.reduce(0) { max($0, range($1).count) } }

    /// Occurrences of each letter in all occurrences of the words; of 0, which none has, 0.
    var letterCounts: [Int] {
        var result = [Int](repeating: 0, count: alphabet.count + 1)
        for word in counts.indices {
            for place in range(word) { result[Int(letters[place])] += counts[word] }
        }
        return result
    }

    /// Words in portions of about as many letters each, which threads share.
    var portions: [Range<Int>] {
        var result: [Range<Int>] = []
        var first = 0
        for word in counts.indices where starts[word + 1] - starts[first] >= 1 << 12 {
            result.append(first..<word + 1)
            first = word + 1
        }
        if first < counts.count { result.append(first..<counts.count) }
        return result
    }

    /// UTF-8 of the letters at `range`.
    func text(_ range: Range<Int>) -> [UInt8] {
        var bytes: [UInt8] = []
        for place in range { UTF8Text.append(alphabet[Int(letters[place]) - 1], to: &bytes) }
        return bytes
    }
}
