/// A substring of the words: the suffixes that begin with it stand together in the sorted order.
struct FrequentSubstring {
    let start: Int32
    let end: Int32
    /// The length in the lowest byte, the count above it.
    private let lengthAndCount: UInt64

    static let longest = 255

    init(_ range: Range<Int>, length: Int, count: Int) {
        (start, end) = (Int32(range.lowerBound), Int32(range.upperBound))
        lengthAndCount = UInt64(count) << 8 | UInt64(length)
    }

    /// In characters.
    var length: Int { Int(lengthAndCount & 0xFF) }
    /// Occurrences in all occurrences of the words.
    var count: Int { Int(lengthAndCount >> 8) }
}

/// The substrings that occur twice or more, as far as no longer one occurs at all of their places (the inner nodes of the
/// suffix tree), and all single characters.
struct FrequentSubstrings {
    /// All places of the words' letters, sorted by the suffixes that begin there.
    private(set) var places: [Int32]
    /// In the order of their bytes: each stands behind the others that it begins with.
    let substrings: [FrequentSubstring]

    /// Substrings of up to `longest` characters. Takes 4 bytes a character of the words for the places and 16 a substring, of
    /// which a usual text has a third as many as characters, and twice that for a moment.
    init(_ words: LetteredWords, longest: Int, threads: Int) {
        let sorter = SuffixSort(words, depth: longest + 1)
        let starts: [Int]
        (places, starts) = sorter.buckets()
        let slices = FrequentSubstrings.slices(starts)
        let letterCounts = words.letterCounts
        let found = places.withUnsafeMutableBufferPointer { buffer in
            nonisolated(unsafe) let buffer = buffer
            return ParallelMap.map(slices.count, threads: threads) { slice in
                var search = SubstringSearch(words, longest: longest)
                var scratch: [SuffixSort.Suffix] = []
                for bucket in slices[slice] {
                    let (letter, rest) = bucket.quotientAndRemainder(
                        dividingBy: sorter.bucketsOfLetter)
                    if rest == 0, letter < letterCounts.count, letterCounts[letter] > 0 {
                        let end = starts[bucket + sorter.bucketsOfLetter]
                        search.substrings.append(
                            FrequentSubstring(
                                starts[bucket]..<end, length: 1,
                                count: letterCounts[letter]))
                    }
                    let range = starts[bucket]..<starts[bucket + 1]
                    guard !range.isEmpty else { continue }
                    var places = UnsafeMutableBufferPointer(rebasing: buffer[range]).mutableSpan
                    sorter.sort(&places, &scratch)
                    search.add(places.span, from: range.lowerBound)
                }
                return search.substrings
            }
        }
        substrings = Array(found.joined())
    }

    /// Buckets in runs of about as many places each.
    private static func slices(_ starts: [Int]) -> [Range<Int>] {
        let size = max(1 << 12, starts[starts.count - 1] / 256)
        var result: [Range<Int>] = []
        var first = 0
        for bucket in 0..<starts.count - 1
        where starts[bucket + 1] - starts[first] >= size || bucket + 2 == starts.count {
            result.append(first..<bucket + 1)
            first = bucket + 1
        }
        return result
    }
}

/// Finds the frequent substrings of two characters or more among sorted suffixes.
private struct SubstringSearch {
    private let words: LetteredWords
    private let longest: Int
    var substrings: [FrequentSubstring] = []

    /// A substring with which the suffix at hand begins, and further ones behind it.
    private struct Open {
        let length: Int
        var count: Int
        let end: Int
    }

    /// The shortest first.
    private var open: [Open] = []

    init(_ words: LetteredWords, longest: Int) { (self.words, self.longest) = (words, longest) }

    /// Adds the substrings of the suffixes at `places`, which stand from `start` on in the order of all. Goes from the last
    /// one to the first, so that the substrings come backwards.
    mutating func add(_ places: Span<Int32>, from start: Int) {
        let known = substrings.count
        var index = places.count
        while index > 0 {
            index -= 1
            let place = Int(places[index])
            let shared = index + 1 < places.count ? sharedLength(place, Int(places[index + 1])) : 0
            close(longerThan: shared, start: start + index + 1)
            let word = words.word(at: place)
            let length = min(words.range(word).upperBound - place, longest + 1)
            if let last = open.last, last.length == length {
                open[open.count - 1].count += words.counts[word]
            } else {
                open.append(
                    Open(length: length, count: words.counts[word], end: start + index + 1))
            }
        }
        close(longerThan: 0, start: start)
        substrings[known...].reverse()
    }

    /// Ends the open substrings that are longer than what the next suffix begins with; their occurrences are those of what
    /// they begin with, too.
    private mutating func close(longerThan shared: Int, start: Int) {
        while let last = open.last, last.length > shared {
            open.removeLast()
            if last.length > 1, last.length <= longest, last.count > 1 {
                substrings.append(
                    FrequentSubstring(start..<last.end, length: last.length, count: last.count))
            }
            if let shorter = open.last, shorter.length >= shared {
                open[open.count - 1].count += last.count
            } else if shared > 0 {
                open.append(Open(length: shared, count: last.count, end: last.end))
            }
        }
    }

    /// Letters that two suffixes begin with alike, at most one more than the longest substring has.
    private func sharedLength(_ first: Int, _ second: Int) -> Int {
        let letters = words.letters.span
        for offset in 0...longest {
            let letter = letters[unchecked: first + offset]
            guard letter > 0, letter == letters[unchecked: second + offset] else { return offset }
        }
        return longest + 1
    }
}
