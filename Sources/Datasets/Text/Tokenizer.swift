import Files
import Foundation
import Tokenizers

/// Turns text into token ids and back.
///
/// A closed set: a further kind is a further case, and the compiler names every switch it concerns.
public enum Tokenizer: Sendable, Equatable {
    case byte(ByteTokenizer)
    case character(CharacterTokenizer)
    case pipeline(PipelineTokenizer)

    /// The kinds, as files name them.
    public enum Kind: String, Sendable, CaseIterable, Codable {
        case byte
        case character
        case pipeline
    }

    public var kind: Kind {
        switch self {
        case .byte: .byte
        case .character: .character
        case .pipeline: .pipeline
        }
    }

    /// Number of token ids, which are 0 ..< `vocabularySize`.
    public var vocabularySize: Int {
        switch self {
        case .byte: ByteTokenizer.vocabularySize
        case .character(let tokenizer): tokenizer.characters.count
        case .pipeline(let tokenizer): tokenizer.pipeline.vocabularySize
        }
    }

    /// The token that ends a text, where the tokenizer has one.
    public var endOfText: Int? {
        switch self {
        case .byte: ByteTokenizer.endOfText
        case .character: nil
        case .pipeline(let tokenizer): tokenizer.end.map { Int($0) }
        }
    }

    /// What stands before each document of a corpus: end-of-text, as llm.c does, so that the token which generation
    /// starts from has been trained; and what a template begins texts with.
    public var documentStart: [Int32] {
        switch self {
        case .byte: [Int32(ByteTokenizer.endOfText)]
        case .character: []
        case .pipeline(let tokenizer): tokenizer.documentStart
        }
    }

    /// The token that unconditional generation starts from: end-of-text; else what begins texts, or the newline; else
    /// 0.
    public var startToken: Int {
        switch self {
        case .byte: ByteTokenizer.endOfText
        case .character(let tokenizer): tokenizer.identifier(of: "\n") ?? 0
        case .pipeline(let tokenizer): Int(tokenizer.end ?? tokenizer.begin ?? 0)
        }
    }

    /// The token of its own that stands for what is masked.
    public var maskToken: Int? {
        switch self {
        case .byte, .character: nil
        case .pipeline(let tokenizer): tokenizer.mask.map { Int($0) }
        }
    }

    /// Where words begin and end: white space is between them; or tokens tell that they go on with one.
    public var wordBoundary: WordBoundary {
        switch self {
        case .byte: .separators(Set(" \t\n\u{B}\u{C}\r".utf8.map { Int32($0) }))
        case .character(let tokenizer):
            .separators(
                Set(
                    tokenizer.characters.indices.filter {
                        tokenizer.characters[$0].properties.isWhitespace
                    }.map { Int32($0) }))
        case .pipeline(let tokenizer): .continuations(tokenizer.continuations)
        }
    }

    /// The tokens of `text`, without end-of-text but for what a template adds. Fails on a character that the
    /// vocabulary lacks.
    public func encode(_ text: String) throws(DatasetError) -> [Int32] {
        switch self {
        case .byte: text.utf8.map { Int32($0) }
        case .character(let tokenizer): try tokenizer.encode(text)
        case .pipeline(let tokenizer): try tokenizer.encode(text)
        }
    }

    /// The text of tokens that come one by one behind `prompt`.
    public func textStream(after prompt: [Int32]) -> TokenTextStream {
        TokenTextStream(self, after: prompt)
    }

    /// The text of `tokens`; what is no text (half a character, an id that the vocabulary lacks) becomes
    /// U+FFFD, and end-of-text becomes nothing.
    public func decode(_ tokens: some Sequence<Int32>) -> String {
        String(decoding: bytes(of: tokens), as: UTF8.self)
    }

    /// The UTF-8 bytes of `tokens`: what can be written token by token, where a character of text may be
    /// cut between two tokens.
    public func bytes(of tokens: some Sequence<Int32>) -> [UInt8] {
        switch self {
        case .byte: ByteTokenizer.bytes(of: tokens)
        case .character(let tokenizer): tokenizer.bytes(of: tokens)
        case .pipeline(let tokenizer): tokenizer.bytes(of: tokens)
        }
    }

