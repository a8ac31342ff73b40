// Training of byte pair encodings (Sennrich et al. 2016): the most frequent pair of neighbours becomes a token, again and
// again. Words are counted once; a merge touches only the words that have the pair, and the counts of the pairs around it.

/// Learns merges from words and their counts.
package struct MergeTraining: Sendable {
    /// Tokens in all, special ones and single characters included.
    package var vocabularySize = 32_000
    /// Stand first, in this order.
    package var specials: [[UInt8]] = []
    /// Characters that are tokens whether the words have them or not.
    package var alphabet: [UInt32] = []
    /// Most characters that are tokens; the rarest others are left out of words. nil: all.
    package var largestAlphabet: Int?
    /// A pair that is rarer is not merged.
    package var smallestCount = 2
    /// Before a token that continues a word (WordPiece).
    package var continuingPrefix: [UInt8] = []
    /// Longest token, in bytes; nil: any.
    package var longestToken: Int?

    package init() {}

    /// What was learnt.
    package struct Result: Sendable {
        /// By number.
        package var tokens: [[UInt8]]
        package var merges: [(left: Int32, right: Int32)]
        /// How often the pair of each merge was there.
        package var counts: [Int]
    }

    /// Learns from distinct words with their counts. Of pairs that are as frequent the one whose tokens are older is
    /// merged first (the smaller number of the left, then of the right), so the result depends on the words alone.
    package func train(_ words: [(text: [UInt8], count: Int)]) throws(TokenizerError) -> Result {
        var state = MergeState(self)
        try state.begin(words)
        state.merge()
        return state.result
    }
}

/// A pair of neighbours, and when it is merged relative to others.
private struct PairCandidate: Comparable {
    let count: Int
    let key: UInt64

    /// Whether the first is merged before the second.
    static func < (first: PairCandidate, second: PairCandidate) -> Bool {
        first.count != second.count ? first.count > second.count : first.key < second.key
    }
}

private struct MergeState {
    private let training: MergeTraining
    private var tokens: [[UInt8]] = []
    private var identifiers = ByteTable()
    private var merges: [(left: Int32, right: Int32)] = []
    private var mergeCounts: [Int] = []

    /// The symbols of all words, one behind another; a word's end is where those that were merged leave a gap.
    private var symbols: [Int32] = []
    private var starts: [Int] = []
    private var lengths: [Int32] = []
    private var counts: [Int] = []

    /// Of each pair: how often it is there, and the words that have had it.
    private var pairs = PairTable()
    private var pairCounts: [Int] = []
    private var places: [[Int32]] = []
    private var heap: [PairCandidate] = []

    init(_ training: MergeTraining) { self.training = training }

    var result: MergeTraining.Result { .init(tokens: tokens, merges: merges, counts: mergeCounts) }

    // MARK: Words

    private mutating func identifier(_ text: [UInt8]) -> Int32 {
        if let known = identifiers[text] { return known }
        let identifier = Int32(tokens.count)
        identifiers.set(text, to: identifier)
        tokens.append(text)
        return identifier
    }

    mutating func begin(_ words: [(text: [UInt8], count: Int)]) throws(TokenizerError) {
        for special in training.specials { _ = identifier(special) }
        let alphabet = alphabet(of: words)
        for scalar in alphabet {
            var text: [UInt8] = []
            UTF8Text.append(scalar, to: &text)
            _ = identifier(text)
        }
        guard tokens.count <= training.vocabularySize else {
            throw TokenizerError(
                .untrainable,
                "vocabulary: expected room for \(training.specials.count) special tokens and "
                    + "\(alphabet.count) characters, found \(training.vocabularySize); ask for more tokens, or "
                    + "for fewer characters")
        }
        for word in words { add(word.text, word.count) }
        countPairs()
    }

    /// The characters that are tokens, in the order of their numbers.
    private func alphabet(of words: [(text: [UInt8], count: Int)]) -> [UInt32] {
        var counts: [UInt32: Int] = [:]
        for word in words {
            forEach(word.text.span) { counts[$0, default: 0] += word.count }
        }
        for scalar in training.alphabet { counts[scalar] = Int.max }
        var kept = counts.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.map(\.key)
        if let most = training.largestAlphabet, kept.count > most {
            kept.removeLast(kept.count - most)
        }
        return kept.sorted()
    }

    private mutating func add(_ text: [UInt8], _ count: Int) {
        let start = symbols.count
        var index = 0
        while index < text.count {
            let end = index + UTF8Text.character(in: text.span, at: index).byteCount
            let character = Array(text[index..<end])
            index = end
            guard let plain = identifiers[character] else { continue }
            let isFirst = symbols.count == start
            symbols.append(
                isFirst || training.continuingPrefix.isEmpty
                    ? plain : identifier(training.continuingPrefix + character))
        }
        guard symbols.count - start > 1 else {
            symbols.removeLast(symbols.count - start)
            return
        }
        starts.append(start)
        lengths.append(Int32(symbols.count - start))
        counts.append(count)
    }

