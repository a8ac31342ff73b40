import Configuration
import Kernels
import Layers

/// The shape of an encoder–decoder transformer (Vaswani et al. 2017), with learned positions and a norm of the embeddings
/// of a BART (Lewis et al. 2020).
public struct TransformerConfiguration: Hashable, Sendable {
    /// Where norms stand.
    public enum NormPosition: String, Sendable, CaseIterable {
        /// Before each sub-layer, and one after all blocks (Xiong et al. 2020).
        case pre
        /// After each sub-layer's residual sum.
        case post
    }

    public enum Positions: String, Sendable, CaseIterable {
        case sinusoidal, learned
    }

    /// Symbols of sources and targets; nil takes the tokenizer's, and the end where it has none.
    public var vocabulary: Int?
    /// Tokens of a source, marks included.
    public var contextLength: Int
    /// Tokens of a target.
    public var targetLength: Int
    /// Blocks of the encoder.
    public var layers: Int
    public var decoderLayers: Int
    public var heads: Int
    public var width: Int
    /// Inner width of the feed-forward networks.
    public var inner: Int
    public var activation: Activation = .relu
    /// The probability that an element of an embedding, a sub-layer's output or an attention
    /// probability is dropped.
    public var dropout: Double = 0
    public var normPosition = NormPosition.post
    public var positions = Positions.sinusoidal
    /// Whether vectors of tokens are multiplied by √width.
    public var scalesEmbedding = true
    /// Whether a norm follows the embeddings.
    public var normalisesEmbedding = false
    /// Whether sources and targets have one table.
    public var sharesEmbedding = true
    /// Whether the output projection is the targets' table.
    public var tiesOutput = true
    /// The token that ends sequences; nil: the tokenizer's, or the one after all of its.
    public var endToken: Int?
    /// What a decoder starts with; nil: `endToken`.
    public var startToken: Int?
    /// What begins sequences; nil: nothing.
    public var beginToken: Int?
    /// A symbol whose vector is not trained where it is read; nil: none.
    public var paddingToken: Int?

    public init(
        vocabulary: Int? = nil, contextLength: Int, layers: Int, heads: Int, width: Int,
        inner: Int? = nil
    ) {
        (self.vocabulary, self.contextLength, targetLength) =
            (vocabulary, contextLength, contextLength)
        (self.layers, decoderLayers, self.heads) = (layers, layers, heads)
        (self.width, self.inner) = (width, inner ?? 4 * width)
    }
}

extension TransformerConfiguration: ModelShape {
    public init() { self.init(contextLength: 0, layers: 0, heads: 0, width: 0) }

    public static var keys: [Key<Self>] {
        [
            .layers(\.layers),
            Key(
                "model.decoder_layers", \.decoderLayers, .integer(1...10_000),
                .derived("`model.layers`", { $0.decoderLayers = $0.layers }), resume: .never,
                "Blocks of the decoder; `model.layers` are the encoder's."),
            .heads(\.heads), .width(\.width), .contextLength(\.contextLength),
            Key(
                "model.target_length", \.targetLength, .integer(1...16_777_216),
                .derived("`model.context_length`", { $0.targetLength = $0.contextLength }),
                resume: .never, "Tokens of a target; `model.context_length` are a source's."),
            .dropout(\.dropout), .vocabulary, .activation(\.activation),
            .feedForward(\.inner, "4 · `model.width`") { $0.inner = 4 * $0.width },
        ] + arrangementKeys + tokenKeys
    }

    private static var arrangementKeys: [Key<Self>] {
        [
            Key(
                "model.norm_position", \.normPosition, .choice, resume: .never,
                "Whether norms stand before sub-layers, or after them, as in the paper."),
            Key(
                "model.positions", \.positions, .choice, resume: .never,
                "Sines and cosines, or vectors that are learned."),
            Key(
                "model.scale_embedding", \.scalesEmbedding, .boolean, resume: .never,
                "Whether vectors of tokens are multiplied by √`model.width`."),
            Key(
                "model.embedding_norm", \.normalisesEmbedding, .boolean, resume: .never,
                "Whether a norm follows the embeddings, as in BART."),
            Key(
                "model.shared_embedding", \.sharesEmbedding, .boolean, resume: .never,
                "Whether sources and targets have one table."),
            .tiedOutput(\.tiesOutput),
        ]
    }

