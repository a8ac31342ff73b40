// What views put around texts, by the tokenizer that a corpus has.

extension InstructionView {
    /// Conversations in T tokens, each response closed by the token that ends a text.
    public init(length: Int, tokenizer: Tokenizer) {
        self.init(
            length: length, begin: tokenizer.templateBegin,
            end: tokenizer.endOfText.map { Int32($0) })
    }
}

extension LabelledView {
    /// Texts in T tokens between what BERT puts around them, or what begins and ends a text.
    public init(length: Int, classes: Int, tokenizer: Tokenizer) {
        self.init(
            length: length, classes: classes,
            begin: tokenizer.classifierToken ?? tokenizer.templateBegin,
            end: tokenizer.separatorToken ?? tokenizer.endOfText.map { Int32($0) })
    }
}

extension Tokenizer {
    /// What the tokenizer's own template begins texts with, where it is one token.
    fileprivate var templateBegin: Int32? {
        guard case .pipeline(let tokenizer) = self, tokenizer.head.count == 1 else { return nil }
        return tokenizer.head[0]
    }

    fileprivate var classifierToken: Int32? {
        guard case .pipeline(let tokenizer) = self else { return nil }
        return tokenizer.classifier
    }

    fileprivate var separatorToken: Int32? {
        guard case .pipeline(let tokenizer) = self else { return nil }
        return tokenizer.separator
    }
}
