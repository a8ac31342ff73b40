// Tokens that are found in a text before anything else is done to it, whatever the model would make of them: special ones,
// and words that were added to a finished vocabulary.

/// A token that is looked for by its text.
package struct AddedToken: Sendable, Equatable {
    package let identifier: Int32
    package let content: [UInt8]
    /// Only where no word goes on before or behind it.
    let isSingleWord: Bool
    /// Takes white space before it along.
    let stripsLeft: Bool
    /// Takes white space behind it along.
    let stripsRight: Bool
    /// Looked for in normalized text, in its normalized form.
    let isNormalized: Bool
    /// Left out of decoded text where that is asked for.
    package let isSpecial: Bool
}

/// All added tokens of a tokenizer.
final class AddedTokens: Sendable {
    let byIdentifier: [Int32: AddedToken]
    /// What decoding makes of tokens whose normalized form is another text.
    let normalizedTexts: [Int32: [UInt8]]
    /// Texts of special tokens.
    let specialTexts: Set<[UInt8]>
    private let exact: TokenFinder?
    private let normalized: TokenFinder?

    init(_ tokens: [AddedToken], normalizer: Normalizer?) throws(TokenizerError) {
        var byIdentifier: [Int32: AddedToken] = [:]
        for token in tokens { byIdentifier[token.identifier] = token }
        self.byIdentifier = byIdentifier
        specialTexts = Set(tokens.filter(\.isSpecial).map(\.content))
        var texts: [Int32: [UInt8]] = [:]
        var (exact, normalized) = (
            [(text: [UInt8], token: AddedToken)](), [(text: [UInt8], token: AddedToken)]()
        )
        for token in byIdentifier.values.sorted(by: { $0.identifier < $1.identifier }) {
            guard token.isNormalized else {
                exact.append((token.content, token))
                continue
            }
            var text = NormalizedText(bytes: token.content)
            try normalizer?.normalize(&text)
            if text.bytes != token.content { texts[token.identifier] = text.bytes }
            normalized.append((text.bytes, token))
        }
        for found in [exact, normalized] where found.contains(where: \.token.stripsRight) {
            let isSpace = CharacterClasses.shared
            let spaced = found.first { entry in
                UTF8Text.scalars(of: entry.text).first.map { isSpace[$0].contains(.space) } ?? false
            }
            guard let spaced else { continue }
            throw TokenizerError(
                .unsupported,
                "added_tokens: expected no token that begins with white space beside one with rstrip, whose "
                    + "white space both would take, found "
                    + String(decoding: spaced.text, as: UTF8.self).printable.debugDescription)
        }
        normalizedTexts = texts
        self.exact = TokenFinder(exact)
        self.normalized = TokenFinder(normalized)
    }

    /// A part of a text: an added token, or what lies between two.
    typealias Part = (token: Int32?, range: Range<Int>)

    /// Calls `body` with the parts of a document as it is written.
    func forEachPart(
        of text: Span<UInt8>, _ body: (Part) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        try AddedTokens.forEachPart(of: text, exact, body)
    }

    /// Calls `body` with the parts of a normalized text.
    func forEachNormalizedPart(
        of text: Span<UInt8>, _ body: (Part) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        try AddedTokens.forEachPart(of: text, normalized, body)
    }

    private static func forEachPart(
        of text: Span<UInt8>, _ finder: TokenFinder?, _ body: (Part) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        guard !text.isEmpty else { return }
        guard let finder else { return try body((nil, 0..<text.count)) }
        var end = 0
        try finder.forEachMatch(in: text) { (token, match) throws(TokenizerError) in
            var range = match
            if token.isSingleWord {
                let isAlone =
                    (range.lowerBound == 0
                        || !isWord(UTF8Text.start(before: range.lowerBound, in: text), text))
                    && (range.upperBound == text.count || !isWord(range.upperBound, text))
                guard isAlone else { return }
            }
            if token.stripsLeft {
                var start = range.lowerBound
                while start > end {
                    let before = UTF8Text.start(before: start, in: text)
                    guard isSpace(before, text) else { break }
                    start = before
                }
                range = max(start, end)..<range.upperBound
            }
            if token.stripsRight {
                var last = range.upperBound
                while last < text.count, isSpace(last, text) {
                    last += UTF8Text.character(in: text, at: last).byteCount
                }
                range = range.lowerBound..<last
            }
            if end < range.lowerBound { try body((nil, end..<range.lowerBound)) }
            try body((token.identifier, range))
            end = range.upperBound
        }
        if end < text.count { try body((nil, end..<text.count)) }
    }

    private static func isWord(_ index: Int, _ text: Span<UInt8>) -> Bool {
        CharacterClasses.shared[UTF8Text.character(in: text, at: index).scalar].contains(.word)
    }

    private static func isSpace(_ index: Int, _ text: Span<UInt8>) -> Bool {
        CharacterClasses.shared[UTF8Text.character(in: text, at: index).scalar].contains(.space)
    }
}

/// Finds the first of several texts, and of those that begin at one place the longest.
private struct TokenFinder: Sendable {
    private let tokens: [AddedToken]
    private var trie = ByteTrie()
    private var begins = [Bool](repeating: false, count: 256)

    /// nil where there is nothing to find.
    init?(_ texts: [(text: [UInt8], token: AddedToken)]) {
        let texts = texts.filter { !$0.text.isEmpty }
        guard !texts.isEmpty else { return nil }
        tokens = texts.map(\.token)
        for (index, entry) in texts.enumerated() {
            trie.insert(entry.text, Int32(index))
            begins[Int(entry.text[0])] = true
        }
    }

    func forEachMatch(
        in text: Span<UInt8>, _ body: (AddedToken, Range<Int>) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        var index = 0
        while index < text.count {
            guard begins[Int(text[unchecked: index])] else {
                index += 1
                continue
            }
            if let found = trie.longest(from: index, in: text) {
                try body(tokens[Int(found.value)], index..<found.end)
                index = found.end
            } else {
                index += 1
            }
        }
    }
}
