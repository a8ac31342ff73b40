// How the texts of tokens become a text again: the parts that `decoder` of a tokenizer.json may name. Each makes a list of
// texts from a list; the last one is joined.

/// A rule that makes text of tokens, or several in turn.
indirect enum TokenDecoder: Sendable, Equatable {
    case sequence([TokenDecoder])
    case byteLevel
    case wordPiece(prefix: [UInt8], cleansUp: Bool)
    case metaspace(replacement: UInt32, prepends: Bool)
    /// A suffix of words becomes a space.
    case wordEnds([UInt8])
    case byteFallback
    case fuse
    case strip(UInt32, start: Int, stop: Int)
    case replace(TextPattern, with: [UInt8])

    func decode(_ tokens: [[UInt8]]) throws(TokenizerError) -> [[UInt8]] {
        switch self {
        case .sequence(let parts):
            var result = tokens
            for part in parts { result = try part.decode(result) }
            return result
        case .byteLevel:
            // A text with a character that stands for no byte is taken as it is.
            return [UTF8Text.repaired(tokens.flatMap { ByteAlphabet.bytes(of: $0) ?? $0 })]
        case .wordPiece(let prefix, let cleansUp):
            return tokens.enumerated().map { index, token in
                var text = token
                if index > 0 {
                    text =
                        token.starts(with: prefix)
                        ? Array(token.dropFirst(prefix.count)) : [0x20] + token
                }
                return cleansUp ? WordPieceCleanUp.apply(to: text) : text
            }
        case .metaspace(let replacement, let prepends):
            return tokens.enumerated().map { index, token in
                var text: [UInt8] = []
                for scalar in UTF8Text.scalars(of: token) {
                    if scalar != replacement {
                        UTF8Text.append(scalar, to: &text)
                    } else if index > 0 || !prepends {
                        text.append(0x20)
                    }
                }
                return text
            }
        case .wordEnds(let suffix):
            return tokens.enumerated().map { index, token in
                token.replacingAll(suffix, with: index == tokens.count - 1 ? [] : [0x20])
            }
        case .byteFallback: return ByteFallback.decode(tokens)
        case .fuse: return [tokens.flatMap { $0 }]
        case .strip(let scalar, let start, let stop):
            return tokens.map { TokenDecoder.strip($0, scalar, start, stop) }
        case .replace(let pattern, let content):
            var result: [[UInt8]] = []
            for token in tokens {
                var (text, end) = ([UInt8](), 0)
                for match in try pattern.matches(in: token.span) {
                    text += token[end..<match.lowerBound]
                    text += content
                    end = match.upperBound
                }
                result.append(text + token[end...])
            }
            return result
        }
    }

    private static func strip(
        _ token: [UInt8], _ scalar: UInt32, _ start: Int, _ stop: Int
    ) -> [UInt8] {
        let scalars = UTF8Text.scalars(of: token)
        let leading = scalars.prefix(start).prefix { $0 == scalar }.count
        let trailing = scalars.reversed().prefix(stop).prefix { $0 == scalar }.count
        // The library traps where the two overlap.
        var text: [UInt8] = []
        for scalar in scalars.dropFirst(leading).dropLast(min(trailing, scalars.count - leading)) {
            UTF8Text.append(scalar, to: &text)
        }
        return text
    }
}

/// Runs of tokens `<0x..>` are bytes: their text where they are UTF-8, else U+FFFD for each.
private enum ByteFallback {
    static func decode(_ tokens: [[UInt8]]) -> [[UInt8]] {
        var (result, bytes) = ([[UInt8]](), [UInt8]())
        func finish() {
            if UTF8Text.isValid(bytes) {
                if !bytes.isEmpty { result.append(bytes) }
            } else {
                result += repeatElement([0xEF, 0xBF, 0xBD], count: bytes.count)
            }
            bytes = []
        }
        for token in tokens {
            if let byte = byte(token) {
                bytes.append(byte)
            } else {
                finish()
                result.append(token)
            }
        }
        finish()
        return result
    }

    private static func byte(_ token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else {
            return nil
        }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }
}

/// Spaces that word pieces leave in English.
private enum WordPieceCleanUp {
    private static let rules: [(from: [UInt8], to: [UInt8])] = [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ].map { (Array($0.utf8), Array($1.utf8)) }

    static func apply(to text: [UInt8]) -> [UInt8] {
        guard text.contains(0x20) else { return text }
        return rules.reduce(text) { $0.replacingAll($1.from, with: $1.to) }
    }
}

extension [UInt8] {
    /// This text with `new` in the place of every `old`, which is not empty, from its beginning on.
    fileprivate func replacingAll(_ old: [UInt8], with new: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var (copied, index) = (0, 0)
        while index + old.count <= count {
            guard self[index] == old[0], self[index..<index + old.count].elementsEqual(old) else {
                index += 1
                continue
            }
            result += self[copied..<index]
            result += new
            index += old.count
            copied = index
        }
        return copied == 0 ? self : result + self[copied...]
    }
}

extension TokenizerPipeline {
    /// The text of tokens; special ones are left out where `skipsSpecials`. Numbers without a token are nothing.
    package func decode(
        _ identifiers: some Sequence<Int32>, skipsSpecials: Bool
    ) throws(TokenizerError) -> [UInt8] {
        var texts: [[UInt8]] = []
        for identifier in identifiers {
            let text: [UInt8]
            if let token = added.byIdentifier[identifier] {
                text = added.normalizedTexts[identifier] ?? token.content
            } else if let known = model.vocabulary.text(identifier) {
                text = Array(known)
            } else {
                continue
            }
            if skipsSpecials, added.specialTexts.contains(text) { continue }
            texts.append(text)
        }
        guard let decoder else { return Array(texts.joined(separator: [0x20])) }
        return try decoder.decode(texts).flatMap { $0 }
    }
}
