// The view of masked language modelling (Devlin et al. 2019, section 3.1): some tokens of a window are to be
// predicted from all the others.

/// Which tokens are masked, and by what: a pure function of the seed and the number of the sample over the whole
/// run, so that a text is masked anew in every epoch.
///
/// Of n tokens max(1, rate·n), rounded, are chosen, each equally likely. Of these 80 % become the mask, 10 % any
/// symbol, and 10 % stay.
public struct Masking: Sendable {
    /// The part of the tokens that is chosen.
    public let rate: Double
    public let mask: Int32
    /// Symbols of the text; a random one is one of these.
    public let symbols: Int
    /// Where words begin and end; where it is given, whole words are chosen: in random order, each that still fits.
    public let words: WordBoundary?
    public let seed: UInt64

    public init(rate: Double, mask: Int32, symbols: Int, words: WordBoundary?, seed: UInt64) {
        precondition(
            rate > 0 && rate <= 1 && symbols > 0, "Masking: a rate of \(rate), \(symbols) symbols")
        (self.rate, self.mask, self.symbols) = (rate, mask, symbols)
        (self.words, self.seed) = (words, seed)
    }

    /// The tokens that are chosen of `count`; at most so many where words stay whole.
    public func chosen(of count: Int) -> Int { Masking.chosen(of: count, rate: rate) }

    public static func chosen(of count: Int, rate: Double) -> Int {
        count == 0 ? 0 : max(1, Int((Double(count) * rate).rounded()))
    }

    /// The places that are chosen, ascending, and what stands there now.
    func choose(_ tokens: [Int32], sample: Int) -> [(place: Int, token: Int32)] {
        let limit = chosen(of: tokens.count)
        var places: [Int] = []
        for word in parts(of: tokens).sorted(by: { order($0, sample) < order($1, sample) }) {
            if places.count + word.count <= limit { places += word }
            if places.count == limit { break }
        }
        return places.sorted().map { ($0, replacement(of: tokens[$0], sample, $0)) }
    }

    /// What is chosen together.
    private func parts(of tokens: [Int32]) -> [Range<Int>] {
        guard let words else { return tokens.indices.map { $0..<$0 + 1 } }
        var parts: [Range<Int>] = []
        for (place, token) in tokens.enumerated() {
            if let last = parts.last, words.joins(tokens[place - 1], token) {
                parts[parts.count - 1] = last.lowerBound..<place + 1
            } else {
                parts.append(place..<place + 1)
            }
        }
        return parts
    }

    /// Words in the order of random bits; of equal ones the first comes first.
    private func order(_ word: Range<Int>, _ sample: Int) -> (UInt64, Int) {
        (bits(.order, sample, word.lowerBound), word.lowerBound)
    }

    private func replacement(of token: Int32, _ sample: Int, _ place: Int) -> Int32 {
        switch CounterHash.scaled(bits(.kind, sample, place), below: 10) {
        case 0..<8: mask
        case 8: Int32(CounterHash.scaled(bits(.symbol, sample, place), below: symbols))
        default: token
        }
    }

    private func bits(_ purpose: Purpose, _ sample: Int, _ place: Int) -> UInt64 {
        CounterHash.bits(seed, purpose.rawValue, UInt64(sample), UInt64(place))
    }

    /// Keeps the draws for different purposes apart, and from those of `SampleOrder`.
    private enum Purpose: UInt64 {
        case order = 11
        case kind = 12
        case symbol = 13
    }
}

/// How tokens tell where words begin and end.
public enum WordBoundary: Sendable, Equatable {
    /// These stand between words.
    case separators(Set<Int32>)
    /// These go on with the word before them.
    case continuations(Set<Int32>)

    /// Whether `second`, behind `first`, is of the same word.
    func joins(_ first: Int32, _ second: Int32) -> Bool {
        switch self {
        case .separators(let tokens): !tokens.contains(first) && !tokens.contains(second)
        case .continuations(let tokens): tokens.contains(second)
        }
    }
}

/// Training batches of masked language modelling from token shards, in the order of `SampleOrder`, the last token of
/// whose windows is left out.
public struct MaskedBatches: BatchSource {
    public let layout: BatchLayout
    private let order: SampleOrder
    private let masking: Masking
    private let stream: TokenStream

    /// `sampleLength` is T, the model's context. Expects an epoch to hold at least one step.
    public init(
        stream: TokenStream, sampleLength: Int, layout: BatchLayout, masking: Masking
    ) throws(DatasetError) {
        let batches = try TokenBatches(
            stream: stream, sampleLength: sampleLength, layout: layout, seed: masking.seed)
        (order, self.layout) = (batches.order, layout)
        (self.masking, self.stream) = (masking, stream)
    }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let sequences = layout.sequences(ofMicroBatch: microBatch)
        return try Batch.masked(
            windows: sequences.map { order.window(ofSample: position + $0).dropLast() },
            samples: sequences.map { position + $0 }, columns: order.sampleLength,
            firstSequence: sequences.lowerBound, masking, from: stream)
    }

    public func targetWeight(position: Int) -> Double? {
        masking.words == nil
            ? Double(layout.sequences * masking.chosen(of: order.sampleLength)) : nil
    }

    public func blank(rows: Int) -> Batch {
        .blankMasked(
            rows: rows, columns: order.sampleLength,
            places: masking.chosen(of: order.sampleLength))
    }
}

