// The unigram language model (Kudo 2018): every way to tell a text by tokens has the sum of their log-probabilities; the best
// one is found by dynamic programming from left to right.

/// A unigram model.
struct Unigram: Sendable {
    let vocabulary: TokenVocabulary
    /// Log-probabilities by number.
    let scores: [Double]
    let unknown: Int32?
    private let trie: ByteTrie
    /// Of a character that no token tells.
    private let unknownScore: Double
    /// Tokens of the bytes, for what is unknown; nil where one of them is missing.
    private let byteTokens: [Int32?]?

    private static let unknownPenalty = 10.0

    init(
        pieces: [(text: [UInt8], score: Double)], unknown: Int?, fallsBackToBytes: Bool,
        name: String
    ) throws(TokenizerError) {
        if let unknown, !pieces.indices.contains(unknown) {
            throw TokenizerError(
                .corrupt,
                "\(name): model.unk_id: expected a number below \(pieces.count), found \(unknown)")
        }
        var vocabulary = TokenVocabulary(minimumCapacity: pieces.count)
        var trie = ByteTrie(minimumCapacity: pieces.count)
        for (index, piece) in pieces.enumerated() {
            vocabulary.insert(piece.text, Int32(index))
            if !piece.text.isEmpty { trie.insert(piece.text, Int32(index)) }
        }
        self.vocabulary = vocabulary
        self.trie = trie
        scores = pieces.map(\.score)
        self.unknown = unknown.map { Int32($0) }
        unknownScore = (scores.min() ?? .infinity) - Unigram.unknownPenalty
        byteTokens =
            fallsBackToBytes
            ? (UInt8.min...UInt8.max).map {
                vocabulary[ByteAlphabet.fallbackToken(of: $0)]
            } : nil
    }

    /// The best way to every place of a text.
    struct Scratch {
        fileprivate var scores: [Double] = []
        fileprivate var starts: [Int32] = []
        fileprivate var tokens: [Int32] = []
        /// The parts of the best way, the last first.
        fileprivate var parts: [Range<Int>] = []
        /// Whether a character needed an unknown token and there is none.
        var needsUnknown = false
    }

    /// Calls `body` with each token of `text` and the range that it tells.
    func encode(_ text: Span<UInt8>, _ scratch: inout Scratch, _ body: (Int32, Range<Int>) -> Void)
    {
        let size = text.count
        scratch.scores.removeAll(keepingCapacity: true)
        scratch.starts.removeAll(keepingCapacity: true)
        scratch.tokens.removeAll(keepingCapacity: true)
        scratch.scores.append(contentsOf: repeatElement(0, count: size + 1))
        scratch.starts.append(contentsOf: repeatElement(-1, count: size + 1))
        scratch.tokens.append(contentsOf: repeatElement(0, count: size + 1))
        var start = 0
        while start < size {
            let before = scratch.scores[start]
            let width = UTF8Text.character(in: text, at: start).byteCount
            var hasCharacter = false
            var (node, index) = (ByteTrie.root, start)
            while index < size, let next = trie.child(of: node, text[unchecked: index]) {
                (node, index) = (next, index + 1)
                guard let token = trie.value(node) else { continue }
                let score = scores[Int(token)] + before
                if scratch.starts[index] < 0 || score > scratch.scores[index] {
                    scratch.scores[index] = score
                    scratch.starts[index] = Int32(start)
                    scratch.tokens[index] = token
                }
                if index - start == width { hasCharacter = true }
            }
            if !hasCharacter {
                let end = start + width
                let score = unknownScore + before
                if scratch.starts[end] < 0 || score > scratch.scores[end] {
                    guard let unknown else {
                        scratch.needsUnknown = true
                        return
                    }
                    scratch.scores[end] = score
                    scratch.starts[end] = Int32(start)
                    scratch.tokens[end] = unknown
                }
            }
            start += width
        }
        trace(size, &scratch)
        for part in scratch.parts.reversed() { emit(part, text, &scratch, body) }
    }

    /// The best way back from the end; unknown characters beside each other are one part.
    private func trace(_ size: Int, _ scratch: inout Scratch) {
        scratch.parts.removeAll(keepingCapacity: true)
        var end = size
        var unknownEnd: Int?
        while end > 0 {
            let start = Int(scratch.starts[end])
            if let unknown, scratch.tokens[end] == unknown {
                if unknownEnd == nil { unknownEnd = end }
            } else {
                if let last = unknownEnd { scratch.parts.append(end..<last) }
                unknownEnd = nil
                scratch.parts.append(start..<end)
            }
            end = start
        }
        if let last = unknownEnd { scratch.parts.append(0..<last) }
    }

    private func emit(
        _ part: Range<Int>, _ text: Span<UInt8>, _ scratch: inout Scratch,
        _ body: (Int32, Range<Int>) -> Void
    ) {
        // Asked once more by its text, as the library does: what is unknown may be told by the whole of it.
        if let token = vocabulary.table[text.extracting(part)] { return body(token, part) }
        if let byteTokens {
            let tokens = part.compactMap { byteTokens[Int(text[$0])] }
            if tokens.count == part.count {
                for token in tokens { body(token, part) }
                return
            }
        }
        guard let unknown else {
            scratch.needsUnknown = true
            return
        }
        body(unknown, part)
    }
}
