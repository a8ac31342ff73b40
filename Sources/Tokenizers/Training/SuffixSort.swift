// Where a substring of the words occurs, a suffix of a word begins with it; so in the sorted order of all suffixes the places
// of each substring stand together. Suffixes are sorted by their first letters only, as many as the longest piece has and one.
//
// They are first put into buckets by the first letter or two. A bucket is sorted by keys of 64 bits, which hold as many letters
// as fit; suffixes of equal keys are sorted again by the letters that follow (multikey quicksort: Bentley and Sedgewick 1997).

/// A sorter of the suffixes of words.
struct SuffixSort: Sendable {
    private let words: LetteredWords
    /// Letters that a suffix is sorted by, at least.
    let depth: Int
    /// Bits of a letter.
    private let width: Int
    /// Letters of a key.
    private let keyLetters: Int
    /// Letters that suffixes of one bucket have in common: 1 or 2.
    private let bucketLetters: Int

    /// A suffix with some of its letters, the first of them in the uppermost bits, 0 behind the end of the word.
    struct Suffix {
        var key: UInt64
        var place: Int32
    }

    init(_ words: LetteredWords, depth: Int) {
        self.words = words
        self.depth = depth
        width = UInt32.bitWidth - UInt32(words.alphabet.count).leadingZeroBitCount
        keyLetters = 64 / width
        bucketLetters = width <= 8 ? 2 : 1
    }

    /// Number of buckets that a letter has.
    var bucketsOfLetter: Int { bucketLetters == 1 ? 1 : 1 << width }

    /// The places of all letters of the words by bucket, and where each bucket begins, behind the last one the end.
    /// 4 bytes a character.
    func buckets() -> (places: [Int32], starts: [Int]) {
        let shift = width * (2 - bucketLetters)
        var starts = [Int](repeating: 0, count: 1 << (width * bucketLetters) + 1)
        forEachPlace { first, second, _ in
            starts[(first << width | second) >> shift + 1] += 1
        }
        for bucket in 1..<starts.count { starts[bucket] += starts[bucket - 1] }
        var next = starts
        var places = [Int32](repeating: 0, count: starts[starts.count - 1])
        forEachPlace { first, second, place in
            let bucket = (first << width | second) >> shift
            places[next[bucket]] = Int32(place)
            next[bucket] += 1
        }
        return (places, starts)
    }

    /// Calls `body` with each letter, the one behind it and its place.
    private func forEachPlace(_ body: (Int, Int, Int) -> Void) {
        for place in words.letters.indices where words.letters[place] > 0 {
            body(Int(words.letters[place]), Int(words.letters[place + 1]), place)
        }
    }

    /// Sorts the places of one bucket; `scratch` is memory, 16 bytes a place.
    func sort(_ places: inout MutableSpan<Int32>, _ scratch: inout [Suffix]) {
        guard places.count > 1 else { return }
        scratch.removeAll(keepingCapacity: true)
        for index in places.indices {
            scratch.append(Suffix(key: key(Int(places[index])), place: places[index]))
        }
        var suffixes = scratch.mutableSpan
        sort(&suffixes, 0..<places.count, 0)
        for index in places.indices { places[index] = suffixes[index].place }
    }

    /// The letters from `place` on.
    @inline(__always)
    private func key(_ place: Int) -> UInt64 {
        let letters = words.letters.span
        var key: UInt64 = 0
        var shift = 64
        for index in place..<place + keyLetters {
            let letter = UInt64(letters[unchecked: index])
            guard letter > 0 else { break }
            shift -= width
            key |= letter << UInt64(truncatingIfNeeded: shift)
        }
        return key
    }

    /// Sorts suffixes whose first `known` letters are equal and whose keys hold those that follow.
    private func sort(_ suffixes: inout MutableSpan<Suffix>, _ range: Range<Int>, _ known: Int) {
        var (low, high) = (range.lowerBound, range.upperBound)
        while high - low > 16 {
            let (equal, larger) = partition(&suffixes, low..<high)
            sortEqual(&suffixes, equal..<larger, known)
            // The smaller side first, so that few calls are open at a time.
            if equal - low < high - larger {
                sort(&suffixes, low..<equal, known)
                low = larger
            } else {
                sort(&suffixes, larger..<high, known)
                high = equal
            }
        }
        insert(&suffixes, low..<high)
        while low < high {
            var end = low + 1
            while end < high, suffixes[unchecked: end].key == suffixes[unchecked: low].key {
                end += 1
            }
            sortEqual(&suffixes, low..<end, known)
            low = end
        }
    }

    /// Sorts suffixes of equal keys by the letters behind them.
    private func sortEqual(
        _ suffixes: inout MutableSpan<Suffix>, _ range: Range<Int>, _ known: Int
    ) {
        let behind = known + keyLetters
        guard range.count > 1, behind < depth else { return }
        let lastLetter = UInt64(1) << UInt64(width) - 1
        let key = suffixes[range.lowerBound].key
        // The words end here, or before.
        guard key >> UInt64(64 - width * keyLetters) & lastLetter > 0 else { return }
        for index in range {
            suffixes[unchecked: index].key = self.key(
                Int(suffixes[unchecked: index].place) + behind)
        }
        sort(&suffixes, range, behind)
    }

    /// Smaller keys to the front, larger ones to the back; gives where those begin that equal the chosen key, and where
    /// they end.
    private func partition(
        _ suffixes: inout MutableSpan<Suffix>, _ range: Range<Int>
    ) -> (equal: Int, larger: Int) {
        let first = suffixes[range.lowerBound].key
        let middle = suffixes[range.lowerBound + range.count / 2].key
        let last = suffixes[range.upperBound - 1].key
        let pivot = max(min(first, last), min(max(first, last), middle))
        var (equal, next, larger) = (range.lowerBound, range.lowerBound, range.upperBound)
        while next < larger {
            let suffix = suffixes[unchecked: next]
            if suffix.key < pivot {
                suffixes[unchecked: next] = suffixes[unchecked: equal]
                suffixes[unchecked: equal] = suffix
                equal += 1
                next += 1
            } else if suffix.key > pivot {
                larger -= 1
                suffixes[unchecked: next] = suffixes[unchecked: larger]
                suffixes[unchecked: larger] = suffix
            } else {
                next += 1
            }
        }
        return (equal, larger)
    }

    /// Sorts a few suffixes by their keys.
    private func insert(_ suffixes: inout MutableSpan<Suffix>, _ range: Range<Int>) {
        for index in range.dropFirst() {
            let suffix = suffixes[unchecked: index]
            var hole = index
            while hole > range.lowerBound, suffixes[unchecked: hole - 1].key > suffix.key {
                suffixes[unchecked: hole] = suffixes[unchecked: hole - 1]
                hole -= 1
            }
            suffixes[unchecked: hole] = suffix
        }
    }
}
