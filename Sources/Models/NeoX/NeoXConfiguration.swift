import Configuration
import Kernels
import Layers

/// The shape of a GPT-NeoX.
public struct NeoXConfiguration: Hashable, Sendable {
    /// Symbols; nil takes the tokenizer's.
    public var vocabulary: Int?
    public var contextLength: Int
    public var layers: Int
    public var heads: Int
    public var width: Int
    /// Inner width of the feed-forward network.
    public var inner: Int
    public var activation: Activation = .geluErf
    public var dropout: Double = 0
    /// ε of the norms.
    public var epsilon: Double = 1e-5
    /// Part of each head that turns with its position.
    public var rotaryFraction: Double = 0.25
    public var rotaryBase: Double = 10_000
    /// Whether attention and feed-forward part read the same stream, side by side.
    public var isParallel = true
    /// Whether the attention's maps have biases.
    public var attentionBias = true
    /// Whether the output projection is the token table.
    public var tiesOutput = false

    public init(
        vocabulary: Int? = nil, contextLength: Int, layers: Int, heads: Int, width: Int,
        inner: Int? = nil
    ) {
        (self.vocabulary, self.contextLength, self.layers) = (vocabulary, contextLength, layers)
        (self.heads, self.width, self.inner) = (heads, width, inner ?? 4 * width)
    }

    /// Features of a head that turn, in pairs.
    var rotaryDimension: Int { Int(Double(width / max(1, heads)) * rotaryFraction) }
}

extension NeoXConfiguration: ModelShape {
    public init() { self.init(contextLength: 0, layers: 0, heads: 0, width: 0) }

    public static var keys: [Key<Self>] {
        [
            .layers(\.layers), .heads(\.heads), .width(\.width), .contextLength(\.contextLength),
            .dropout(\.dropout), .vocabulary,
            .feedForward(\.inner, "4 · `model.width`") { $0.inner = 4 * $0.width },
            .activation(\.activation),
            .normEpsilon(\.epsilon),
            Key(
                "model.attention_bias", \.attentionBias, .boolean, resume: .never,
                "Whether the attention's maps have biases."),
            .tiedOutput(\.tiesOutput),
            Key(
                "model.parallel_residual", \.isParallel, .boolean, resume: .never,
                "Whether attention and feed-forward part read the same stream, side by side."),
            Key(
                "model.rotary_fraction", \.rotaryFraction,
                .number(from: .excluding(0), to: .including(1)), resume: .never,
                "Part of each head that turns with its position."),
            .rotaryBase(\.rotaryBase),
        ]
    }

    public static var checks: [KeyCheck<ShapeInRun<Self>>] {
        [
            .headsDivide(\.width, \.heads),
            KeyCheck(["model.rotary_fraction", "model.width", "model.heads"]) { run in
                let (turning, head) = (
                    run.shape.rotaryDimension, run.shape.width / run.shape.heads
                )
                guard turning == 0 || !turning.isMultiple(of: 2) else { return nil }
                return
                    "expected an even number of a head's \(head) features, since features turn in pairs, "
                    + "found \(turning)"
            },
        ]
            + KeyCheck.dropoutLimits(\.dropout, length: \.contextLength, heads: \.heads)
            + [
                .tensorDivides(\.heads),
                .tensorFits(\.inner, "model.feed_forward", besides: ["model.width"]),
                .tensorFitsVocabulary(),
            ]
    }

    public var sample: SampleShape { .tokens(contextLength) }

    public func makeModel(_ build: Build) -> any Model {
        NeoX(self, numerics: build.numerics, recompute: build.recompute)
    }
}
