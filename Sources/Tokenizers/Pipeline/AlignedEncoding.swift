// Encodings with offsets: the same parts one after another, on texts whose bytes know where they come from.

extension TextEncoder {
    /// The tokens of `text`, or of a pair, with all that the file asks for: the template where `addsSpecials`,
    /// truncation, and padding, which knows of no other text here. Offsets and the other columns where `isAligned`.
    package func encoding(
        of text: [UInt8], pair: [UInt8]? = nil, addsSpecials: Bool, isAligned: Bool
    ) throws(TokenizerError) -> Encoding {
        var encodings = [try encoding(ofOne: text, isAligned: isAligned)]
        if let pair { encodings.append(try encoding(ofOne: pair, isAligned: isAligned)) }
        if let truncation = pipeline.truncation {
            let added =
                addsSpecials ? pipeline.postProcessor?.addedCount(isPair: pair != nil) ?? 0 : 0
            try truncation.apply(to: &encodings, added: added)
        }
        if let processor = pipeline.postProcessor {
            encodings = processor.apply(to: encodings, addsSpecials: addsSpecials)
        }
        var result = encodings[0]
        for encoding in encodings.dropFirst() { result.append(encoding, type: 1) }
        if let padding = pipeline.padding {
            var batch = [result]
            padding.apply(to: &batch)
            result = batch[0]
        }
        return result
    }

    /// The tokens of one text by themselves: no template, no truncation, no padding.
    func encoding(
        ofOne text: [UInt8], isAligned: Bool
    ) throws(TokenizerError) -> Encoding {
        var result = Encoding()
        if isAligned {
            let document = UTF8Text.repaired(text)
            guard document.count < Int32.max else {
                throw TokenizerError(
                    .unencodable, "text: expected less than 2 GiB, found \(document.count) bytes")
            }
            var tokens = AlignedTokens()
            try encodeAligned(document.span, from: 0, &tokens)
            let places = CharacterPlaces(document.span)
            result.offsets = tokens.alignments.map { places.characters($0) }
            result.spaces = tokens.spaces
            result.identifiers = tokens.identifiers
            result.types = [Int32](repeating: 0, count: result.count)
            result.specials = [UInt8](repeating: 0, count: result.count)
            result.attention = [UInt8](repeating: 1, count: result.count)
        } else {
            try encode(text, into: &result.identifiers)
        }
        return result
    }

    /// Tokens with the bytes of the document that each stands for.
    struct AlignedTokens {
        var identifiers: [Int32] = []
        var alignments: [Alignment] = []
        var spaces: [Encoding.SpaceCount] = []

        mutating func append(
            _ identifier: Int32, _ alignment: Alignment, _ spaces: Encoding.SpaceCount
        ) {
            identifiers.append(identifier)
            alignments.append(alignment)
            self.spaces.append(spaces)
        }
    }

    /// Appends the tokens of `document`, whose first byte counts as byte `start`.
    func encodeAligned(
        _ document: Span<UInt8>, from start: Int, _ tokens: inout AlignedTokens
    ) throws(TokenizerError) {
        try pipeline.added.forEachPart(of: document) { (part) throws(TokenizerError) in
            let segment = document.extracting(part.range)
            let place = start + part.range.lowerBound
            if let token = part.token {
                return tokens.append(
                    token, Alignment(start: Int32(place), end: Int32(place + part.range.count)),
                    .init(of: segment))
            }
            try encodeAligned(segment: segment, from: place, &tokens)
        }
        try checkUnknown()
    }

    /// Appends the tokens of what lies between added tokens, from byte `start` of the document on.
    func encodeAligned(
        segment: Span<UInt8>, from start: Int, _ tokens: inout AlignedTokens
    ) throws(TokenizerError) {
        var text = NormalizedText()
        text.set(segment, from: start, isAligned: true)
        try pipeline.normalizer?.normalize(&text)
        try pipeline.added.forEachNormalizedPart(of: text.bytes.span) {
            (part) throws(TokenizerError) in
            if let token = part.token {
                tokens.append(
                    token, text.original(part.range),
                    .init(of: text.bytes.span.extracting(part.range)))
            } else {
                try encodeAligned(text, part.range, &tokens)
            }
        }
    }

