import Files
import Foundation

/// Turns text into token ids and back.
///
/// A closed set: a further kind is a further case, and the compiler names every switch it concerns.
public enum Tokenizer: Sendable, Equatable {
    case byte(ByteTokenizer)
    case character(CharacterTokenizer)

    /// The kinds a configuration can name.
    public enum Kind: String, Sendable, CaseIterable, Codable {
        case byte
        case character
    }

    public var kind: Kind {
        switch self {
        case .byte: .byte
        case .character: .character
        }
    }

    /// Number of token ids, which are 0 ..< `vocabularySize`.
    public var vocabularySize: Int {
        switch self {
        case .byte: ByteTokenizer.vocabularySize
        case .character(let tokenizer): tokenizer.characters.count
        }
    }

    /// The token that stands before each document, where the tokenizer has one.
    public var endOfText: Int? {
        switch self {
        case .byte: ByteTokenizer.endOfText
        case .character: nil
        }
    }

    /// The token that unconditional generation starts from: end-of-text; else the newline; else 0.
    public var startToken: Int {
        switch self {
        case .byte: ByteTokenizer.endOfText
        case .character(let tokenizer): tokenizer.identifier(of: "\n") ?? 0
        }
    }

    /// The tokens that stand between words: white space.
    public var separators: Set<Int32> {
        switch self {
        case .byte: Set(" \t\n\u{B}\u{C}\r".utf8.map { Int32($0) })
        case .character(let tokenizer):
            Set(
                tokenizer.characters.indices.filter {
                    tokenizer.characters[$0].properties.isWhitespace
                }.map { Int32($0) })
        }
    }

    /// The tokens of `text`, without end-of-text. Fails on a character that the vocabulary lacks.
    public func encode(_ text: String) throws(DatasetError) -> [Int32] {
        switch self {
        case .byte: text.utf8.map { Int32($0) }
        case .character(let tokenizer): try tokenizer.encode(text)
        }
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
        }
    }

    /// SHA-256 of the canonical form: the line `murmuration tokenizer 1 <kind>`, then, at character level,
    /// each scalar as a little-endian 32-bit integer. 64 lower-case hexadecimal digits.
    public var digest: String { digestBytes.hexadecimal }

    package var digestBytes: [UInt8] {
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
