// How a normalized text is cut into the pieces that the model sees one by one: the parts that `pre_tokenizer` of a
// tokenizer.json may name.

/// A text cut in pieces, in order; none is empty, and what lies between two is gone.
struct TextPieces {
    var text = NormalizedText()
    var ranges: [Range<Int>] = []
    /// Whether the text begins where the document does; for texts without alignments, which say so themselves.
    var startsDocument = false

    /// Replaces each piece by what `rewrite` writes for it: the pieces of a new text.
    mutating func rewrite(
        _ rewrite: (inout NormalizedText) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        var (result, newRanges) = (NormalizedText(), [Range<Int>]())
        result.bytes.reserveCapacity(text.bytes.count + ranges.count)
        var piece = NormalizedText()
        for range in ranges {
            piece.bytes.replaceSubrange(piece.bytes.indices, with: text.bytes[range])
            if !text.alignments.isEmpty {
                piece.alignments.replaceSubrange(
                    piece.alignments.indices, with: text.alignments[range])
            }
            try rewrite(&piece)
            guard !piece.bytes.isEmpty else { continue }
            newRanges.append(result.bytes.count..<result.bytes.count + piece.bytes.count)
            result.bytes += piece.bytes
            result.alignments += piece.alignments
        }
        (text, ranges) = (result, newRanges)
    }

    /// Cuts each piece at the matches that `find` gives for it, or at what lies between them.
    mutating func split(
        _ behavior: SplitBehavior, isInverted: Bool = false,
        _ find: (Span<UInt8>) throws(TokenizerError) -> [Range<Int>]
    ) throws(TokenizerError) {
        var newRanges: [Range<Int>] = []
        newRanges.reserveCapacity(ranges.count * 2)
        for range in ranges {
            let matches = try find(text.bytes.span.extracting(range))
            behavior.split(range, at: matches, isInverted: isInverted, into: &newRanges)
        }
        ranges = newRanges
    }

    /// Cuts each piece at characters of which `isDelimiter` is true.
    mutating func split(_ behavior: SplitBehavior, at isDelimiter: (UInt32) -> Bool) {
        var newRanges: [Range<Int>] = []
        newRanges.reserveCapacity(ranges.count * 2)
        var matches: [Range<Int>] = []
        for range in ranges {
            matches.removeAll(keepingCapacity: true)
            var index = range.lowerBound
            while index < range.upperBound {
                let character = UTF8Text.character(in: text.bytes.span, at: index)
                if isDelimiter(character.scalar) {
                    let start = index - range.lowerBound
                    matches.append(start..<start + character.byteCount)
                }
                index += character.byteCount
            }
            behavior.split(range, at: matches, into: &newRanges)
        }
        ranges = newRanges
    }
}

/// What becomes of the delimiters between pieces.
enum SplitBehavior: String, Sendable, CaseIterable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    /// Appends the pieces of `piece`, whose delimiters are `matches`, counted from its beginning, or what lies between
    /// them.
    func split(
        _ piece: Range<Int>, at matches: [Range<Int>], isInverted: Bool = false,
        into ranges: inout [Range<Int>]
    ) {
        // The whole text, cut in what matched and what did not.
        var parts: [(range: Range<Int>, isMatch: Bool)] = []
        parts.reserveCapacity(2 * matches.count + 1)
        var end = 0
        for match in matches {
            if end != match.lowerBound { parts.append((end..<match.lowerBound, isInverted)) }
            parts.append((match, !isInverted))
            end = match.upperBound
        }
        if end != piece.count { parts.append((end..<piece.count, isInverted)) }
        for range in merged(parts) where !range.isEmpty {
            ranges.append(
                piece.lowerBound + range.lowerBound..<piece.lowerBound + range.upperBound)
        }
    }

    private func merged(_ parts: [(range: Range<Int>, isMatch: Bool)]) -> [Range<Int>] {
        switch self {
        case .removed: return parts.filter { !$0.isMatch }.map(\.range)
        case .isolated: return parts.map(\.range)
        case .contiguous: return SplitBehavior.joined(parts) { $0 == $1 }
        case .mergedWithPrevious: return SplitBehavior.joined(parts) { $0 && !$1 }
        case .mergedWithNext:
            return SplitBehavior.joined(parts.reversed()) { $0 && !$1 }.reversed()
        }
    }

    /// The parts, each one with the part before it where `joins` says so: of whether it matched, and whether that did.
    private static func joined(
        _ parts: [(range: Range<Int>, isMatch: Bool)], _ joins: (Bool, Bool) -> Bool
    ) -> [Range<Int>] {
        var (ranges, wasMatch) = ([Range<Int>](), false)
        for (range, isMatch) in parts {
            if joins(isMatch, wasMatch), let last = ranges.last {
                ranges[ranges.count - 1] =
                    min(last.lowerBound, range.lowerBound)..<max(last.upperBound, range.upperBound)
            } else {
                ranges.append(range)
            }
            wasMatch = isMatch
        }
        return ranges
    }
}

