/// Makes tokens of texts by one tokenizer. It remembers pieces, so each thread has its own.
public final class TextEncoder {
    let pipeline: TokenizerPipeline
    private var cache = PieceCache()
    private var mergeScratch = MergeScratch()
    private var unigramScratch = Unigram.Scratch()
    private var normalized = NormalizedText()
    private var word: [UInt8] = []
    private var numbers: [Int32] = []
    /// A word that the vocabulary has no token for, nor an unknown one.
    private var unknownWord: [UInt8]?

    public init(_ pipeline: TokenizerPipeline) { self.pipeline = pipeline }

    /// Calls `body` with an empty array whose memory is used again.
    func withNumbers(
        _ body: (inout [Int32]) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        numbers.removeAll(keepingCapacity: true)
        try body(&numbers)
    }

    // MARK: Tokens alone

    /// Appends the tokens of `text`, which may be any bytes: what is not UTF-8 counts as U+FFFD. No template, no
    /// truncation, no padding.
    public func encode(_ text: Span<UInt8>, into tokens: inout [Int32]) throws(TokenizerError) {
        var buffer = TokenBuffer(isAligned: false)
        buffer.take(&tokens)
        if UTF8Text.firstFault(in: text, from: 0) == nil {
            try encode(text, &buffer)
        } else {
            let repaired = UTF8Text.repaired(Array(copying: text))
            try encode(repaired.span, &buffer)
        }
        buffer.give(&tokens)
    }

    /// Appends the tokens of `text`.
    public func encode(_ text: [UInt8], into tokens: inout [Int32]) throws(TokenizerError) {
        try encode(text.span, into: &tokens)
    }

    /// The tokens of `text`.
    public func encode(_ text: String) throws(TokenizerError) -> [Int32] {
        var tokens: [Int32] = []
        try encode(Array(text.utf8), into: &tokens)
        return tokens
    }

    private func encode(
        _ document: Span<UInt8>, _ tokens: inout TokenBuffer
    ) throws(TokenizerError) {
        try pipeline.added.forEachPart(of: document) { (part) throws(TokenizerError) in
            if let token = part.token {
                return tokens.append(
                    PieceToken(identifier: token, byteCount: Int32(part.range.count)))
            }
            let segment = document.extracting(part.range)
            guard let normalizer = pipeline.normalizer else {
                return try encodeParts(
                    segment, startsDocument: part.range.lowerBound == 0, &tokens)
            }
            if pipeline.needsAlignment, part.range.lowerBound == 0 {
                var aligned = AlignedTokens()
                try encodeAligned(segment: segment, from: 0, &aligned)
                for token in aligned.identifiers {
                    tokens.append(PieceToken(identifier: token, byteCount: 0))
                }
                return
            }
            var text = NormalizedText()
            swap(&text, &normalized)
            defer { swap(&text, &normalized) }
            text.set(segment, from: part.range.lowerBound, isAligned: false)
            try normalizer.normalize(&text)
            try encodeParts(text.bytes.span, startsDocument: part.range.lowerBound == 0, &tokens)
        }
        try checkUnknown()
    }

    func checkUnknown() throws(TokenizerError) {
        if mergeScratch.needsUnknown || unigramScratch.needsUnknown || unknownWord != nil {
            mergeScratch.needsUnknown = false
            unigramScratch.needsUnknown = false
            unknownWord = nil
            cache = PieceCache()
            throw TokenizerError(
                .unencodable,
                "text: expected characters that the vocabulary has, found others; the tokenizer has no token "
                    + "for what is unknown")
        }
    }

    /// Tokens of a normalized text, in which more added tokens may be.
    private func encodeParts(
        _ text: Span<UInt8>, startsDocument: Bool, _ tokens: inout TokenBuffer
    ) throws(TokenizerError) {
        try pipeline.added.forEachNormalizedPart(of: text) { (part) throws(TokenizerError) in
            if let token = part.token {
                tokens.append(PieceToken(identifier: token, byteCount: Int32(part.range.count)))
            } else {
                try encodePieces(
                    text.extracting(part.range),
                    startsDocument: startsDocument && part.range.lowerBound == 0, &tokens)
            }
        }
    }

    private func encodePieces(
        _ text: Span<UInt8>, startsDocument: Bool, _ tokens: inout TokenBuffer
    ) throws(TokenizerError) {
        switch pipeline.plan {
        case .bytes(let scanner, let addsPrefixSpace):
            if addsPrefixSpace, text[0] != 0x20 {
                let spaced = [0x20] + Array(copying: text)
                encodeBytes(spaced.span, scanner, &tokens)
            } else {
                encodeBytes(text, scanner, &tokens)
            }
        case .marks(let mark): encodeMarked(text, mark, &tokens)
        case .whole: encodePiece(text, &tokens)
        case .bertWords: encodeBERTWords(text, &tokens)
        case .markedWords(let mark): encodeMarkedWords(text, mark, &tokens)
        case .rules(let rules):
            var pieces = TextPieces()
            pieces.startsDocument = startsDocument
            pieces.text.set(text, from: 0, isAligned: false)
            pieces.ranges = [0..<text.count]
            try rules.apply(to: &pieces)
            for range in pieces.ranges {
                encodePiece(pieces.text.bytes.span.extracting(range), &tokens)
            }
        }
    }

