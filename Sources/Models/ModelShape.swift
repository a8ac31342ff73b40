import Configuration
import Kernels
import Layers

/// The shape of a model of one family, as a configuration gives it: what a family adds beside its model. Its keys
/// stand in section `model`, after `family`.
public protocol ModelShape: Hashable, Sendable {
    /// In the order of the resolved file. A key that families share has one meaning in all of them.
    static var keys: [Key<Self>] { get }
    /// Conditions between keys, its own and those of the run.
    static var checks: [KeyCheck<ShapeInRun<Self>>] { get }

    /// Before a file is read: what has no default is 0.
    init()

    /// What one sample is.
    var sample: SampleShape { get }
    /// What its head is made for.
    var objective: ObjectiveKind { get }
    /// Symbols of the texts that it reads, or classes of images; nil: those of the data.
    var vocabulary: Int? { get set }
    /// Symbols that it needs beside those of the data.
    var addedSymbols: Int { get }

    /// Fixes the symbols around sequences that were left to the tokenizer.
    mutating func settle(start: Int, begin: Int?, end: Int)

    /// A model whose weights have no memory yet. `vocabulary` is given.
    func makeModel(_ build: Build) -> any Model
}

extension ModelShape {
    public var objective: ObjectiveKind { .causalLanguageModelling }
    public var addedSymbols: Int { 0 }
    public mutating func settle(start: Int, begin: Int?, end: Int) {}

    /// Symbols, or classes of images, where the data have so many; nil where neither says.
    ///
    /// - Parameter hasAdded: whether those that are added are among the data's.
    public func symbols(ofData count: Int?, hasAdded: Bool = false) -> Int? {
        vocabulary ?? count.map { $0 + (hasAdded ? 0 : addedSymbols) }
    }
}

/// One sample as data and views know it.
public enum SampleShape: Hashable, Sendable {
    /// So many tokens.
    case tokens(Int)
    case pair(PairShape)
    case image(ImageShape)

    /// Whether its numbers are symbols of a text.
    public var isText: Bool {
        switch self {
        case .tokens, .pair: true
        case .image: false
        }
    }

    /// Positions that a model works on.
    public var positions: Int {
        switch self {
        case .tokens(let count): count
        case .pair(let pair): pair.source + pair.target
        case .image(let image): image.patches + 1
        }
    }
}

/// A sequence and what a model makes of it.
public struct PairShape: Hashable, Sendable {
    /// Tokens of each, marks included.
    public let source: Int
    public let target: Int
    /// Symbols around them; nil: what follows from the tokenizer, or none for `begin`.
    public let start: Int?
    public let begin: Int?
    public let end: Int?

    public init(source: Int, target: Int, start: Int?, begin: Int?, end: Int?) {
        (self.source, self.target) = (source, target)
        (self.start, self.begin, self.end) = (start, begin, end)
    }

    /// The symbols that sequences have around them where the tokenizer has so many, and one that ends texts or not.
    public func marks(symbols: Int, endOfText: Int?) -> (start: Int, begin: Int?, end: Int) {
        let end = end ?? endOfText ?? symbols
        return (start ?? end, begin, end)
    }
}

/// A square image that is cut into square patches.
public struct ImageShape: Hashable, Sendable {
    public let channels: Int
    /// Side of the image in pixels, a multiple of `patch`.
    public let size: Int
    /// Side of a patch.
    public let patch: Int

    public init(channels: Int, size: Int, patch: Int) {
        (self.channels, self.size, self.patch) = (channels, size, patch)
    }

    public var patches: Int {
        let side = size / max(1, patch)
        return side * side
    }

    /// Numbers of a patch.
    public var patchValues: Int { channels * patch * patch }
}

/// What a model is made with, beside its shape.
public struct Build: Sendable {
    /// S, the canonical slices of what tensor parallelism may split (docs/numerics.md).
    public var slices: Int
    public var recompute: Recompute

    public var numerics: Numerics { Numerics(slices: slices) }

    public init(slices: Int = 4, recompute: Recompute = .none) {
        (self.slices, self.recompute) = (slices, recompute)
    }
}

/// A shape and what of the run its checks look at.
public struct ShapeInRun<Shape: ModelShape>: Sendable {
    public let shape: Shape
    /// T, the ranks that hold one copy together.
    public let tensor: Int
    public let slices: Int
    /// Sequences of a step.
    public let sequences: Int

    public init(_ shape: Shape, tensor: Int, slices: Int, sequences: Int) {
        (self.shape, self.tensor) = (shape, tensor)
        (self.slices, self.sequences) = (slices, sequences)
    }
}

// MARK: Keys and checks that transformers share

extension Key where Root: ModelShape {
    public typealias Size = WritableKeyPath<Root, Int> & Sendable

    public static func layers(_ property: Size) -> Self {
        Key(
            "model.layers", property, .integer(1...10_000), .required, resume: .never,
            "Transformer blocks.")
    }

    public static func heads(_ property: Size) -> Self {
        Key(
            "model.heads", property, .integer(1...65_536), .required, resume: .never,
            "Attention heads; divides `model.width`.")
    }

    public static func width(_ property: Size) -> Self {
        Key(
            "model.width", property, .integer(1...1_048_576), .required, resume: .never,
            "Features of the residual stream.")
    }

    public static func contextLength(_ property: Size) -> Self {
        Key(
            "model.context_length", property, .integer(1...16_777_216), .required, resume: .never,
            "Tokens of a sequence.")
    }

    public static func dropout(_ property: WritableKeyPath<Root, Double> & Sendable) -> Self {
        Key(
            "model.dropout", property, .single(from: .including(0), to: .excluding(1)),
            resume: .never, "Probability that a feature is dropped.")
    }

