import Configuration
import Kernels
import Layers

/// The shape of a vision transformer.
public struct ViTConfiguration: Hashable, Sendable {
    /// Classes of images; nil takes the data's.
    public var classes: Int?
    /// Side of an image, in pixels.
    public var imageSize: Int
    /// Side of a patch, in pixels.
    public var patchSize: Int
    /// Colours of a pixel.
    public var channels = 3
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
    /// Whether queries, keys and values have biases.
    public var attentionBias = true

    public init(
        classes: Int? = nil, imageSize: Int, patchSize: Int, layers: Int, heads: Int, width: Int,
        inner: Int? = nil
    ) {
        (self.classes, self.imageSize, self.patchSize) = (classes, imageSize, patchSize)
        (self.layers, self.heads) = (layers, heads)
        (self.width, self.inner) = (width, inner ?? 4 * width)
    }

    var image: ImageShape {
        ImageShape(channels: channels, size: imageSize, patch: patchSize)
    }

    /// The patches and the class token.
    var positions: Int { sample.positions }
}

extension ViTConfiguration: ModelShape {
    public init() { self.init(imageSize: 0, patchSize: 0, layers: 0, heads: 0, width: 0) }

    public static var keys: [Key<Self>] {
        [
            Key(
                "model.image_size", \.imageSize, .integer(1...16_384), .required, resume: .never,
                "Side of an image in pixels; a multiple of `model.patch_size`."),
            Key(
                "model.patch_size", \.patchSize, .integer(1...1024), .required, resume: .never,
                "Side of the patches that an image is cut into, in pixels."),
            Key(
                "model.channels", \.channels, .integer(1...4), resume: .never,
                "Numbers of a pixel: 3 for colours, 1 for grey."),
            .layers(\.layers), .heads(\.heads), .width(\.width), .dropout(\.dropout),
            Key(
                "model.classes", \.classes, .automatic(.integer(1...1_048_576)), resume: .never,
                "Classes of images; `auto`: those of the data."),
            .activation(\.activation),
            .feedForward(\.inner, "4 · `model.width`") { $0.inner = 4 * $0.width },
            .normEpsilon(\.epsilon),
            Key(
                "model.attention_bias", \.attentionBias, .boolean, resume: .never,
                "Whether queries, keys and values have biases."),
        ]
    }

    public static var checks: [KeyCheck<ShapeInRun<Self>>] {
        [
            KeyCheck(["model.image_size", "model.patch_size"]) { run in
                let (size, patch) = (run.shape.imageSize, run.shape.patchSize)
                guard !size.isMultiple(of: patch) else { return nil }
                return "expected a multiple of model.patch_size (\(patch)), found \(size)"
            },
            .headsDivide(\.width, \.heads),
        ]
            + KeyCheck.dropoutLimits(
                \.dropout, length: \.positions, "model.image_size", heads: \.heads)
            + [
                .tensorDivides(\.heads),
                .tensorFits(\.inner, "model.feed_forward", besides: ["model.width"]),
            ]
    }

    public var sample: SampleShape { .image(image) }

    public var objective: ObjectiveKind { .imageClassification }

    public var vocabulary: Int? {
        get { classes }
        set { classes = newValue }
    }

    public func makeModel(_ build: Build) -> any Model {
        ViT(self, numerics: build.numerics, recompute: build.recompute)
    }
}
