// Byte pair encoding (Sennrich et al. 2016; GPT-2): the characters of a piece, or its bytes, and then the best-ranked pair of
// neighbours becomes one, the leftmost first, until no pair is in the list.

/// A model of merges.
struct BytePairEncoding: Sendable {
    let vocabulary: TokenVocabulary
    let unknown: Int32?
    /// The unknown token of the file, which is not in the vocabulary: no fault until a text needs it.
    let missingUnknown: [UInt8]?
    let fusesUnknown: Bool
    let continuingPrefix: [UInt8]
    let endSuffix: [UInt8]
    let ignoresMerges: Bool
    /// Tokens of the bytes `<0x00>` … `<0xFF>`, for characters that the vocabulary lacks.
    private let byteTokens: [Int32?]?
    let merges: MergeTable
    /// The first token of each character of ASCII, where no prefix or suffix alters it.
    private let ascii: [Int32]
    /// The token of each byte, where pieces are bytes that characters stand for; negative where there is none.
    private let alphabet: [Int32]

    struct Options {
        var unknown: [UInt8]?
        var fusesUnknown = false
        var fallsBackToBytes = false
        var continuingPrefix: [UInt8] = []
        var endSuffix: [UInt8] = []
        var ignoresMerges = false
    }

    init(
        vocabulary: TokenVocabulary, merges: [(left: [UInt8], right: [UInt8])], options: Options,
        name: String
    ) throws(TokenizerError) {
        self.vocabulary = vocabulary
        fusesUnknown = options.fusesUnknown
        continuingPrefix = options.continuingPrefix
        endSuffix = options.endSuffix
        ignoresMerges = options.ignoresMerges
        func identifier(_ text: [UInt8], _ what: String) throws(TokenizerError) -> Int32 {
            guard let identifier = vocabulary[text] else {
                throw TokenizerError(
                    .corrupt,
                    "\(name): expected \(what) in the vocabulary, found no "
                        + JSONNode.string(text).summary)
            }
            return identifier
        }
        unknown = options.unknown.flatMap { vocabulary[$0] }
        missingUnknown = unknown == nil ? options.unknown : nil
        byteTokens =
            options.fallsBackToBytes
            ? (UInt8.min...UInt8.max).map {
                vocabulary[ByteAlphabet.fallbackToken(of: $0)]
            } : nil
        var table = MergeTable(minimumCapacity: merges.count)
        let prefix = options.continuingPrefix.count
        for (rank, merge) in merges.enumerated() {
            let what = "the parts of merge \(rank)"
            let left = try identifier(merge.left, what)
            let right = try identifier(merge.right, what)
            guard merge.right.count >= prefix else {
                throw TokenizerError(
                    .corrupt,
                    "\(name): merge \(rank): expected a right part with the continuing prefix, found "
                        + JSONNode.string(merge.right).summary)
            }
            let whole = try identifier(
                merge.left + merge.right.dropFirst(prefix), "the result of merge \(rank)")
            table.set(left, right, rank: UInt32(rank), result: whole)
        }
        self.merges = table
        ascii = (UInt8.min..<128).map { vocabulary[[$0]] ?? -1 }
        alphabet = ByteAlphabet.scalars.map { scalar in
            var text: [UInt8] = []
            UTF8Text.append(scalar, to: &text)
            return vocabulary[text] ?? -1
        }
    }

    /// Whether pieces may be cut before each `mark` that follows another character without any other result: no
    /// merge makes a token with a mark behind something else.
    func mayCut(before mark: [UInt8]) -> Bool {
        // With `ignoresMerges` a piece that is a token is one, and a part of a piece is another piece.
        guard continuingPrefix.isEmpty, endSuffix.isEmpty, !ignoresMerges, vocabulary[mark] != nil
        else { return false }
        return vocabulary.entries.allSatisfy { text, _ in
            var (index, isBehindOther) = (0, false)
            while index < text.count {
                if text[index...].starts(with: mark) {
                    if isBehindOther { return false }
                    index += mark.count
                } else {
                    isBehindOther = true
                    index += 1
                }
            }
            return true
        }
    }

    var fallsBackToBytes: Bool { byteTokens != nil }

    // MARK: Encoding

    /// Appends the tokens of `piece`, which is not empty. With `asBytes`, bytes are the first symbols (they stand for
    /// themselves, not for `ByteAlphabet`'s characters).
    func encode(_ piece: Span<UInt8>, asBytes: Bool, _ scratch: inout MergeScratch) {
        scratch.removeAll()
        if asBytes {
            beginBytes(piece, &scratch)
        } else {
            if ignoresMerges, let token = vocabulary.table[piece] {
                scratch.append(token, Int32(piece.count))
                return
            }
            beginCharacters(piece, &scratch)
        }
        merges.merge(&scratch)
    }

    private func beginBytes(_ piece: Span<UInt8>, _ scratch: inout MergeScratch) {
        if ignoresMerges, let token = vocabulary[ByteAlphabet.text(of: Array(copying: piece))] {
            scratch.append(token, Int32(piece.count))
            return
        }
        var pendingUnknown: Int32 = 0
        for index in piece.indices {
            let token = alphabet[Int(piece[index])]
            if token >= 0 {
                flush(&pendingUnknown, &scratch)
                scratch.append(token, 1)
            } else {
                addUnknown(1, &pendingUnknown, &scratch)
            }
        }
        flush(&pendingUnknown, &scratch)
    }

    private func beginCharacters(_ piece: Span<UInt8>, _ scratch: inout MergeScratch) {
        let isPlain = continuingPrefix.isEmpty && endSuffix.isEmpty
        var pendingUnknown: Int32 = 0
        var index = 0
        while index < piece.count {
            let count = UTF8Text.character(in: piece, at: index).byteCount
            let (start, end) = (index, index + count)
            index = end
            let token: Int32?
            var symbol: [UInt8] = []
            if isPlain {
                let known = count == 1 ? ascii[Int(piece[start])] : -1
                token = known >= 0 ? known : vocabulary.table[piece.extracting(start..<end)]
            } else {
                if start > 0 { symbol += continuingPrefix }
                symbol += Array(copying: piece.extracting(start..<end))
                if end == piece.count { symbol += endSuffix }
                token = vocabulary[symbol]
            }
            if let token {
                flush(&pendingUnknown, &scratch)
                scratch.append(token, Int32(count))
                continue
            }
            if let byteTokens {
                if isPlain { symbol = Array(copying: piece.extracting(start..<end)) }
                let tokens = symbol.compactMap { byteTokens[Int($0)] }
                if tokens.count == symbol.count {
                    // The library leaves an unknown character before them where it is: behind them.
                    for token in tokens { scratch.append(token, 1) }
                    continue
                }
            }
            addUnknown(Int32(count), &pendingUnknown, &scratch)
        }
        flush(&pendingUnknown, &scratch)
    }

    @inline(__always)
    private func addUnknown(_ count: Int32, _ pending: inout Int32, _ scratch: inout MergeScratch) {
        guard unknown != nil else {
            if missingUnknown != nil { scratch.needsUnknown = true }
            return
        }
        if !fusesUnknown { flush(&pending, &scratch) }
        pending += count
    }

    @inline(__always)
    private func flush(_ pending: inout Int32, _ scratch: inout MergeScratch) {
        guard pending > 0, let unknown else { return }
        scratch.append(unknown, pending)
        pending = 0
    }
}

extension [UInt8] {
    package init(copying span: Span<UInt8>) {
        self = span.withUnsafeBufferPointer { Array($0) }
    }
}
