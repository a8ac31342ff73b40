import Configuration
import Kernels
import Layers

/// The shape of a GPT: the first (Radford et al. 2018), GPT-2 (2019), GPT-3 (Brown et al. 2020) with all of its
/// attention dense.
public struct GPTConfiguration: Hashable, Sendable {
    /// Symbols; nil takes the tokenizer's.
    public var vocabulary: Int?
    public var contextLength: Int
    public var layers: Int
    public var heads: Int
    public var width: Int
    /// Inner width of the feed-forward network.
    public var inner: Int
    public var activation: Activation = .geluTanh
    /// The probability that an element of an embedding, a sub-layer's output or an attention
    /// probability is dropped.
    public var dropout: Double = 0
    /// Where a norm stands.
    public var normPosition = NormPosition.pre

    public enum NormPosition: String, Sendable, CaseIterable {
        /// Before each sub-layer, and one after all blocks (GPT-2, GPT-3).
        case pre
        /// After each sub-layer's residual sum (GPT).
        case post
    }

    public init(
        vocabulary: Int? = nil, contextLength: Int, layers: Int, heads: Int, width: Int,
        inner: Int? = nil
    ) {
        (self.vocabulary, self.contextLength, self.layers, self.heads, self.width) =
            (vocabulary, contextLength, layers, heads, width)
        self.inner = inner ?? 4 * width
    }
}

extension GPTConfiguration: ModelShape {
    public init() { self.init(contextLength: 0, layers: 0, heads: 0, width: 0) }

    public static var keys: [Key<Self>] {
        [
            .layers(\.layers), .heads(\.heads), .width(\.width), .contextLength(\.contextLength),
            .dropout(\.dropout), .vocabulary,
            .activation(\.activation),
            .feedForward(\.inner, "4 · `model.width`") { $0.inner = 4 * $0.width },
            Key(
                "model.norm_position", \.normPosition, .choice, resume: .never,
                "Whether norms stand before sub-layers, as in GPT-2 and GPT-3, or after them, as in the first GPT."
            ),
        ]
    }

    public static var checks: [KeyCheck<ShapeInRun<Self>>] {
        [.headsDivide(\.width, \.heads)]
            + KeyCheck.dropoutLimits(\.dropout, length: \.contextLength, heads: \.heads)
            + [
                .tensorDivides(\.heads),
                .tensorFits(\.inner, "model.feed_forward", besides: ["model.width"]),
                .tensorFitsVocabulary(),
            ]
    }

    public var sample: SampleShape { .tokens(contextLength) }

    public func makeModel(_ build: Build) -> any Model {
        GPT(self, numerics: build.numerics, recompute: build.recompute)
    }
}
