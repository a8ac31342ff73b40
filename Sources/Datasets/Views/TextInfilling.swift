// The view of BART (Lewis et al. 2020, section 2.1): the sentences of a text are shuffled, spans of it each become one
// mask, and the decoder writes the text as it was.

/// What is done to a text: a pure function of the seed and the number of the sample.
///
/// Of n tokens n·rate are taken out, rounded, at least 1, in spans whose lengths are drawn from a Poisson distribution
/// until they are as many; the last is cut to fit, and they are shuffled. Each span leaves one mask, also one of length 0, which takes out
/// nothing. There are at most as many spans as tokens taken out, so that no source is longer than its text. Spans lie
/// anywhere between the tokens that stay, every arrangement being as likely; they don't overlap, and may touch.
public struct TextInfilling: WindowView, Equatable {
    public let rate: Double
    /// λ, tokens of a span in the mean.
    public let meanLength: Double
    public let mask: Int32
    /// Tokens that end a sentence: a full stop, a line feed. Several in a row end one. None: no sentence is moved.
    public let sentenceEnds: Set<Int32>
    public let marks: SequenceMarks
    public let seed: UInt64
    public let windowLength: Int
    private let lengths: PoissonTable

    /// - Parameter length: what the model reads and writes, marks included.
    public init(
        rate: Double = 0.3, meanLength: Double = 3, mask: Int32, sentenceEnds: Set<Int32>,
        marks: SequenceMarks, length: Int, seed: UInt64
    ) throws(DatasetError) {
        precondition(
            rate > 0 && rate <= 1 && meanLength > 0 && meanLength <= 100,
            "TextInfilling: a rate of \(rate), spans of \(meanLength)")
        guard length > marks.count else {
            throw DatasetError(
                .tooSmall,
                "context_length: expected at least \(marks.count + 1) for text infilling, found "
                    + "\(length)")
        }
        (self.rate, self.meanLength, self.mask) = (rate, meanLength, mask)
        (self.sentenceEnds, self.marks, self.seed) = (sentenceEnds, marks, seed)
        windowLength = length - marks.count
        lengths = PoissonTable(mean: meanLength)
    }

    public var targetCount: Int { windowLength + marks.count }

    /// The text as a model is given it, without marks.
    package func corrupt(_ tokens: [Int32], sample: Int) -> [Int32] {
        let text = shuffleSentences(tokens, sample)
        let spans = spanLengths(of: text.count, sample)
        let draws = Draws(seed: seed, purpose: .spanPlaces, sample: sample)
        let kept = text.count - spans.reduce(0, +)
        var source: [Int32] = []
        var (next, span) = (0, 0)
        for isSpan in draws.selection(of: spans.count, from: kept + spans.count) {
            if isSpan {
                source.append(mask)
                next += spans[span]
                span += 1
            } else {
                source.append(text[next])
                next += 1
            }
        }
        return source
    }

    /// Tokens that each span takes out of `count`, in the order of the text.
    package func spanLengths(of count: Int, _ sample: Int) -> [Int] {
        guard count > 0 else { return [] }
        let noise = max(1, Int((Double(count) * rate).rounded()))
        let draws = Draws(seed: seed, purpose: .spanLengths, sample: sample)
        var (spans, left): ([Int], Int) = ([], noise)
        while left > 0 {
            let drawn = min(left, lengths[draws.fraction(spans.count)])
            spans.append(spans.count == noise - 1 ? left : drawn)
            left -= spans[spans.count - 1]
        }
        // The one that was cut is the last of the text no more often than any other.
        let order = Draws(seed: seed, purpose: .spanOrder, sample: sample)
        return order.shuffled(spans.count).map { spans[$0] }
    }

    private func shuffleSentences(_ tokens: [Int32], _ sample: Int) -> [Int32] {
        guard !sentenceEnds.isEmpty else { return tokens }
        var sentences: [Range<Int>] = []
        var start = 0
        for (place, token) in tokens.enumerated() where sentenceEnds.contains(token) {
            if place + 1 < tokens.count, sentenceEnds.contains(tokens[place + 1]) { continue }
            sentences.append(start..<place + 1)
            start = place + 1
        }
        if start < tokens.count { sentences.append(start..<tokens.count) }
        let draws = Draws(seed: seed, purpose: .sentences, sample: sample)
        return draws.shuffled(sentences.count).flatMap { tokens[sentences[$0]] }
    }

    public func batch(windows: [[Int32]], samples: [Int], firstSequence: Int) -> Batch {
        let pairs = zip(windows, samples).map { window, sample in
            SequencePair(
                source: marks.around(corrupt(window, sample: sample), limit: targetCount),
                target: marks.around(window, limit: targetCount))
        }
        return .sequencePairs(
            pairs, start: marks.start, sourceColumns: targetCount, targetColumns: targetCount,
            firstSequence: firstSequence)
    }

    public func blank(rows: Int) -> Batch {
        .blankSequencePairs(rows: rows, sourceColumns: targetCount, targetColumns: targetCount)
    }
}

/// Turns a fraction into a number of a Poisson distribution, by additions, products and comparisons alone: these have
/// the same bits on every machine, an exponential need not.
struct PoissonTable: Sendable, Equatable {
    /// Σ λⁱ/i! up to and including each number.
    private let sums: [Double]

    init(mean: Double) {
        var (sums, term): ([Double], Double) = ([1], 1)
        repeat {
            term *= mean / Double(sums.count)
            sums.append(sums[sums.count - 1] + term)
        } while sums[sums.count - 1] > sums[sums.count - 2] || Double(sums.count) < mean
        self.sums = sums
    }

    /// The least number at or below which more than `fraction` of the distribution lies.
    subscript(fraction: Double) -> Int {
        let sum = fraction * sums[sums.count - 1]
        return sums.firstIndex { $0 > sum } ?? sums.count - 1
    }
}
