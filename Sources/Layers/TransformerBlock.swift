import Kernels
import Tensors

/// A norm over the features of each token.
public protocol FeatureNorm: Layer {
    /// x […, width] → the same shape.
    func callAsFunction(_ x: Tensor, _ pass: Pass) -> Tensor
}

/// What a block has behind its attention: residual + f(x), token by token.
public protocol PositionwiseNetwork: Layer {
    /// The first and the last of its maps, between which tensor parallelism may split features.
    var maps: (first: Linear, last: Linear) { get }
    /// x, residual [sequences, tokens, width] → the same shape.
    func callAsFunction(_ x: Tensor, residual: Tensor, _ pass: Pass) -> Tensor
}

extension LayerNorm: FeatureNorm {}
extension RMSNorm: FeatureNorm {}

extension FeedForward: PositionwiseNetwork {
    public var maps: (first: Linear, last: Linear) { (up, down) }
}

extension GatedFeedForward: PositionwiseNetwork {
    public var maps: (first: Linear, last: Linear) { (projection, down) }
}

/// Which activations of a transformer block are recomputed in the backward pass instead of stored: memory for
/// time. It changes no bit.
public enum Recompute: String, Sendable, CaseIterable {
    case none
    /// The attention half.
    case attention
    case block
}

/// A block of a transformer (Vaswani et al. 2017, section 3.1): self-attention and a position-wise network, each with a
/// norm and a residual sum.
public struct TransformerBlock<Norm: FeatureNorm, Network: PositionwiseNetwork>: Layer {
    /// Where norms stand.
    public enum Arrangement: Sendable {
        /// x + attention(norm(x)), then x + network(norm(x)) (GPT-2; Xiong et al. 2020).
        case normFirst
        /// norm(x + attention(x)), then norm(x + network(x)) (Vaswani et al. 2017).
        case normLast
        /// x + attention(norm₁(x)) + network(norm₂(x)) (Wang and Komatsuzaki 2021).
        case parallel
    }

    public let attentionNorm: Norm
    public let attention: SelfAttention
    public let feedForwardNorm: Norm
    public let feedForward: Network
    private let arrangement: Arrangement
    private let recompute: Recompute

    public init(
        attentionNorm: Norm, attention: SelfAttention, feedForwardNorm: Norm, feedForward: Network,
        arrangement: Arrangement = .normFirst, recompute: Recompute
    ) {
        (self.attentionNorm, self.attention) = (attentionNorm, attention)
        (self.feedForwardNorm, self.feedForward) = (feedForwardNorm, feedForward)
        (self.arrangement, self.recompute) = (arrangement, recompute)
    }

    /// Of weights that write to a residual stream to which `layers` blocks add twice each: σ/√(2·layers) keeps its
    /// variance (Radford et al. 2019, section 2.3).
    public static func residualDeviation(_ deviation: Float, layers: Int) -> Float {
        deviation / Float(2 * layers).squareRoot()
    }

    public var parameters: [Parameter] {
        arrangement == .normLast
            ? attentionParameters + feedForward.parameters + feedForwardNorm.parameters
            : attentionParameters + feedForwardNorm.parameters + feedForward.parameters
    }

    private var attentionParameters: [Parameter] {
        arrangement == .normLast
            ? attention.parameters + attentionNorm.parameters
            : attentionNorm.parameters + attention.parameters
    }

    /// x [sequences, tokens, width] → the same shape.
    public func callAsFunction(
        _ x: Tensor, _ visibility: AttentionVisibility, _ pass: Pass
    ) -> Tensor {
        pass.recompute(if: recompute == .block, from: x, of: parameters) { pass in
            let attended = pass.recompute(
                if: recompute == .attention, from: x, of: attentionParameters
            ) { attend(x, visibility, $0) }
            switch arrangement {
            case .normFirst:
                return feedForward(feedForwardNorm(attended, pass), residual: attended, pass)
            case .normLast:
                return feedForwardNorm(feedForward(attended, residual: attended, pass), pass)
            case .parallel:
                return feedForward(feedForwardNorm(x, pass), residual: attended, pass)
            }
        }
    }

    private func attend(_ x: Tensor, _ visibility: AttentionVisibility, _ pass: Pass) -> Tensor {
        arrangement == .normLast
            ? attentionNorm(attention(x, residual: x, visibility: visibility, pass), pass)
            : attention(attentionNorm(x, pass), residual: x, visibility: visibility, pass)
    }
}
