import Configuration
import Kernels
import Layers

/// The shape of a BERT, and with other positions and another head of a RoBERTa.
public struct BERTConfiguration: Hashable, Sendable {
    /// What follows the encoder.
    public enum Head: String, Sendable, CaseIterable {
        /// A distribution over the vocabulary for each masked token.
        case maskedTokens = "masked_lm"
        /// A class for the sequence, from its first token.
        case sequences = "sequence_classification"
        /// A class for each token.
        case tokens = "token_classification"
    }

    /// Which of the two a folder of Hugging Face's takes it for; they compute the same.
    public enum Variant: String, Sendable, CaseIterable {
        case bert, roberta
    }

    /// Symbols; nil takes the tokenizer's, and the mask.
    public var vocabulary: Int?
    public var contextLength: Int
    public var layers: Int
    public var heads: Int
    public var width: Int
    /// Inner width of the feed-forward network.
    public var inner: Int
    public var activation: Activation = .geluErf
    /// The probability that an element of an embedding, a sub-layer's output or an attention
    /// probability is dropped.
    public var dropout: Double = 0
    /// ε of the norms.
    public var epsilon: Double = 1e-12
    /// Kinds of tokens that a sequence may have: first and second sentence.
    public var tokenTypes = 2
    public var head = Head.maskedTokens
    /// Of a classification.
    public var classes = 2
    public var variant = Variant.bert

    public init(
        vocabulary: Int? = nil, contextLength: Int, layers: Int, heads: Int, width: Int,
        inner: Int? = nil
    ) {
        (self.vocabulary, self.contextLength, self.layers) = (vocabulary, contextLength, layers)
        (self.heads, self.width, self.inner) = (heads, width, inner ?? 4 * width)
    }
}

extension BERTConfiguration: ModelShape {
    public init() { self.init(contextLength: 0, layers: 0, heads: 0, width: 0) }

    public static var keys: [Key<Self>] {
        [
            .layers(\.layers), .heads(\.heads), .width(\.width), .contextLength(\.contextLength),
            .dropout(\.dropout), .vocabulary,
            .activation(\.activation),
            .feedForward(\.inner, "4 · `model.width`") { $0.inner = 4 * $0.width },
            .normEpsilon(\.epsilon),
            Key(
                "model.token_types", \.tokenTypes, .integer(1...1024), resume: .never,
                "Kinds of tokens with a vector of their own: first and second sentence."),
            Key(
                "model.head", \.head, .choice, resume: .never,
                "What the model predicts: masked tokens, a class for the sequence, or one for each token."
            ),
            Key(
                "model.labels", \.classes, .integer(1...1_048_576), resume: .never,
                "Classes of sequences or tokens."),
            Key(
                "model.variant", \.variant, .choice, resume: .never,
                "What Hugging Face folders take it for: `roberta` has its own names."),
        ]
    }

    public static var checks: [KeyCheck<ShapeInRun<Self>>] {
        [
            .headsDivide(\.width, \.heads),
            KeyCheck(["model.variant", "model.head"]) { run in
                let shape = run.shape
                guard shape.variant == .roberta, shape.head == .sequences else { return nil }
                return "expected bert where model.head is \(shape.head.rawValue), found roberta"
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

    public var objective: ObjectiveKind {
        switch head {
        case .maskedTokens: .maskedLanguageModelling
        case .sequences: .sequenceClassification(classes: classes)
        case .tokens: .tokenClassification(classes: classes)
        }
    }

    /// The mask.
    public var addedSymbols: Int { head == .maskedTokens ? 1 : 0 }

    public func makeModel(_ build: Build) -> any Model {
        BERT(self, numerics: build.numerics, recompute: build.recompute)
    }
}
