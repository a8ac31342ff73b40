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

extension PostProcessor {
    /// The tokens before a single text.
    fileprivate var head: [Int32] {
        switch self {
        case .sequence(let parts): parts.reversed().flatMap(\.head)
        case .template(let template): template.head
        case .bert(_, let classifier), .roberta(_, let classifier, _): [classifier.identifier]
        case .byteLevel: []
        }
    }
}

extension TextEncoder {
    /// The last place in `text` where it may be cut in two without other tokens: behind the end of a line and before
    /// a character that is no white space, where words cannot go on. nil where there is none, or this tokenizer may not
    /// be cut.
    package func lastCut(of text: [UInt8]) -> Int? {
        guard pipeline.maysCutLines else { return nil }
        var index = text.count - 1
        while index > 0 {
            // What is not ASCII may be white space, or join the line end.
            if text[index - 1] == 0x0A, 0x21..<0x7F ~= text[index] { return index }
            index -= 1
        }
        return nil
    }
}

extension TokenizerPipeline {
    /// Whether a text may be cut between lines: words are those of a scanner, which end there, and nothing looks
    /// further.
    fileprivate var maysCutLines: Bool {
        guard case .bytes(.some, addsPrefixSpace: false) = plan else { return false }
        let isLocal =
            switch normalizer {
            case nil, .form: true
            default: false
            }
        return isLocal
            && addedTokens.allSatisfy {
                !$0.stripsLeft && !$0.stripsRight && !$0.isSingleWord && !$0.content.contains(0x0A)
            }
    }
}