    /// SHA-256 of the canonical form: the line `murmuration tokenizer 1 <kind>`, then, at character level,
    /// each scalar as a little-endian 32-bit integer; of a pipeline that of its canonical JSON. 64 lower-case
    /// hexadecimal digits.
    public var digest: String { digestBytes.hexadecimal }

    package var digestBytes: [UInt8] {
        if case .pipeline(let tokenizer) = self { return tokenizer.pipeline.digest }
        var canonical = Array("murmuration tokenizer 1 \(kind.rawValue)\n".utf8)
        if case .character(let tokenizer) = self {
            for character in tokenizer.characters {
                canonical.append(littleEndian: character.value)
            }
        }
        return SHA256.digest(of: canonical)
    }
}

/// UTF-8 bytes as tokens, and one token more: 0–255 are the bytes, 256 is end-of-text.
///
/// End-of-text is a token of its own and no byte, so any bytes are data and round-trip.
public struct ByteTokenizer: Sendable, Equatable {
    static let endOfText = 256
    static let vocabularySize = 257

    public init() {}

    static func bytes(of tokens: some Sequence<Int32>) -> [UInt8] {
        var bytes: [UInt8] = []
        for token in tokens where token != endOfText {
            if let byte = UInt8(exactly: token) {
                bytes.append(byte)
            } else {
                bytes += Array("\u{FFFD}".utf8)
            }
        }
        return bytes
    }
}

/// The distinct Unicode scalars of a corpus as tokens, numbered in the order of their values.
public struct CharacterTokenizer: Sendable, Equatable {
    /// Strictly ascending; a token id is an index of it.
    public let characters: [Unicode.Scalar]
    /// The id of each scalar value up to the largest, −1 where the vocabulary lacks it.
    private let identifiers: [Int32]

    /// Fails unless `characters` are ascending, distinct and at least one; `name` names their file.
    init(characters: [Unicode.Scalar], name: String) throws(DatasetError) {
        guard let last = characters.last else {
            throw DatasetError(
                .corrupt, "\(name): characters: expected at least 1 character, found 0")
        }
        for (before, after) in zip(characters, characters.dropFirst()) where before >= after {
            throw DatasetError(
                .corrupt,
                "\(name): characters: expected ascending, distinct characters, found "
                    + "\(before.codePoint) before \(after.codePoint)")
        }
        var identifiers = [Int32](repeating: -1, count: Int(last.value) + 1)
        for (index, character) in characters.enumerated() {
            identifiers[Int(character.value)] = Int32(index)
        }
        (self.characters, self.identifiers) = (characters, identifiers)
    }

    func identifier(of character: Unicode.Scalar) -> Int? {
        let identifier = rawIdentifier(of: character.value)
        return identifier < 0 ? nil : Int(identifier)
    }

    /// −1 for a scalar that the vocabulary lacks.
    func rawIdentifier(of value: UInt32) -> Int32 {
        Int(value) < identifiers.count ? identifiers[Int(value)] : -1
    }

    func encode(_ text: String) throws(DatasetError) -> [Int32] {
        var tokens: [Int32] = []
        tokens.reserveCapacity(text.utf8.count)
        for character in text.unicodeScalars {
            let identifier = rawIdentifier(of: character.value)
            guard identifier >= 0 else {
                throw unknown(character, "text, character \(tokens.count)")
            }
            tokens.append(identifier)
        }
        return tokens
    }

    func unknown(_ character: Unicode.Scalar, _ place: String) -> DatasetError {
        DatasetError(
            .invalidText,
            "\(place): expected one of the tokenizer's \(characters.count) characters, found "
                + character.codePoint)
    }

    func bytes(of tokens: some Sequence<Int32>) -> [UInt8] {
        var text = String.UnicodeScalarView()
        for token in tokens {
            let isKnown = token >= 0 && Int(token) < characters.count
            text.append(isKnown ? characters[Int(token)] : "\u{FFFD}")
        }
        return Array(String(text).utf8)
    }
}

extension Unicode.Scalar {
    /// The scalar for a message: `U+00E9 "é"`.
    var codePoint: String {
        let digits = String(value, radix: 16, uppercase: true)
        let padded = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        return "U+\(padded) \(String(self).debugDescription)"
    }
}
