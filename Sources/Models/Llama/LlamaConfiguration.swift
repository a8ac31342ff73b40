import Configuration
import Kernels
import Layers

/// The shape of a Llama, and of its relatives: Mistral has a sliding window, Qwen2 biases on queries, keys and values,
/// Qwen3 a norm over each head of queries and keys.
public struct LlamaConfiguration: Hashable, Sendable {
    /// Symbols; nil takes the tokenizer's.
    public var vocabulary: Int?
    public var contextLength: Int
    public var layers: Int
    public var heads: Int
    /// Heads of keys and values, each of which serves `heads` / `keyHeads` queries.
    public var keyHeads: Int
    public var width: Int
    public var headDimension: Int
    /// Inner width of the gated feed-forward network.
    public var inner: Int
    public var activation: Activation = .silu
    public var dropout: Double = 0
    /// ε of the norms.
    public var epsilon: Double = 1e-5
    /// Whether queries, keys and values have biases; the output projection has none.
    public var attentionBias = false
    /// Whether each head of queries and keys is normalised before its rotation.
    public var normalisesHeads = false
    /// Whether the output projection is the token table.
    public var tiesOutput = false
    /// Keys that a query sees, its own included; nil: all before it.
    public var window: Int?
    public var rotary = Rotary()

    /// Rotary positions, as flat as keys are.
    public struct Rotary: Hashable, Sendable {
        public enum Scaling: String, Sendable, CaseIterable {
            case none, linear, dynamic, yarn, llama3
        }

        public var base: Double = 10_000
        public var scaling = Scaling.none
        public var factor: Double = 8
        /// Tokens of the sequences that the model was first trained on.
        public var originalLength = 8192
        public var lowFactor: Double = 1
        public var highFactor: Double = 4
        public var betaFast: Double = 32
        public var betaSlow: Double = 1

        public init() {}
    }

    public init(
        vocabulary: Int? = nil, contextLength: Int, layers: Int, heads: Int, width: Int,
        keyHeads: Int? = nil, inner: Int? = nil
    ) {
        (self.vocabulary, self.contextLength, self.layers) = (vocabulary, contextLength, layers)
        (self.heads, self.keyHeads, self.width) = (heads, keyHeads ?? heads, width)
        headDimension = width / max(1, heads)
        self.inner = inner ?? LlamaConfiguration.standardInner(width)
    }

    /// Two thirds of 4·width, since the gated network has three matrices, rounded up to whole 64s (Touvron et al. 2023).
    private static func standardInner(_ width: Int) -> Int { (8 * width / 3 + 63) / 64 * 64 }
}

extension LlamaConfiguration: ModelShape {
    public init() { self.init(contextLength: 0, layers: 0, heads: 0, width: 0, inner: 0) }

    public static var keys: [Key<Self>] {
        [
            .layers(\.layers), .heads(\.heads),
            Key(
                "model.key_heads", \.keyHeads, .integer(1...65_536),
                .derived("`model.heads`", { $0.keyHeads = $0.heads }), resume: .never,
                "Heads of keys and values; divides `model.heads`."),
            .width(\.width),
            Key(
                "model.head_dimension", \.headDimension, .integer(2...65_536),
                .derived(
                    "`model.width` / `model.heads`",
                    { $0.headDimension = $0.width / max(1, $0.heads) }
                ), resume: .never, "Features of a head; an even number."),
            .contextLength(\.contextLength), .dropout(\.dropout), .vocabulary,
            .feedForward(\.inner, "8/3 · `model.width`, rounded up to a multiple of 64") {
                $0.inner = standardInner($0.width)
            },
            Key(
                "model.activation", \.activation, .choice, resume: .never,
                "Activation of the gate: `silu` makes it SwiGLU, the forms of GELU GeGLU."),
            .normEpsilon(\.epsilon),
            Key(
                "model.attention_bias", \.attentionBias, .boolean, resume: .never,
                "Whether queries, keys and values have biases (Qwen2)."),
            Key(
                "model.head_norm", \.normalisesHeads, .boolean, resume: .never,
                "Whether each head of queries and keys is normalised before its rotation (Qwen3)."),
            .tiedOutput(\.tiesOutput),
            Key(
                "model.window", \.window, .automatic(.integer(1...16_777_216)), resume: .never,
                "Keys that a query sees, its own included (Mistral); `auto`: all before it."),
        ] + rotaryKeys
    }