/// A rule that cuts a text, or several in turn.
indirect enum PreTokenizer: Sendable, Equatable {
    case sequence([PreTokenizer])
    /// GPT-2: words by its pattern where `usesPattern`, then bytes as characters.
    case byteLevel(addsPrefixSpace: Bool, usesPattern: Bool)
    case metaspace(Metaspace)
    /// Words and runs of punctuation: `\w+|[^\w\s]+`
    case whitespace
    case whitespaceSplit
    case bert
    case punctuation(SplitBehavior)
    case digits(isIndividual: Bool)
    case split(TextPattern, SplitBehavior, isInverted: Bool)
    case delimiter(UInt32)
    /// Pieces of so many characters.
    case fixedLength(Int)

    func apply(to pieces: inout TextPieces) throws(TokenizerError) {
        let classes = CharacterClasses.shared
        switch self {
        case .sequence(let parts):
            for part in parts { try part.apply(to: &pieces) }
        case .byteLevel(let addsPrefixSpace, let usesPattern):
            try PreTokenizer.cutByteLevel(&pieces, addsPrefixSpace, usesPattern: usesPattern)
            try pieces.rewrite { (piece) throws(TokenizerError) in
                try Normalizer.byteLevel.normalize(&piece)
            }
        case .metaspace(let metaspace): try metaspace.apply(to: &pieces)
        case .whitespace:
            // A run of `\w` or of neither `\w` nor space is a piece.
            pieces.split(.removed) { classes[$0].contains(.space) }
            pieces.splitRuns { classes[$0].contains(.word) }
        case .whitespaceSplit: pieces.split(.removed) { classes[$0].contains(.space) }
        case .bert:
            pieces.split(.removed) { classes[$0].contains(.space) }
            pieces.split(.isolated) { classes[$0].contains(.punctuation) }
        case .punctuation(let behavior):
            pieces.split(behavior) { classes[$0].contains(.punctuation) }
        case .digits(let isIndividual):
            pieces.split(isIndividual ? .isolated : .contiguous) { classes[$0].contains(.numeric) }
        case .split(let pattern, let behavior, let isInverted):
            try pieces.split(pattern, behavior, isInverted: isInverted)
        case .delimiter(let scalar): pieces.split(.removed) { $0 == scalar }
        case .fixedLength(let length):
            try pieces.split(.isolated) { (text) throws(TokenizerError) in
                var (ranges, start, index, count) = ([Range<Int>](), 0, 0, 0)
                while index < text.count {
                    index += UTF8Text.character(in: text, at: index).byteCount
                    count += 1
                    if count == length {
                        ranges.append(start..<index)
                        (start, count) = (index, 0)
                    }
                }
                return ranges
            }
        }
    }

    /// Pieces of GPT-2's pattern, still as they are written.
    static func cutByteLevel(
        _ pieces: inout TextPieces, _ addsPrefixSpace: Bool, usesPattern: Bool
    ) throws(TokenizerError) {
        if addsPrefixSpace {
            try pieces.rewrite { (piece) throws(TokenizerError) in
                if piece.bytes.first != 0x20 { try Normalizer.prepend([0x20]).normalize(&piece) }
            }
        }
        if usesPattern { pieces.split(by: .gpt2) }
    }
}

extension TextPieces {
    fileprivate mutating func split(
        _ pattern: TextPattern, _ behavior: SplitBehavior, isInverted: Bool
    ) throws(TokenizerError) {
        if case .expression(let expression) = pattern, behavior == .isolated, !isInverted,
            let scanner = WordScanner(pattern: expression.source)
        {
            return split(by: scanner)
        }
        try split(behavior, isInverted: isInverted) { (text) throws(TokenizerError) in
            try pattern.matches(in: text)
        }
    }

    mutating func split(by scanner: WordScanner) {
        var newRanges: [Range<Int>] = []
        newRanges.reserveCapacity(ranges.count + text.bytes.count / 4)
        for range in ranges {
            scanner.forEachWord(in: text.bytes.span.extracting(range)) { word in
                newRanges.append(
                    range.lowerBound + word.lowerBound..<range.lowerBound + word.upperBound)
            }
        }
        ranges = newRanges
    }

    /// Cuts each piece where `isMember` changes.
    fileprivate mutating func splitRuns(_ isMember: (UInt32) -> Bool) {
        var newRanges: [Range<Int>] = []
        for range in ranges {
            var (start, index, was) = (range.lowerBound, range.lowerBound, false)
            while index < range.upperBound {
                let character = UTF8Text.character(in: text.bytes.span, at: index)
                let isIn = isMember(character.scalar)
                if isIn != was, index > start {
                    newRanges.append(start..<index)
                    start = index
                }
                was = isIn
                index += character.byteCount
            }
            newRanges.append(start..<range.upperBound)
        }
        ranges = newRanges
    }
}

/// SentencePiece's spaces: a visible character for each, and one before the first word.
struct Metaspace: Sendable, Equatable {
    enum Prepending: String, Sendable, CaseIterable {
        case always, never, first
    }

    let replacement: UInt32
    let prepending: Prepending
    let splits: Bool

    func apply(to pieces: inout TextPieces) throws(TokenizerError) {
        var mark: [UInt8] = []
        UTF8Text.append(replacement, to: &mark)
        let isAligned = !pieces.text.alignments.isEmpty
        var isFirstPiece = pieces.startsDocument && pieces.ranges.first?.lowerBound == 0
        try pieces.rewrite { (piece) throws(TokenizerError) in
            let isFirst = isAligned ? piece.alignments[0].start == 0 : isFirstPiece
            isFirstPiece = false
            try Normalizer.replace(.text([0x20]), with: mark).normalize(&piece)
            guard !piece.bytes.starts(with: mark) else { return }
            if prepending == .always || prepending == .first && isFirst {
                try Normalizer.prepend(mark).normalize(&piece)
            }
        }
        if splits { pieces.split(.mergedWithNext) { $0 == replacement } }
    }
}