    public static var vocabulary: Self {
        Key(
            "model.vocabulary", \.vocabulary, .automatic(.integer(1...1_073_741_824)),
            resume: .never, "Symbols; `auto`: those of the tokenizer.")
    }

    public static func activation(
        _ property: WritableKeyPath<Root, Activation> & Sendable
    ) -> Self {
        Key(
            "model.activation", property, .choice, resume: .never,
            "Activation of the feed-forward part: GELU in its tanh or its erf form.")
    }

    public static func normEpsilon(_ property: WritableKeyPath<Root, Double> & Sendable) -> Self {
        Key(
            "model.norm_epsilon", property, .single(from: .excluding(0), to: .including(1)),
            resume: .never, "Added to the mean square in norms.")
    }

    public static func tiedOutput(_ property: WritableKeyPath<Root, Bool> & Sendable) -> Self {
        Key(
            "model.tied_output", property, .boolean, resume: .never,
            "Whether the output projection is the token table.")
    }

    public static func rotaryBase(_ property: WritableKeyPath<Root, Double> & Sendable) -> Self {
        Key(
            "model.rotary_base", property, .number(from: .excluding(1), to: .including(1e12)),
            resume: .never, "θ of rotary positions.")
    }

    /// - Parameter text: the default in words, which `derive` fills in.
    public static func feedForward(
        _ property: Size, _ text: String, _ derive: @escaping @Sendable (inout Root) -> Void
    ) -> Self {
        Key(
            "model.feed_forward", property, .integer(1...16_777_216), .derived(text, derive),
            resume: .never, "Features between the two projections of a block.")
    }
}

extension KeyCheck {
    public typealias Of<Shape, Value> = KeyPath<Shape, Value> & Sendable

    /// Whole heads make up the width.
    public static func headsDivide<Shape>(
        _ width: Of<Shape, Int>, _ heads: Of<Shape, Int>
    ) -> Self where Root == ShapeInRun<Shape> {
        KeyCheck(["model.width", "model.heads"]) { run in
            let (width, heads) = (run.shape[keyPath: width], run.shape[keyPath: heads])
            guard !width.isMultiple(of: heads) else { return nil }
            return "expected a multiple of model.heads (\(heads)), found \(width)"
        }
    }

    /// Beyond these limits the counters of dropout's random numbers would come again.
    ///
    /// - Parameter name: the key that the length follows from.
    public static func dropoutLimits<Shape>(
        _ dropout: Of<Shape, Double>, length: Of<Shape, Int>,
        _ name: String = "model.context_length", heads: Of<Shape, Int>
    ) -> [Self] where Root == ShapeInRun<Shape> {
        [
            KeyCheck([name, "model.dropout"]) { run in
                let (length, limit) = (run.shape[keyPath: length], AttentionDropout.positionLimit)
                guard run.shape[keyPath: dropout] > 0, length > limit else { return nil }
                return
                    "expected at most \(limit) tokens with dropout, whose random numbers repeat beyond, "
                    + "found \(length); shorten it, or set model.dropout to 0"
            },
            KeyCheck(["batch.sequences", "model.heads", "model.dropout"]) { run in
                let heads = run.shape[keyPath: heads]
                let limit = AttentionDropout.pairLimit / heads
                guard run.shape[keyPath: dropout] > 0, run.sequences > limit else { return nil }
                return
                    "expected at most \(limit) sequences of \(heads) heads (model.heads) with dropout, "
                    + "whose random numbers repeat beyond, found \(run.sequences); lower it, or set "
                    + "model.dropout to 0"
            },
        ]
    }

    /// Ranks of the tensor dimension divide slices and heads; more ranks than there are of either do not.
    ///
    /// - Parameter name: the key of the heads that must be divided: those of keys where they are fewer.
    public static func tensorDivides<Shape>(
        _ heads: Of<Shape, Int>, _ name: String = "model.heads"
    ) -> Self where Root == ShapeInRun<Shape> {
        KeyCheck(["parallelism.tensor", "numerics.slices", name]) { run in
            let (tensor, slices, heads) = (run.tensor, run.slices, run.shape[keyPath: heads])
            var undivided: [String] = []
            if !slices.isMultiple(of: tensor) { undivided.append("numerics.slices (\(slices))") }
            if !heads.isMultiple(of: tensor) { undivided.append("\(name) (\(heads))") }
            guard !undivided.isEmpty else { return nil }
            let fitting = (1...min(slices, heads)).filter {
                slices.isMultiple(of: $0) && heads.isMultiple(of: $0)
            }
            return
                "expected a divisor of \(undivided.joined(separator: " and ")), found \(tensor); "
                + "use \(fitting.map(String.init).joined(separator: ", "))"
        }
    }

    /// No rank of the tensor dimension is without a share of an axis.
    public static func tensorFits<Shape>(
        _ extent: Of<Shape, Int>, _ name: String, besides keys: [String] = []
    ) -> Self where Root == ShapeInRun<Shape> {
        KeyCheck(["parallelism.tensor", name] + keys) { run in
            let extent = run.shape[keyPath: extent]
            guard run.tensor > extent else { return nil }
            return "expected at most \(name) (\(extent)), found \(run.tensor)"
        }
    }

    /// The same for a vocabulary that the configuration gives.
    public static func tensorFitsVocabulary<Shape>() -> Self where Root == ShapeInRun<Shape> {
        KeyCheck(["parallelism.tensor", "model.vocabulary"]) { run in
            guard let vocabulary = run.shape.vocabulary, run.tensor > vocabulary else { return nil }
            return "expected at most model.vocabulary (\(vocabulary)), found \(run.tensor)"
        }
    }
}