/// Evaluation batches of the same over a whole split: windows start at 0, T, 2T, …; the last may be shorter and is
/// padded.
public struct MaskedEvaluationBatches: EvaluationSource {
    private let stream: TokenStream
    private let sampleLength: Int
    private let microBatch: Int
    private let masking: Masking

    /// Expects at least one token.
    public init(
        stream: TokenStream, sampleLength: Int, microBatch: Int, masking: Masking
    ) throws(DatasetError) {
        guard stream.count > 0 else {
            throw DatasetError(
                .tooSmall,
                "validation tokens: expected at least 1, found 0; use more text or a larger "
                    + "validation_fraction")
        }
        (self.stream, self.sampleLength) = (stream, sampleLength)
        (self.microBatch, self.masking) = (microBatch, masking)
    }

    private var windowCount: Int { (stream.count + sampleLength - 1) / sampleLength }

    public var batchCount: Int { (windowCount + microBatch - 1) / microBatch }

    public func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch {
        let first = index * microBatch
        let windows = first..<min(first + microBatch, windowCount)
        return try Batch.masked(
            windows: windows.map {
                $0 * sampleLength..<min(($0 + 1) * sampleLength, stream.count)
            }, samples: Array(windows), columns: sampleLength, firstSequence: first, masking,
            from: stream)
    }
}

/// Masked batches without a file, for measuring speed.
public struct SyntheticMaskedBatches: BatchSource {
    private let tokens: SyntheticBatches
    private let masking: Masking
    private let sampleLength: Int

    public init(sampleLength: Int, layout: BatchLayout, masking: Masking) {
        tokens = SyntheticBatches(
            sampleLength: sampleLength, vocabularySize: masking.symbols, layout: layout,
            seed: masking.seed)
        (self.masking, self.sampleLength) = (masking, sampleLength)
    }

    public var layout: BatchLayout { tokens.layout }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let batch = try tokens.trainingBatch(position: position, microBatch: microBatch)
        let all = batch[Batch.Name.tokens].integers
        return Batch.masked(
            rows: (0..<batch.sequences).map {
                Array(all[$0 * sampleLength..<($0 + 1) * sampleLength])
            }, samples: (0..<batch.sequences).map { position + batch.firstSequence + $0 },
            columns: sampleLength, firstSequence: batch.firstSequence, masking)
    }

    public func targetWeight(position: Int) -> Double? {
        Double(layout.sequences * masking.chosen(of: sampleLength))
    }

    public func blank(rows: Int) -> Batch {
        .blankMasked(
            rows: rows, columns: sampleLength, places: masking.chosen(of: sampleLength))
    }
}

extension Batch {
    /// Row b holds the tokens of `windows[b]`, some of which are masked. A window shorter than `columns` is padded at
    /// its end with token 0, which nothing sees.
    fileprivate static func masked(
        windows: [Range<Int>], samples: [Int], columns: Int, firstSequence: Int,
        _ masking: Masking, from stream: TokenStream
    ) throws(DatasetError) -> Batch {
        var rows: [[Int32]] = []
        for window in windows {
            var row = [Int32](repeating: 0, count: window.count)
            try stream.copy(window, into: &row)
            rows.append(row)
        }
        return masked(
            rows: rows, samples: samples, columns: columns, firstSequence: firstSequence, masking)
    }

    fileprivate static func masked(
        rows: [[Int32]], samples: [Int], columns: Int, firstSequence: Int, _ masking: Masking
    ) -> Batch {
        let count = masking.chosen(of: columns)
        var tokens: [Int32] = []
        var places = [Int32](repeating: -1, count: rows.count * count)
        var targets = [Int32](repeating: ignoredTarget, count: rows.count * count)
        var weights = [Float](repeating: 0, count: rows.count * count)
        for (index, row) in rows.enumerated() {
            var masked = row
            for (number, choice) in masking.choose(row, sample: samples[index]).enumerated() {
                let target = index * count + number
                (places[target], targets[target]) = (Int32(choice.place), row[choice.place])
                weights[target] = 1
                masked[choice.place] = choice.token
            }
            tokens += masked + [Int32](repeating: 0, count: columns - row.count)
        }
        return masked(
            tokens: tokens, lengths: rows.map { Int32($0.count) }, columns: columns,
            places: places, targets: targets, weights: weights, firstSequence: firstSequence)
    }

    /// A batch that counts nothing.
    fileprivate static func blankMasked(rows: Int, columns: Int, places: Int) -> Batch {
        masked(
            tokens: Array(repeating: 0, count: rows * columns),
            lengths: Array(repeating: Int32(columns), count: rows), columns: columns,
            places: Array(repeating: -1, count: rows * places),
            targets: Array(repeating: ignoredTarget, count: rows * places),
            weights: Array(repeating: 0, count: rows * places), firstSequence: 0)
    }

    private static func masked(
        tokens: [Int32], lengths: [Int32], columns: Int, places: [Int32], targets: [Int32],
        weights: [Float], firstSequence: Int
    ) -> Batch {
        let rows = lengths.count
        let count = places.count / max(1, rows)
        return Batch(
            fields: [
                Field(name: Name.tokens, rows: rows, columns: columns, values: tokens),
                Field(name: Name.lengths, rows: rows, extents: [], values: .integers(lengths)),
                Field(name: Name.places, rows: rows, columns: count, values: places),
                Field(name: Name.targets, rows: rows, columns: count, values: targets),
            ], weights: weights, sequences: rows, firstSequence: firstSequence)
    }
}
