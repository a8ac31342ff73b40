// What a search is asked for: how wide, how long, what is forbidden or forced, how hypotheses are
// scored, and when it is over. Names and meanings follow `generate` of transformers where it has
// them.

import Foundation

/// What divides the log-probability of a hypothesis, that long ones are not worse by their length
/// alone.
public enum LengthPenalty: Sendable, Hashable {
    /// length^α, as in transformers: α = 0 leaves the sum, 1 makes it a mean.
    case power(Double)
    /// ((5 + length) / 6)^α (Wu et al. 2016, equation 14).
    case wu(Double)

    var exponent: Double {
        switch self {
        case .power(let exponent), .wu(let exponent): exponent
        }
    }

    /// - Parameter length: generated tokens, the end among them.
    public func divisor(length: Int) -> Float {
        switch self {
        case .power(let exponent): Float(pow(Double(length), exponent))
        case .wu(let exponent): Float(pow(Double(5 + length) / 6, exponent))
        }
    }
}

/// When a source with as many finished hypotheses as beams needs no further step.
public enum EarlyStopping: String, Sendable, Hashable, CaseIterable {
    /// At once: `True` in transformers.
    case firstFinished = "true"
    /// When the best running hypothesis, had it ended now, is not better than the worst finished
    /// one: `False` in transformers. Under a positive length penalty a longer one might still have
    /// won.
    case heuristic = "false"
    /// When no running hypothesis can become better than the worst finished one: of a positive
    /// length penalty, even if it cost nothing more up to the greatest length.
    case never = "never"
}

/// What a search does; the same for all sources of a batch.
public struct BeamOptions: Sendable, Hashable {
    /// Hypotheses that are followed at once; 1: greedy, which ends at the first end token.
    public var beams = 4
    /// Hypotheses that are returned, at most `beams`.
    public var results = 1
    public var lengthPenalty = LengthPenalty.power(1)
    public var earlyStopping = EarlyStopping.heuristic
    /// β of Wu et al. 2016, equation 14: a finished hypothesis gets β·Σᵢ log min(Σⱼ pᵢⱼ, 1), with
    /// pᵢⱼ the attention of its token j to place i of the source. 0: none.
    public var coveragePenalty: Float = 0
    /// Generated tokens before the end token, at least.
    public var minimumLength = 0
    /// Generated tokens, the end token among them, at most; a source may have its own limit.
    public var maximumLength = 20
    /// No n tokens in a row come twice, the start token counted; 0: they may.
    public var noRepeatNgram = 0
    /// Log-probabilities (greedy: logits) of tokens in the text, the start token counted, are
    /// multiplied by it where they are negative, else divided (Keskar et al. 2019); 1: no penalty.
    public var repetitionPenalty: Float = 1
    /// The first generated token, at no cost, as a language's in mBART.
    public var forcedFirst: Int32?
    /// The token at the greatest length, at no cost, as the end in BART.
    public var forcedLast: Int32?
    /// The token before the first generated one: `decoder_start_token_id`.
    public var start: Int32
    /// Tokens that end a hypothesis; they are part of it.
    public var ends: [Int32]
    /// Tokens that are never generated unless forced, as padding in Marian. Ends are not
    /// suppressed.
    public var suppressed: [Int32] = []
    /// Groups of `beams / groups` beams, each kept from the tokens of those before it (Vijayakumar
    /// et al. 2016).
    public var groups = 1
    /// λ of diverse beam search: a token's worth in a group's choice falls by it for each
    /// hypothesis that an earlier group continues or ends with the same token at this step. Scores
    /// stay those of the model.
    public var diversityPenalty: Float = 0

    public init(beams: Int = 4, start: Int32, ends: [Int32]) {
        (self.beams, self.start, self.ends) = (beams, start, ends)
    }

    /// Beams of a group.
    var width: Int { beams / groups }

    var isGreedy: Bool { beams == 1 }

    /// The score of a finished hypothesis without its coverage.
    ///
    /// - Parameter length: generated tokens, the end among them.
    public func score(logProbability: Float, length: Int) -> Float {
        logProbability / lengthPenalty.divisor(length: length)
    }

    /// Finds the first option that has no meaning.
    public func validate(vocabulary: Int) throws(BeamOptionsError) {
        func require(_ isTrue: Bool, _ message: String) throws(BeamOptionsError) {
            guard isTrue else { throw BeamOptionsError(message) }
        }
        func isToken(_ token: Int32) -> Bool { token >= 0 && Int(token) < vocabulary }
        try require(beams >= 1, "beams: expected at least 1, got \(beams)")
        try require(
            (1...beams).contains(results),
            "results: expected from 1 to the \(beams) beams, got \(results)")
        try require(
            groups >= 1 && beams % max(1, groups) == 0,
            "groups: expected a divisor of the \(beams) beams, got \(groups)")
        try require(
            lengthPenalty.exponent.isFinite, "length penalty: expected a finite exponent")
        try require(maximumLength >= 1, "maximum length: expected at least 1, got \(maximumLength)")
        try require(
            minimumLength >= 0, "minimum length: expected no negative number, got \(minimumLength)")
        try require(
            noRepeatNgram >= 0,
            "no-repeat n-gram: expected no negative number, got \(noRepeatNgram)")
        try require(
            repetitionPenalty > 0 && repetitionPenalty.isFinite,
            "repetition penalty: expected a positive number, got \(repetitionPenalty)")
        try require(
            coveragePenalty >= 0 && coveragePenalty.isFinite,
            "coverage penalty: expected no negative number, got \(coveragePenalty)")
        try require(
            diversityPenalty >= 0 && diversityPenalty.isFinite,
            "diversity penalty: expected no negative number, got \(diversityPenalty)")
        let generated = ends + suppressed + [forcedFirst, forcedLast].compactMap { $0 }
        for token in generated {
            try require(isToken(token), "token \(token) is not among the \(vocabulary) tokens")
        }
    }
}

/// An option that has no meaning.
public struct BeamOptionsError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}