    private func encodeBytes(
        _ text: Span<UInt8>, _ scanner: WordScanner?, _ tokens: inout TokenBuffer
    ) {
        guard let scanner else { return encodePiece(text, asBytes: true, &tokens) }
        let cache = cache
        scanner.forEachWord(in: text) { word in
            cache.append(text.extracting(word), to: &tokens) { make($0, asBytes: true) }
        }
    }

    private func encodeMarked(_ text: Span<UInt8>, _ mark: [UInt8], _ tokens: inout TokenBuffer) {
        var start = 0
        while start < text.count {
            let end = TextEncoder.end(of: start, in: text, before: mark)
            encodePiece(text.extracting(start..<end), &tokens)
            start = end
        }
    }

    /// Where the piece that begins at `start` ends: before the first mark behind another character.
    static func end(of start: Int, in text: Span<UInt8>, before mark: [UInt8]) -> Int {
        var (index, isBehindOther) = (start, false)
        while index < text.count {
            if text[unchecked: index] == mark[0], isMark(index, text, mark) {
                if isBehindOther { return index }
                index += mark.count
            } else {
                isBehindOther = true
                index += 1
            }
        }
        return index
    }

    private static func isMark(_ index: Int, _ text: Span<UInt8>, _ mark: [UInt8]) -> Bool {
        guard index + mark.count <= text.count else { return false }
        for offset in mark.indices where text[index + offset] != mark[offset] { return false }
        return true
    }

    private func encodeBERTWords(_ text: Span<UInt8>, _ tokens: inout TokenBuffer) {
        let classes = CharacterClasses.shared
        var (start, index) = (0, 0)
        while index < text.count {
            let character = UTF8Text.character(in: text, at: index)
            let kind = classes[character.scalar]
            let end = index + character.byteCount
            if kind.isDisjoint(with: [.space, .punctuation]) {
                index = end
                continue
            }
            if start < index { encodePiece(text.extracting(start..<index), &tokens) }
            // What is both is space.
            if !kind.contains(.space) { encodePiece(text.extracting(index..<end), &tokens) }
            (start, index) = (end, end)
        }
        if start < text.count { encodePiece(text.extracting(start..<text.count), &tokens) }
    }

    private func encodeMarkedWords(
        _ text: Span<UInt8>, _ mark: [UInt8], _ tokens: inout TokenBuffer
    ) {
        let classes = CharacterClasses.shared
        var (start, index) = (0, 0)
        while index < text.count {
            let character = UTF8Text.character(in: text, at: index)
            let end = index + character.byteCount
            if classes[character.scalar].contains(.space) {
                encodeMarkedWord(text.extracting(start..<index), mark, &tokens)
                start = end
            }
            index = end
        }
        encodeMarkedWord(text.extracting(start..<text.count), mark, &tokens)
    }

    /// A word with a mark before it; marks within begin pieces of their own.
    private func encodeMarkedWord(
        _ text: Span<UInt8>, _ mark: [UInt8], _ tokens: inout TokenBuffer
    ) {
        guard !text.isEmpty else { return }
        var word: [UInt8] = []
        swap(&word, &self.word)
        defer { swap(&word, &self.word) }
        word.removeAll(keepingCapacity: true)
        if !TextEncoder.isMark(0, text, mark) { word += mark }
        text.withUnsafeBufferPointer { word.append(contentsOf: $0) }
        var start = 0
        for index in word.indices.dropFirst()
        where word[index] == mark[0] && TextEncoder.isMark(index, word.span, mark) {
            encodePiece(word.span.extracting(start..<index), &tokens)
            start = index
        }
        encodePiece(word.span.extracting(start..<word.count), &tokens)
    }

    // MARK: Pieces

    func encodePiece(_ piece: Span<UInt8>, asBytes: Bool = false, _ tokens: inout TokenBuffer) {
        cache.append(piece, to: &tokens) { self.make($0, asBytes: asBytes) }
    }

    /// The model's tokens of a piece.
    private func make(_ piece: Span<UInt8>, asBytes: Bool) -> [PieceToken] {
        var made: [PieceToken] = []
        switch pipeline.model {
        case .bytePair(let model):
            model.encode(piece, asBytes: asBytes, &mergeScratch)
            for (token, count) in zip(mergeScratch.tokens, mergeScratch.lengths) {
                made.append(PieceToken(identifier: token, byteCount: count))
            }
        case .wordPiece(let model):
            var start = 0
            model.encode(piece) { token, end in
                made.append(PieceToken(identifier: token, byteCount: Int32(end - start)))
                start = end
            }
        case .unigram(let model):
            var last = 0..<0
            model.encode(piece, &unigramScratch) { token, range in
                if range == last { made[made.count - 1].byteCount = 0 }
                made.append(PieceToken(identifier: token, byteCount: Int32(range.count)))
                last = range
            }
        case .wordLevel(let model):
            if let token = model.vocabulary.table[piece] ?? model.unknown {
                made.append(PieceToken(identifier: token, byteCount: Int32(piece.count)))
            } else {
                unknownWord = Array(copying: piece)
            }
        }
        return made
    }
}