    private static var tokenKeys: [Key<Self>] {
        let symbol = ValueFormat<Int?>.automatic(.integer(0...1_073_741_823))
        return [
            Key(
                "model.end_token", \.endToken, symbol, resume: .never,
                "The symbol that ends sources and targets; `auto`: the tokenizer's, or where it has none the one after all of its."
            ),
            Key(
                "model.start_token", \.startToken, symbol, resume: .never,
                "What a decoder has before a target's first token; `auto`: `model.end_token`."),
            Key(
                "model.begin_token", \.beginToken, symbol, resume: .never,
                "The symbol that begins sources and targets; `auto`: none."),
            Key(
                "model.padding_token", \.paddingToken, symbol, resume: .never,
                "A symbol whose vector is not trained where it is read, as transformers has it of padding, which Marian's decoders start with; `auto`: none."
            ),
        ]
    }

    public static var checks: [KeyCheck<ShapeInRun<Self>>] {
        [
            .headsDivide(\.width, \.heads),
            KeyCheck(["model.width", "model.positions"]) { run in
                let shape = run.shape
                guard shape.positions == .sinusoidal, !shape.width.isMultiple(of: 2) else {
                    return nil
                }
                return "expected an even number for sines and cosines, found \(shape.width)"
            },
            lengthHolds("model.context_length", \.contextLength),
            lengthHolds("model.target_length", \.targetLength),
        ]
            + tokenChecks
            + KeyCheck.dropoutLimits(\.dropout, length: \.contextLength, heads: \.heads)
            + KeyCheck.dropoutLimits(
                \.dropout, length: \.targetLength, "model.target_length", heads: \.heads)
            + [
                .tensorDivides(\.heads),
                .tensorFits(\.inner, "model.feed_forward", besides: ["model.width"]),
                .tensorFitsVocabulary(),
            ]
    }

    /// Marks leave room for a token.
    private static func lengthHolds(
        _ key: String, _ length: KeyPath<Self, Int> & Sendable
    ) -> KeyCheck<ShapeInRun<Self>> {
        KeyCheck([key, "model.begin_token"]) { run in
            let marks = run.shape.beginToken == nil ? 1 : 2
            guard run.shape[keyPath: length] <= marks else { return nil }
            return "expected more than the \(marks) tokens around a text, found "
                + "\(run.shape[keyPath: length])"
        }
    }

    /// Symbols that are named exist.
    private static var tokenChecks: [KeyCheck<ShapeInRun<Self>>] {
        let symbols: [(String, KeyPath<Self, Int?> & Sendable)] = [
            ("model.end_token", \.endToken), ("model.start_token", \.startToken),
            ("model.begin_token", \.beginToken), ("model.padding_token", \.paddingToken),
        ]
        return symbols.map { key, path in
            KeyCheck([key, "model.vocabulary"]) { run in
                guard let symbol = run.shape[keyPath: path], let count = run.shape.vocabulary,
                    symbol >= count
                else { return nil }
                return "expected one of the model's \(count) symbols, found \(symbol)"
            }
        }
    }

    public var sample: SampleShape {
        .pair(
            PairShape(
                source: contextLength, target: targetLength, start: startToken, begin: beginToken,
                end: endToken))
    }

    public mutating func settle(start: Int, begin: Int?, end: Int) {
        (startToken, beginToken, endToken) = (start, begin, end)
    }

    public var objective: ObjectiveKind { .sequenceToSequence }
    public var addedSymbols: Int { endToken == nil ? 1 : 0 }

    public func makeModel(_ build: Build) -> any Model {
        Transformer(self, numerics: build.numerics, recompute: build.recompute)
    }
}
