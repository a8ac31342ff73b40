// What those who use a tokenizer ask of it beside tokens.

import Files

extension TokenizerPipeline {
    /// What the template puts before a single text.
    package var templateHead: [Int32] { postProcessor?.head ?? [] }

    /// Whether a token goes on with the word before it: it has no space before it where the model writes spaces, or
    /// has the prefix of continuations.
    package func continuesWord(_ identifier: Int32) -> Bool {
        guard added.byIdentifier[identifier] == nil, let text = model.vocabulary.text(identifier)
        else { return false }
        switch model {
        case .wordPiece(let model): return text.starts(with: model.continuingPrefix)
        case .wordLevel: return false
        case .bytePair, .unigram:
            let scalars = UTF8Text.scalars(of: Array(text))
            guard let first = scalars.first else { return false }
            let space = ByteAlphabet.scalars[0x20]
            let lineEnd = ByteAlphabet.scalars[0x0A]
            return first != SpaceMark.scalar && first != space && first != lineEnd
        }
    }
}

/// The tokens that a template puts around a single text.
struct Surroundings: Sendable, Equatable {
    var before: [Int32] = []
    var behind: [Int32] = []
}

extension PostProcessor {
    /// The tokens around a single text; nil where it has none, or several, of these places.
    var surroundings: Surroundings? {
        let parts = marked.split(separator: -1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        return Surroundings(before: Array(parts[0]), behind: Array(parts[1]))
    }

    /// The tokens before a single text, or the first of its places.
    fileprivate var head: [Int32] { Array(marked.prefix { $0 != -1 }) }

    /// What becomes of a text whose only token is -1.
    private var marked: [Int32] {
        var text = Encoding()
        text.identifiers = [-1]
        return apply(to: [text], addsSpecials: true).flatMap(\.identifiers)
    }
}

extension TextEncoder {
    /// The last place in `text`, behind byte `start`, where it may be cut in two without other tokens: behind a line
    /// feed that is the only white space between two words, so that no run of white space is cut, which words share
    /// out by what follows, and no word that goes on. nil where there is none, or this tokenizer may not be cut.
    package func lastCut(of text: [UInt8], after start: Int = 0) -> Int? {
        guard let scanner = pipeline.lineScanner else { return nil }
        let classes = CharacterClasses.shared
        func isSpace(_ index: Int) -> Bool {
            classes[UTF8Text.character(in: text.span, at: index).scalar].contains(.space)
        }
        // A character at the end may not be whole yet, and bytes may be no text at all.
        var index = text.count - 4
        while index > max(start, 1) {
            if text[index - 1] == 0x0A, text[index] & 0xC0 != 0x80,
                UTF8Text.firstFault(in: text.span.extracting(index - 2..<index + 4), from: 2)
                    .map({ $0.lowerBound > 2 }) ?? true,
                text[index - 2] < 0x80, !isSpace(index - 2), !isSpace(index),
                !scanner.goesOn(with: text[index])
            {
                return index
            }
            index -= 1
        }
        return nil
    }
}

extension TokenizerPipeline {
    /// The scanner of words where a text may be cut between lines, since they end there and nothing looks further.
    fileprivate var lineScanner: WordScanner? {
        guard case .bytes(let scanner?, addsPrefixSpace: false) = plan else { return nil }
        let isLocal =
            switch normalizer {
            case nil, .form: true
            default: false
            }
        let mayCut =
            isLocal
            && addedTokens.allSatisfy {
                !$0.stripsLeft && !$0.stripsRight && !$0.isSingleWord && !$0.content.contains(0x0A)
            }
        return mayCut ? scanner : nil
    }
}
