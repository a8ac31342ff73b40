// Which language a text is in: naive Bayes over hashed character n-grams of length 1 to 4, as Cavnar and Trenkle (1994,
// "N-Gram-Based Text Categorization") cut them, from words of small letters with a border at each end.
//
// Bucket b of language l holds −log p(b | l), sixteenths of a nat in a byte, p = (c + ½) / (N + B/2) with all counts scaled to
// the same N, so that what no language has tells none from another. A text's score is a sum of whole numbers: the same
// language and the same confidence on every machine.

import Datasets
import Tokenizers

package struct LanguageModel: Sendable, Equatable {
    /// Names, ascending by their bytes.
    package let languages: [String]
    /// Buckets are 2 to this.
    let bucketBits: Int
    /// Of each bucket one number a language, in their order.
    let costs: [UInt8]

    /// Sixteenths of a nat.
    static let unit = 16.0
    static let bucketBitsRange = 10...18
    static let mostLanguages = 255
    /// What a bucket costs that a language has nothing in.
    static func emptyCost(bucketBits: Int) -> UInt8 { cost(0, bucketBits: bucketBits) }

    init(languages: [String], bucketBits: Int, costs: [UInt8]) {
        precondition(
            costs.count == languages.count << bucketBits,
            "LanguageModel: expected a number for each language and bucket")
        (self.languages, self.bucketBits, self.costs) = (languages, bucketBits, costs)
    }

    /// Counts are scaled to this many n-grams.
    private static let scale = 1_048_576.0

    /// −log of the probability of a bucket that holds `share` of a language's n-grams.
    static func cost(_ share: Double, bucketBits: Int) -> UInt8 {
        let buckets = Double(1 << bucketBits)
        let probability = (share * scale + 0.5) / (scale + buckets / 2)
        let value = (-PortableMath.logarithm(probability) * unit).rounded()
        return UInt8(max(0, min(255, value)))
    }

    /// A language, and how sure it is.
    package struct Guess: Sendable, Equatable {
        /// In `languages`.
        package let number: Int
        package let language: String
        /// 0 to 1.
        package let confidence: Double
    }

    /// The language of `text`, valid UTF-8; nil where it has no letters.
    package func identify(_ text: [UInt8]) -> Guess? { identify(text.span) }

    /// Bytes that are looked at: all, or four pieces of long texts.
    private static let (pieceCount, pieceBytes) = (4, 256)

    func identify(_ text: Span<UInt8>) -> Guess? {
        let count = languages.count
        // A text's pieces have few n-grams, so 32 bits hold their sums.
        var sums = [Int32](repeating: 0, count: count)
        /// N-grams of two, and those of them that a language has.
        var pairs = 0
        var known = [Int32](repeating: 0, count: count)
        let empty = LanguageModel.emptyCost(bucketBits: bucketBits)
        costs.withUnsafeBufferPointer { costs in
            sums.withUnsafeMutableBufferPointer { sums in
                known.withUnsafeMutableBufferPointer { known in
                    for range in LanguageModel.pieces(text) {
                        LanguageFeatures.forEach(in: text, range, bits: bucketBits) {
                            bucket, length in
                            let start = bucket * count
                            for language in 0..<count {
                                sums[language] &+= Int32(costs[start + language])
                            }
                            guard length == 2 else { return }
                            pairs += 1
                            for language in 0..<count {
                                known[language] &+= costs[start + language] < empty ? 1 : 0
                            }
                        }
                    }
                }
            }
        }
        guard pairs > 0, count > 0 else { return nil }
        var best = 0
        for language in 1..<max(1, count) where sums[language] < sums[best] { best = language }
        var total = 0.0
        for language in 0..<count {
            // N-grams of four lengths say much the same, and neighbours too.
            let nats = Double(sums[language] - sums[best]) / (LanguageModel.unit * 8)
            total += nats > 600 ? 0 : PortableMath.exponential(-nats)
        }
        // A text whose very pairs of letters the language does not have is in none of these languages.
        let share = Double(known[best]) / Double(pairs)
        let confidence = min(1, max(0, (share - 0.5) / 0.4)) / total
        return Guess(number: best, language: languages[best], confidence: confidence)
    }

    /// Ranges that begin and end with characters.
    private static func pieces(_ text: Span<UInt8>) -> [Range<Int>] {
        guard text.count > pieceCount * pieceBytes else { return [0..<text.count] }
        func start(_ index: Int) -> Int {
            var index = index
            while index > 0, index < text.count, text[index] & 0xC0 == 0x80 { index -= 1 }
            return index
        }
        return (0..<pieceCount).map { piece in
            let first = (text.count - pieceBytes) * piece / (pieceCount - 1)
            return start(first)..<start(first + pieceBytes)
        }
    }
}

/// N-grams of a text, as numbers of buckets.
enum LanguageFeatures {
    /// Small letters of the characters below U+0600 and U+1E00 to U+1FFF; others have none or are rare.
    private static let small: [UInt32] = (0..<UInt32(0x2000)).map { value in
        guard value < 0x600 || value >= 0x1E00, let scalar = Unicode.Scalar(value) else {
            return value
        }
        let mapping = scalar.properties.lowercaseMapping.unicodeScalars
        return mapping.count == 1 ? mapping.first?.value ?? value : value
    }

    private static let border: UInt64 = 0x20

    /// Calls `body` with the bucket and the length of each n-gram.
    @inline(__always)
    static func forEach(
        in text: Span<UInt8>, _ range: Range<Int>, bits: Int, _ body: (Int, Int) -> Void
    ) {
        let classes = TextCharacters.classes.span
        let small = small.span
        let shift = UInt64(64 - bits)
        @inline(__always)
        func bucket(_ gram: UInt64, _ before: UInt64, _ length: UInt64) -> Int {
            let hash = CleaningHash.joined(gram, before << 3 | length)
            return Int(truncatingIfNeeded: hash >> shift)
        }
        /// The last three characters, 21 bits each, and how many of them are the word's or its border.
        var (window, held) = (border, 1)
        var index = range.lowerBound
        while index <= range.upperBound {
            var (scalar, isLetter, bytes) = (UInt32(0x20), false, 1)
            if index < range.upperBound {
                (scalar, bytes) = TextCharacters.character(text, at: index)
                let found = TextCharacters.classOf(scalar, classes)
                isLetter = !found.isDisjoint(with: [.letter, .mark])
                if isLetter, scalar < 0x2000 { scalar = small[Int(scalar)] }
            }
            index += bytes
            guard isLetter || held > 1 else { continue }
            let next = isLetter ? UInt64(scalar) : border
            let pair = (window & 0x1F_FFFF) << 21 | next
            let triple = (window & 0x3FF_FFFF_FFFF) << 21 | next
            if isLetter { body(bucket(next, 0, 1), 1) }
            body(bucket(pair, 0, 2), 2)
            if held >= 2 { body(bucket(triple, 0, 3), 3) }
            if held >= 3 { body(bucket(triple, window >> 42, 4), 4) }
            if isLetter {
                (window, held) = (triple, min(3, held + 1))
            } else {
                (window, held) = (border, 1)
            }
        }
    }
}
