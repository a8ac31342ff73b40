/// WordPiece (BERT): of a word the longest token that it begins with, then the longest that continues it, to its end; a
/// word that cannot be told so is unknown as a whole.
struct WordPiece: Sendable {
    let vocabulary: TokenVocabulary
    let unknown: Int32
    let continuingPrefix: [UInt8]
    /// Characters of a word; longer ones are unknown.
    let longestWord: Int
    private let trie: ByteTrie
    /// Where tokens that continue a word begin; nil where there are none.
    private let continuation: Int32?

    init(
        vocabulary: TokenVocabulary, unknown: [UInt8], continuingPrefix: [UInt8], longestWord: Int,
        name: String
    ) throws(TokenizerError) {
        guard let identifier = vocabulary[unknown] else {
            throw TokenizerError(
                .corrupt,
                "\(name): model.unk_token: expected a token of the vocabulary, found "
                    + JSONNode.string(unknown).summary)
        }
        self.vocabulary = vocabulary
        (self.unknown, self.continuingPrefix) = (identifier, continuingPrefix)
        self.longestWord = longestWord
        var trie = ByteTrie(minimumCapacity: vocabulary.endIdentifier)
        for entry in vocabulary.entries { trie.insert(entry.text, vocabulary[entry.text]!) }
        self.trie = trie
        continuation = trie.node(continuingPrefix)
    }

    /// Calls `body` with each token of `word`, which is not empty, and where it ends in it.
    @inline(__always)
    func encode(_ word: Span<UInt8>, _ body: (_ token: Int32, _ end: Int) -> Void) {
        if word.count > longestWord, UTF8Text.count(word) > longestWord {
            return body(unknown, word.count)
        }
        var start = 0
        var tokens: [(Int32, Int)] = []
        while start < word.count {
            guard let node = start == 0 ? ByteTrie.root : continuation,
                let found = trie.longest(from: start, in: word, at: node)
            else { return body(unknown, word.count) }
            tokens.append(found)
            start = found.end
        }
        for (token, end) in tokens { body(token, end) }
    }
}

/// One token a piece.
struct WordLevel: Sendable {
    let vocabulary: TokenVocabulary
    /// nil where the vocabulary has none: a word that it lacks is an error then.
    let unknown: Int32?
    let unknownText: [UInt8]
}
