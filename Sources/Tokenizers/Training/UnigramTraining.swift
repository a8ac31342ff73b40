// Vocabularies of the unigram language model (Kudo 2018, "Subword regularization"): more pieces than are wanted are found,
// weighted by how well they tell the corpus together, and those that matter least go, until there are few enough.

/// Trains a unigram vocabulary.
///
/// 1. Seeds: all characters, and the substrings of words with the largest count × length. A substring counts as often as the
///    words with it occur in the corpus (SentencePiece counts each distinct word once here).
/// 2. Expectation and maximization, `subIterations` steps: each piece's score is told by its expected count.
/// 3. Pruning by `shrinkingFactor`: the pieces go whose loss costs least, each told by the next best way instead. From 2 again,
///    until there are at most 1.1 times as many as wanted.
/// 4. The best scores stay, and every character.
///
/// The result has the same bits on any number of threads and on any machine: counts are summed as whole numbers, and logarithms
/// are the module's own. It takes up to 40 bytes of memory for each character of the distinct words, or else 8 and for each
/// seed about 100 and 8 a thread.
package struct UnigramTraining: Sendable {
    /// Most tokens, those of `specials` and `unknown` included. A small corpus gives fewer.
    package var vocabularySize = 8000
    /// These stand first, with score 0, in this order.
    package var specials: [[UInt8]] = []
    /// The token of what is unknown: one of `specials`, else it stands before them.
    package var unknown: [UInt8]?
    /// Most characters of a piece, up to 255.
    package var longestPiece = 16
    /// Most pieces to begin with.
    package var seedSize = 1_000_000
    /// The share of the pieces that a pruning keeps, below 1.
    package var shrinkingFactor = 0.75
    /// Steps of expectation and maximization before each pruning.
    package var subIterations = 2
    package var threads = 1

    package init() {}

    /// A vocabulary for `words`, which are distinct and UTF-8: the parts that a text is cut to before it is told by tokens. Their
    /// order does not matter. `unknown` is the number of the unknown token.
    ///
    /// Throws where there are no words, and where the vocabulary cannot hold all of their characters.
    package func train(
        _ words: [(text: [UInt8], count: Int)]
    ) throws(TokenizerError) -> (pieces: [(text: [UInt8], score: Double)], unknown: Int?) {
        precondition(
            shrinkingFactor > 0 && shrinkingFactor < 1,
            "unigram training: shrinking factor: expected between 0 and 1, got \(shrinkingFactor)")
        precondition(
            (1...FrequentSubstring.longest).contains(longestPiece),
            "unigram training: longest piece: expected 1 to \(FrequentSubstring.longest) characters, got \(longestPiece)"
        )
        precondition(
            subIterations > 0 && threads > 0,
            "unigram training: steps and threads: expected 1 or more, got \(subIterations) and \(threads)"
        )
        let lettered = try LetteredWords(words)
        var firsts = specials
        if let unknown, !specials.contains(unknown) { firsts.insert(unknown, at: 0) }
        let needed = firsts.count + lettered.alphabet.count
        guard needed <= vocabularySize else {
            throw TokenizerError(
                .untrainable,
                "unigram training: vocabulary: expected at least \(needed) tokens (characters of the words: \(lettered.alphabet.count), special tokens: \(firsts.count)), found \(vocabularySize); make it larger, or replace rare characters"
            )
        }

        var pieces = UnigramPieces(
            seedsOf: lettered, longest: longestPiece, size: seedSize, threads: threads)
        let enough = vocabularySize * 11 / 10
        while true {
            for _ in 0..<subIterations { pieces.reestimate() }
            guard pieces.count > enough else { break }
            pieces.prune(to: max(enough, Int(Double(pieces.count) * shrinkingFactor)))
        }
        return (
            firsts.map { ($0, 0) } + best(vocabularySize - firsts.count, of: pieces),
            unknown.flatMap { firsts.firstIndex(of: $0) }
        )
    }

    /// All characters and the other pieces with the best scores, `count` in all, the best first; of equal ones that with the
    /// smaller bytes. What is a special token is left out; a character that is next to never used gets the lowest score.
    private func best(
        _ count: Int, of pieces: UnigramPieces
    ) -> [(text: [UInt8], score: Double)] {
        let others = Set(specials + (unknown.map { [$0] } ?? []))
        let candidates = (0..<pieces.count).filter { !others.contains(pieces.text($0)) }
        let marks = LargestValues.marks(
            count,
            of: candidates.map { pieces.isCharacter($0) ? .infinity : pieces.score($0) })
        let chosen = zip(candidates, marks).filter(\.1).map { piece, _ in
            (piece: piece, score: max(pieces.score(piece), pieces.leastScore))
        }
        return chosen.sorted { ($1.score, $0.piece) < ($0.score, $1.piece) }
            .map { (pieces.text($0.piece), $0.score) }
    }
}
