// The view of T5 (Raffel et al. 2020, section 3.1.4): spans of a text are taken out, each leaves a sentinel, and the
// decoder writes what was taken out, each span behind its sentinel.
//
//     text     Thank you for inviting me to your party last week .
//     source   Thank you <X> me to your party <Y> week .
//     target   <X> for inviting <Y> last <Z>

/// The tokens that stand for spans.
public struct Sentinels: Sendable, Equatable {
    public var first: Int32
    public var count: Int
    /// Whether the ids go down from the first, as T5's do, the last of its vocabulary.
    public var descends: Bool

    public init(first: Int32, count: Int, descends: Bool = true) {
        let last = Int(first) + (descends ? -1 : 1) * (count - 1)
        precondition(
            count > 0 && first >= 0 && last >= 0 && last <= Int(Int32.max),
            "Sentinels: expected ids of tokens, got \(count) from \(first) to \(last)")
        (self.first, self.count, self.descends) = (first, count, descends)
    }

    subscript(index: Int) -> Int32 {
        precondition(index < count, "Sentinels: number \(index) of \(count)")
        return descends ? first - Int32(index) : first + Int32(index)
    }
}

/// Which spans of a text are taken out: a pure function of the seed and the number of the sample.
///
/// Of n tokens n·density are noise, at least 1 and at most n − 1, in (noise / mean length) spans, at least 1, both
/// rounded to the nearest, halves to even. Kept and noisy spans alternate, a kept one first; either kind is divided at
/// random, every division into non-empty parts being as likely. So every full window has as many noisy tokens,
/// spans and targets as any other. A window of one token has no noise.
///
/// Where there is an end, it closes source and target, as in T5's own preparation; a sentinel of its own stands before
/// it where the text goes on behind the last span. Where there is none, such a sentinel always closes the target.
public struct SpanCorruption: WindowView, Equatable {
    public let density: Double
    /// Tokens of a span of noise.
    public let meanLength: Double
    public let sentinels: Sentinels
    public let marks: SequenceMarks
    public let seed: UInt64
    /// Tokens of a text that become a source of the model's length.
    public let windowLength: Int
    public let targetCount: Int
    /// Tokens of the source.
    public let sourceCount: Int

    /// - Parameters:
    ///   - sourceLength: what the model reads; the windows are as long as fits when they are corrupted (512: 568 tokens,
    ///     with targets of 114).
    ///   - marks: start and end.
    public init(
        density: Double = 0.15, meanLength: Double = 3, sentinels: Sentinels, marks: SequenceMarks,
        sourceLength: Int, seed: UInt64
    ) throws(DatasetError) {
        precondition(
            density > 0 && density < 1 && meanLength >= 1 && marks.begin == nil,
            "SpanCorruption: density \(density), spans of \(meanLength), \(marks)")
        (self.density, self.meanLength, self.seed) = (density, meanLength, seed)
        (self.sentinels, self.marks) = (sentinels, marks)
        func counts(_ length: Int) -> (source: Int, target: Int, spans: Int) {
            let (noise, spans) = SpanCorruption.counts(length, density, meanLength)
            let end = marks.end == nil ? 0 : 1
            return (length - noise + spans + end, noise + spans + 1, spans)
        }
        var length = 2
        guard counts(length).source <= sourceLength else {
            throw DatasetError(
                .tooSmall,
                "context_length: expected at least \(counts(length).source) for span corruption, "
                    + "found \(sourceLength)")
        }
        while counts(length + 1).source <= sourceLength { length += 1 }
        windowLength = length
        let spans: Int
        (sourceCount, targetCount, spans) = counts(length)
        guard spans < sentinels.count else {
            throw DatasetError(
                .mismatch,
                "sentinels: expected \(spans + 1) for sources of \(sourceLength) tokens, found "
                    + "\(sentinels.count); use longer spans, a shorter context or more sentinels")
        }
    }

    /// Tokens that are noise, and the spans they form.
    static func counts(
        _ length: Int, _ density: Double, _ meanLength: Double
    ) -> (noise: Int, spans: Int) {
        guard length > 1 else { return (0, 0) }
        let wanted = Int((Double(length) * density).rounded(.toNearestOrEven))
        let noise = min(max(wanted, 1), length - 1)
        let spans = Int((Double(noise) / meanLength).rounded(.toNearestOrEven))
        return (noise, min(max(spans, 1), length - noise))
    }

    /// Which of `length` tokens are noise.
    package func mask(length: Int, sample: Int) -> [Bool] {
        let (noise, spans) = SpanCorruption.counts(length, density, meanLength)
        guard spans > 0 else { return [Bool](repeating: false, count: length) }
        let taken = division(of: noise, into: spans, .noiseSpans, sample)
        let kept = division(of: length - noise, into: spans, .keptSpans, sample)
        return zip(kept, taken).flatMap { kept, taken in
            [Bool](repeating: false, count: kept) + [Bool](repeating: true, count: taken)
        }
    }

    /// The lengths of `parts` non-empty parts of `count`.
    private func division(
        of count: Int, into parts: Int, _ purpose: Draws.Purpose, _ sample: Int
    ) -> [Int] {
        let draws = Draws(seed: seed, purpose: purpose, sample: sample)
        var lengths = [1]
        for startsPart in draws.selection(of: parts - 1, from: count - 1) {
            if startsPart { lengths.append(1) } else { lengths[lengths.count - 1] += 1 }
        }
        return lengths
    }

    /// What becomes of a text of which `mask` tells what is noise.
    package func corrupt(
        _ tokens: [Int32], mask: [Bool]
    ) -> (source: [Int32], target: [Int32]) {
        precondition(
            tokens.count == mask.count,
            "SpanCorruption: \(tokens.count) tokens with a mask of \(mask.count)")
        var (source, target): ([Int32], [Int32]) = ([], [])
        var (spans, isNoise) = (0, false)
        for (token, isNext) in zip(tokens, mask) {
            if isNext && !isNoise {
                source.append(sentinels[spans])
                target.append(sentinels[spans])
                spans += 1
            }
            isNoise = isNext
            if isNoise { target.append(token) } else { source.append(token) }
        }
        if marks.end == nil || !isNoise { target.append(sentinels[spans]) }
        if let end = marks.end {
            source.append(end)
            target.append(end)
        }
        return (source, target)
    }

    public func batch(windows: [[Int32]], samples: [Int], firstSequence: Int) -> Batch {
        let pairs = zip(windows, samples).map { window, sample in
            let (source, target) = corrupt(
                window, mask: mask(length: window.count, sample: sample))
            return SequencePair(source: source, target: target)
        }
        return .sequencePairs(
            pairs, start: marks.start, sourceColumns: sourceCount, targetColumns: targetCount,
            firstSequence: firstSequence)
    }

    public func blank(rows: Int) -> Batch {
        .blankSequencePairs(rows: rows, sourceColumns: sourceCount, targetColumns: targetCount)
    }
}