    private mutating func countPairs() {
        for word in starts.indices {
            let (start, end) = (starts[word], starts[word] + Int(lengths[word]))
            for index in start..<end - 1 {
                change(symbols[index], symbols[index + 1], by: counts[word], word: Int32(word))
            }
        }
        for index in pairCounts.indices { push(index) }
    }

    // MARK: Pairs

    /// Changes a pair's count; `word` has it where the count grows.
    @inline(__always)
    @discardableResult
    private mutating func change(_ left: Int32, _ right: Int32, by count: Int, word: Int32) -> Int {
        let key = PairTable.key(left, right)
        let index = pairs.index(of: key)
        if index == pairCounts.count {
            pairCounts.append(0)
            places.append([])
        }
        pairCounts[index] += count
        if count > 0, places[index].last != word { places[index].append(word) }
        return index
    }

    private mutating func push(_ index: Int) {
        guard pairCounts[index] > 0 else { return }
        Heap.insert(PairCandidate(count: pairCounts[index], key: pairs.keys[index]), into: &heap)
    }

    /// Merges the best pair until there are tokens enough.
    mutating func merge() {
        var touched: [Int] = []
        while tokens.count < training.vocabularySize, let best = Heap.removeLeast(from: &heap) {
            let index = pairs.index(of: best.key)
            let count = pairCounts[index]
            if count != best.count {
                // It has become rarer since.
                if count > 0, count < best.count { push(index) }
                continue
            }
            guard count >= max(1, training.smallestCount) else { return }
            let (left, right) = PairTable.pair(best.key)
            let suffix =
                tokens[Int(right)].starts(with: training.continuingPrefix)
                ? tokens[Int(right)].dropFirst(training.continuingPrefix.count)
                : tokens[Int(right)][...]
            let token = identifier(tokens[Int(left)] + suffix)
            merges.append((left, right))
            mergeCounts.append(count)
            touched.removeAll(keepingCapacity: true)
            let words = places[index]
            places[index] = []
            pairCounts[index] = 0
            for word in words { replace(left, right, by: token, in: word, &touched) }
            // Runs of one token count pairs that overlap; none is left.
            pairCounts[index] = 0
            // Pairs that grew; those that shrank are found out when they come up.
            for index in Set(touched).sorted() { push(index) }
        }
    }

    /// Merges a pair in one word, and notes pairs that have become more frequent.
    private mutating func replace(
        _ left: Int32, _ right: Int32, by token: Int32, in word: Int32, _ touched: inout [Int]
    ) {
        let start = starts[Int(word)]
        let count = Int(lengths[Int(word)])
        let weight = counts[Int(word)]
        var (read, write) = (0, 0)
        while read < count {
            let symbol = symbols[start + read]
            guard symbol == left, read + 1 < count, symbols[start + read + 1] == right else {
                symbols[start + write] = symbol
                (read, write) = (read + 1, write + 1)
                continue
            }
            if write > 0 {
                let before = symbols[start + write - 1]
                change(before, left, by: -weight, word: word)
                if isShortEnough(before, token) {
                    touched.append(change(before, token, by: weight, word: word))
                }
            }
            if read + 2 < count {
                let behind = symbols[start + read + 2]
                change(right, behind, by: -weight, word: word)
                if isShortEnough(token, behind) {
                    touched.append(change(token, behind, by: weight, word: word))
                }
            }
            symbols[start + write] = token
            (read, write) = (read + 2, write + 1)
        }
        lengths[Int(word)] = Int32(write)
    }

    @inline(__always)
    private func isShortEnough(_ left: Int32, _ right: Int32) -> Bool {
        guard let longest = training.longestToken else { return true }
        return tokens[Int(left)].count + tokens[Int(right)].count <= longest
    }
}

/// Numbers pairs as they come.
private struct PairTable {
    private(set) var keys: [UInt64] = []
    private var slots = [Int32](repeating: -1, count: 1 << 16)

    static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(left)) << 32 | UInt64(UInt32(right))
    }

    static func pair(_ key: UInt64) -> (Int32, Int32) {
        (Int32(truncatingIfNeeded: key >> 32), Int32(truncatingIfNeeded: key))
    }

    /// The number of a pair, which it gets where it is new.
    @inline(__always)
    mutating func index(of key: UInt64) -> Int {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: ByteHash.mix(key)) & mask
        while slots[slot] >= 0 {
            if keys[Int(slots[slot])] == key { return Int(slots[slot]) }
            slot = (slot + 1) & mask
        }
        if 2 * (keys.count + 1) > slots.count {
            grow()
            return index(of: key)
        }
        slots[slot] = Int32(keys.count)
        keys.append(key)
        return keys.count - 1
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: 2 * slots.count)
        let mask = slots.count - 1
        for (index, key) in keys.enumerated() {
            var slot = Int(truncatingIfNeeded: ByteHash.mix(key)) & mask
            while slots[slot] >= 0 { slot = (slot + 1) & mask }
            slots[slot] = Int32(index)
        }
    }
}