    /// Appends the tokens of a part of a normalized text.
    private func encodeAligned(
        _ text: NormalizedText, _ range: Range<Int>, _ tokens: inout AlignedTokens
    ) throws(TokenizerError) {
        var pieces = TextPieces()
        if range.count == text.bytes.count {
            pieces.text = text
        } else {
            pieces.text.bytes = Array(text.bytes[range])
            pieces.text.alignments = Array(text.alignments[range])
        }
        pieces.ranges = [0..<range.count]
        let asBytes: Bool
        switch pipeline.plan {
        case .bytes(let scanner, let addsPrefixSpace):
            try PreTokenizer.cutByteLevel(&pieces, addsPrefixSpace, usesPattern: false)
            if let scanner { pieces.split(by: scanner) }
            asBytes = true
        case .marks(let mark):
            pieces.split(before: mark)
            asBytes = false
        case .whole, .bertWords, .markedWords, .rules:
            try pipeline.preTokenizer?.apply(to: &pieces)
            asBytes = false
        }
        var buffer = TokenBuffer(isAligned: true)
        for range in pieces.ranges {
            buffer.removeAll()
            encodePiece(pieces.text.bytes.span.extracting(range), asBytes: asBytes, &buffer)
            var start = range.lowerBound
            for (index, identifier) in buffer.identifiers.enumerated() {
                // A token of no bytes stands for those of the next that has some.
                let count = buffer.byteCounts[index...].first { $0 > 0 } ?? 0
                let end = min(start + Int(count), pieces.text.bytes.count)
                guard start < end else { continue }
                tokens.append(
                    identifier, pieces.text.original(start..<end), pipeline.spaces(identifier))
                if buffer.byteCounts[index] > 0 { start = end }
            }
        }
    }
}

extension TextPieces {
    fileprivate mutating func split(before mark: [UInt8]) {
        var newRanges: [Range<Int>] = []
        for range in ranges {
            let span = text.bytes.span.extracting(range)
            var start = 0
            while start < span.count {
                let end = TextEncoder.end(of: start, in: span, before: mark)
                newRanges.append(range.lowerBound + start..<range.lowerBound + end)
                start = end
            }
        }
        ranges = newRanges
    }
}

extension Encoding.SpaceCount {
    /// White space at the ends of a token's text; the character that stands for a space counts.
    init(of text: Span<UInt8>) {
        let classes = CharacterClasses.shared
        let space = ByteAlphabet.scalars[0x20]
        var (leading, trailing, count) = (0, 0, 0)
        forEach(text) { scalar in
            let isSpace = scalar == space || classes[scalar].contains(.space)
            if isSpace, leading == count { leading += 1 }
            trailing = isSpace ? trailing + 1 : 0
            count += 1
        }
        self.init(leading: Int32(leading), trailing: Int32(trailing))
    }
}

/// Turns places of bytes into places of characters.
private struct CharacterPlaces {
    /// Of each byte the character that it belongs to; empty where bytes are characters.
    private var characters: [Int32] = []
    private let byteCount: Int

    init(_ text: Span<UInt8>) {
        byteCount = text.count
        var isWide = false
        for index in text.indices where text[unchecked: index] >= 0x80 {
            isWide = true
            break
        }
        guard isWide else { return }
        characters.reserveCapacity(text.count)
        var count: Int32 = -1
        for index in text.indices {
            if text[unchecked: index] & 0xC0 != 0x80 { count += 1 }
            characters.append(count)
        }
    }

    func characters(_ alignment: Alignment) -> Range<Int> {
        let (start, end) = (Int(alignment.start), Int(alignment.end))
        guard !characters.isEmpty, start < byteCount else { return start..<max(start, end) }
        let first = Int(characters[start])
        let last = end < byteCount ? Int(characters[end]) : Int(characters[end - 1]) + 1
        return first..<max(first, last)
    }
}
