// Beam search without a model: it is handed the logits of each step, and says which texts it wants
// to go on with.
//
//     var beams = Beams(sources: …, vocabulary: …, options: …)
//     while !beams.isFinished {
//         let logits = decoder(beams.alive)          // one row for each that is alive
//         cache.select(beams.advance(logits))        // rows reordered; finished sources drop out
//     }
//     beams.results(of: 0)
//
// Results are those of a source alone, whatever the batch.

/// What differs between the sources of a batch.
public struct BeamSource: Sendable, Hashable {
    /// What the generated tokens begin with (after the forced first one, if any). Each counts with
    /// its log-probability.
    public var prefix: [Int32]
    /// Its own greatest length; nil: that of the options.
    public var maximumLength: Int?

    public init(prefix: [Int32] = [], maximumLength: Int? = nil) {
        (self.prefix, self.maximumLength) = (prefix, maximumLength)
    }
}

/// The search for the best continuations of several sources at once.
public struct Beams: Sendable {
    /// A hypothesis that goes on.
    public struct Row: Sendable, Hashable {
        public var source: Int
        /// So far, the start token included. The model has seen all but the last one.
        public var tokens: [Int32]
    }

    public let options: BeamOptions
    public let vocabulary: Int
    /// Those for which a step needs logits, in order of sources; at first one a source and group.
    public private(set) var alive: [Row] = []
    /// A source's groups stand side by side.
    private var groups: [BeamGroup]

    /// - Parameters:
    ///   - vocabulary: tokens; logits behind them are not looked at.
    ///   - options: valid for that vocabulary (`BeamOptions.validate`), as are tokens of prefixes.
    public init(sources: [BeamSource], vocabulary: Int, options: BeamOptions) {
        (self.options, self.vocabulary) = (options, vocabulary)
        groups = sources.enumerated().flatMap { number, source in
            let rules = TokenRules(
                options: options, prefix: source.prefix,
                maximumLength: source.maximumLength ?? options.maximumLength)
            precondition(rules.maximumLength >= 1, "beams: expected a greatest length of 1 or more")
            precondition(
                source.prefix.allSatisfy { $0 >= 0 && Int($0) < vocabulary },
                "beams: expected a prefix of the \(vocabulary) tokens")
            return (0..<options.groups).map { _ in BeamGroup(source: number, rules: rules) }
        }
        list()
    }

    public init(sources: Int, vocabulary: Int, options: BeamOptions) {
        self.init(
            sources: Array(repeating: BeamSource(), count: sources), vocabulary: vocabulary,
            options: options)
    }

    /// Whether no source needs a further step.
    public var isFinished: Bool { alive.isEmpty }

    /// Takes a step.
    ///
    /// - Parameters:
    ///   - logits: [alive, vocabulary], or log-probabilities, of the token after each.
    ///   - attention: [alive, places of its source], probabilities over the source with which that
    ///     token is made, each row as long as its source; used by the coverage penalty alone.
    /// - Returns: for each row that is alive now the one that it continues, ascending in sources,
    ///   with which a cache of keys and values is to be reordered.
    public mutating func advance(logits: [[Float]], attention: [[Float]] = []) -> [Int] {
        precondition(
            logits.count == alive.count,
            "advance: expected logits of \(alive.count) rows, got \(logits.count)")
        let isCovering = options.coveragePenalty > 0
        precondition(
            !isCovering || attention.count == alive.count,
            "advance: expected attention of \(alive.count) rows, got \(attention.count)")
        var parents: [Int] = []
        var first = 0
        var taken: [Int32] = []
        for index in groups.indices {
            if index % options.groups == 0 { taken = [] }
            let rows = first..<first + groups[index].running.count
            first = rows.upperBound
            guard !rows.isEmpty else { continue }
            let own = groups[index].advance(
                logits[rows], isCovering ? attention[rows] : [], vocabulary: vocabulary,
                taken: taken)
            parents += own.map { rows.lowerBound + $0 }
            if options.groups > 1 { taken += groups[index].lastTokens }
        }
        list()
        return parents
    }

    private mutating func list() {
        alive = groups.flatMap { group in
            group.running.map { Row(source: group.source, tokens: $0.text) }
        }
    }

    /// Finished hypotheses of a source, the best first, at most `options.results`; of equals the
    /// one of the earlier group. A text that several groups found stands there once.
    ///
    /// There are fewer, or none, where the rules leave fewer texts.
    public func results(of source: Int) -> [Hypothesis] {
        var results: [Hypothesis] = []
        for group in groups[source * options.groups..<(source + 1) * options.groups] {
            for hypothesis in group.finished
            where !results.contains(where: { $0.tokens == hypothesis.tokens }) {
                let place = results.firstIndex { $0.score < hypothesis.score } ?? results.count
                results.insert(hypothesis, at: place)
            }
        }
        return Array(results.prefix(options.results))
    }
}
