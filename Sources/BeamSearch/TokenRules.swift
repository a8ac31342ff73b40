// Which tokens may follow a text, and at what price: bans, penalties and forced tokens, in the
// order in which transformers applies them: repetition, n-grams, suppressed tokens, minimum length,
// prefix, forced first, forced last.

/// The rules for one source.
struct TokenRules: Sendable {
    let options: BeamOptions
    /// What the generated tokens begin with, after the forced first one.
    let prefix: [Int32]
    let maximumLength: Int

    /// A token that is the only one which may follow.
    struct Forced {
        var token: Int32
        /// Its log-probability counts; otherwise it is 0.
        var isPriced: Bool
    }

    /// - Parameter text: the start token and those generated.
    func forced(after text: [Int32]) -> Forced? {
        let length = text.count - 1
        if let last = options.forcedLast, length == maximumLength - 1 {
            return Forced(token: last, isPriced: false)
        }
        if let first = options.forcedFirst, length == 0 {
            return Forced(token: first, isPriced: false)
        }
        let place = options.forcedFirst == nil ? length : length - 1
        return prefix.indices.contains(place) ? Forced(token: prefix[place], isPriced: true) : nil
    }

    /// Tokens that may not follow.
    func banned(after text: [Int32]) -> Set<Int32> {
        var banned = Set(options.suppressed).subtracting(options.ends)
        if text.count - 1 < options.minimumLength { banned.formUnion(options.ends) }
        let size = options.noRepeatNgram
        guard size > 0, text.count >= size else { return banned }
        let suffix = text.suffix(size - 1)
        for start in 0...text.count - size
        where text[start..<start + size - 1].elementsEqual(suffix) {
            banned.insert(text[start + size - 1])
        }
        return banned
    }

    /// Whether the repetition penalty changes what follows.
    var isPenalising: Bool { options.repetitionPenalty != 1 }

    /// What a log-probability, or a logit, of a token that is in the text already becomes.
    func penalised(_ value: Float) -> Float {
        value < 0 ? value * options.repetitionPenalty : value / options.repetitionPenalty
    }
}
