// A tokenizer as the Hugging Face library describes it: added tokens are found, the text between them is normalized, cut
// into pieces and told by a model's tokens; templates add what a model wants around them; decoders make text again.

import Files

/// What tells a piece by tokens.
enum TokenModel: Sendable {
    case bytePair(BytePairEncoding)
    case wordPiece(WordPiece)
    case unigram(Unigram)
    case wordLevel(WordLevel)

    var vocabulary: TokenVocabulary {
        switch self {
        case .bytePair(let model): model.vocabulary
        case .wordPiece(let model): model.vocabulary
        case .unigram(let model): model.vocabulary
        case .wordLevel(let model): model.vocabulary
        }
    }
}

/// A tokenizer that was read from a `tokenizer.json`, or put together.
public final class TokenizerPipeline: Sendable {
    package let addedTokens: [AddedToken]
    let added: AddedTokens
    let normalizer: Normalizer?
    let preTokenizer: PreTokenizer?
    let model: TokenModel
    let postProcessor: PostProcessor?
    let decoder: TokenDecoder?
    let truncation: Truncation?
    package let padding: Padding?
    /// The file in its canonical spelling, which `digest` is of.
    package let canonicalJSON: [UInt8]
    /// SHA-256 of `canonicalJSON`.
    public let digest: [UInt8]
    let plan: EncodingPlan
    /// What the template puts around a single text; nil where it has no one place for it.
    let surroundings: Surroundings?
    /// Of each token of the model; empty where nobody takes spaces out of offsets.
    private let spaceCounts: [Encoding.SpaceCount]

    init(
        addedTokens: [AddedToken], normalizer: Normalizer?, preTokenizer: PreTokenizer?,
        model: TokenModel, postProcessor: PostProcessor?, decoder: TokenDecoder?,
        truncation: Truncation?, padding: Padding?, canonicalJSON: [UInt8]
    ) throws(TokenizerError) {
        (self.normalizer, self.preTokenizer, self.model) = (normalizer, preTokenizer, model)
        (self.postProcessor, self.decoder) = (postProcessor, decoder)
        (self.truncation, self.padding, self.canonicalJSON) = (truncation, padding, canonicalJSON)
        digest = SHA256.digest(of: canonicalJSON)
        self.addedTokens = addedTokens
        added = try AddedTokens(addedTokens, normalizer: normalizer)
        plan = EncodingPlan(preTokenizer: preTokenizer, model: model)
        surroundings = postProcessor.map(\.surroundings) ?? Surroundings()
        let vocabulary = model.vocabulary
        spaceCounts =
            postProcessor?.trimsSpaces == true
            ? (0..<Int32(vocabulary.endIdentifier)).map { identifier in
                let text = vocabulary.text(identifier).map { Array($0) } ?? []
                return Encoding.SpaceCount(of: text.span)
            } : []
    }

    /// White space at the ends of a token of the model.
    func spaces(_ identifier: Int32) -> Encoding.SpaceCount {
        spaceCounts.indices.contains(Int(identifier))
            ? spaceCounts[Int(identifier)] : Encoding.SpaceCount()
    }

    /// Whether how a text is cut depends on where its first byte comes from.
    var needsAlignment: Bool { normalizer != nil && preTokenizer?.asksForFirst == true }

    /// Token numbers are 0 ..< `vocabularySize`; some may have no token.
    public var vocabularySize: Int {
        let largestAdded = addedTokens.map { Int($0.identifier) + 1 }.max() ?? 0
        return max(model.vocabulary.endIdentifier, largestAdded)
    }

    /// The number of the token that is written so.
    public func identifier(of text: String) -> Int32? {
        let bytes = Array(text.utf8)
        return addedTokens.last { $0.content == bytes }?.identifier ?? model.vocabulary[bytes]
    }

    /// How the token is written in the file.
    package func text(of identifier: Int32) -> [UInt8]? {
        added.byIdentifier[identifier]?.content
            ?? model.vocabulary.text(identifier).map { Array($0) }
    }

}

/// How pieces are made: common tokenizers need no copies of the text.
enum EncodingPlan: Sendable {
    /// Bytes are the first symbols; words of a scanner, or the text as it is. With a space before a text that has none.
    case bytes(WordScanner?, addsPrefixSpace: Bool)
    /// The text as it is, cut before each mark that follows something else.
    case marks(before: [UInt8])
    case whole
    /// BERT's words and marks of punctuation.
    case bertWords
    /// Words between white space with a mark before each, cut before marks within.
    case markedWords([UInt8])
    case rules(PreTokenizer)

    init(preTokenizer: PreTokenizer?, model: TokenModel) {
        guard let preTokenizer else {
            let mark = SpaceMark.bytes
            if case .bytePair(let pairs) = model, pairs.mayCut(before: mark) {
                self = .marks(before: mark)
            } else {
                self = .whole
            }
            return
        }
        if case .bytePair(let pairs) = model {
            let plan = pairs.hasPlainSymbols ? EncodingPlan.bytes(preTokenizer) : nil
            self = plan ?? .rules(preTokenizer)
        } else {
            self = EncodingPlan.words(preTokenizer)
        }
    }

    /// The plan where bytes are the first symbols.
    private static func bytes(_ preTokenizer: PreTokenizer) -> EncodingPlan? {
        switch preTokenizer {
        case .byteLevel(let addsPrefixSpace, let usesPattern):
            return .bytes(usesPattern ? .gpt2 : nil, addsPrefixSpace: addsPrefixSpace)
        case .sequence(let parts) where parts.count == 2:
            guard case .split(.expression(let expression), .isolated, isInverted: false) = parts[0],
                case .byteLevel(addsPrefixSpace: false, usesPattern: false) = parts[1],
                let scanner = WordScanner(pattern: expression.source)
            else { return nil }
            return .bytes(scanner, addsPrefixSpace: false)
        default: return nil
        }
    }

    private static func words(_ preTokenizer: PreTokenizer) -> EncodingPlan {
        switch preTokenizer {
        case .bert: return .bertWords
        case .sequence(let parts) where parts.count == 2 && parts[0] == .whitespaceSplit:
            guard case .metaspace(let metaspace) = parts[1], metaspace.prepending == .always,
                metaspace.splits
            else { return .rules(preTokenizer) }
            var mark: [UInt8] = []
            UTF8Text.append(metaspace.replacement, to: &mark)
            return .markedWords(mark)
        default: return .rules(preTokenizer)
        }
    }
}

/// U+2581, which stands for a space in SentencePiece's vocabularies.
enum SpaceMark {
    static let scalar: UInt32 = 0x2581
    static let bytes: [UInt8] = [0xE2, 0x96, 0x81]
}

extension PreTokenizer {
    fileprivate var asksForFirst: Bool {
        switch self {
        case .sequence(let parts): parts.contains(where: \.asksForFirst)
        case .metaspace(let metaspace): metaspace.prepending == .first
        default: false
        }
    }
}

extension BytePairEncoding {
    /// Whether symbols are characters as they are.
    fileprivate var hasPlainSymbols: Bool { continuingPrefix.isEmpty && endSuffix.isEmpty }
}