    private static var rotaryKeys: [Key<Self>] {
        [
            .rotaryBase(\.rotary.base),
            Key(
                "model.rotary_scaling", \.rotary.scaling, .choice, resume: .never,
                "How frequencies are scaled for contexts beyond those of the first training; dynamic goes by `model.context_length`, not by the length of a text."
            ),
            Key(
                "model.rotary_factor", \.rotary.factor,
                .number(from: .including(1), to: .including(1e6)), resume: .never,
                "Factor of that scaling."),
            Key(
                "model.rotary_original_length", \.rotary.originalLength, .integer(1...16_777_216),
                resume: .never, "Context of the first training, for dynamic, yarn and llama3."),
            Key(
                "model.rotary_low_factor", \.rotary.lowFactor,
                .number(from: .excluding(0), to: .including(1e6)), resume: .never,
                "Of llama3: wavelengths above the original length over it are scaled."),
            Key(
                "model.rotary_high_factor", \.rotary.highFactor,
                .number(from: .excluding(0), to: .including(1e6)), resume: .never,
                "Of llama3: wavelengths below the original length over it are kept."),
            Key(
                "model.rotary_beta_fast", \.rotary.betaFast,
                .number(from: .excluding(0), to: .including(1e6)), resume: .never,
                "Of yarn: pairs that turn more often over the original length are kept."),
            Key(
                "model.rotary_beta_slow", \.rotary.betaSlow,
                .number(from: .excluding(0), to: .including(1e6)), resume: .never,
                "Of yarn: pairs that turn less often over it are scaled."),
        ]
    }

    public static var checks: [KeyCheck<ShapeInRun<Self>>] {
        [
            KeyCheck(["model.key_heads", "model.heads"]) { run in
                let (keys, heads) = (run.shape.keyHeads, run.shape.heads)
                guard !heads.isMultiple(of: keys) else { return nil }
                return "expected a divisor of model.heads (\(heads)), found \(keys)"
            },
            KeyCheck(["model.head_dimension", "model.width", "model.heads"]) { run in
                let dimension = run.shape.headDimension
                guard !dimension.isMultiple(of: 2) || dimension == 0 else { return nil }
                return
                    "expected an even number, since features turn in pairs, found \(dimension)"
            },
            KeyCheck(["model.rotary_high_factor", "model.rotary_low_factor"]) { run in
                let rotary = run.shape.rotary
                guard rotary.highFactor <= rotary.lowFactor else { return nil }
                return "expected more than model.rotary_low_factor, found \(rotary.highFactor)"
            },
        ]
            + KeyCheck.dropoutLimits(\.dropout, length: \.contextLength, heads: \.heads)
            + [
                .tensorDivides(\.keyHeads, "model.key_heads"),
                .tensorFits(\.inner, "model.feed_forward", besides: ["model.width"]),
                .tensorFitsVocabulary(),
            ]
    }

    public var sample: SampleShape { .tokens(contextLength) }

    public func makeModel(_ build: Build) -> any Model {
        Llama(self, numerics: build.numerics, recompute: build.recompute)
    }

    /// The same as layers have it.
    var rotaryPositions: RotaryConfiguration {
        let scaling: RotaryConfiguration.Scaling =
            switch rotary.scaling {
            case .none: .none
            case .linear: .linear(factor: rotary.factor)
            case .dynamic: .dynamic(factor: rotary.factor, original: rotary.originalLength)
            case .yarn:
                .yarn(yarn)
            case .llama3:
                .llama3(
                    .init(
                        factor: rotary.factor, lowFactor: rotary.lowFactor,
                        highFactor: rotary.highFactor, original: rotary.originalLength))
            }
        return RotaryConfiguration(
            base: rotary.base, rotaryDimension: headDimension, scaling: scaling)
    }

    private var yarn: RotaryConfiguration.YaRN {
        var yarn = RotaryConfiguration.YaRN(
            factor: rotary.factor, original: rotary.originalLength)
        (yarn.betaFast, yarn.betaSlow) = (rotary.betaFast, rotary.betaSlow)
        return yarn
    }
}
