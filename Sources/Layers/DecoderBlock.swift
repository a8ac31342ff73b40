import Kernels
import Tensors

/// A block of a decoder that looks at an encoder's output (Vaswani et al. 2017, section 3.1): self-attention,
/// cross-attention and a position-wise network, each with a norm and a residual sum.
public struct DecoderBlock<Norm: FeatureNorm, Network: PositionwiseNetwork>: Layer {
    public let attentionNorm: Norm
    public let attention: SelfAttention
    public let crossNorm: Norm
    public let crossAttention: CrossAttention
    public let feedForwardNorm: Norm
    public let feedForward: Network
    /// Whether norms follow the residual sums.
    private let isNormLast: Bool
    private let recompute: Recompute

    public init(
        attentionNorm: Norm, attention: SelfAttention, crossNorm: Norm,
        crossAttention: CrossAttention, feedForwardNorm: Norm, feedForward: Network,
        isNormLast: Bool, recompute: Recompute
    ) {
        (self.attentionNorm, self.attention) = (attentionNorm, attention)
        (self.crossNorm, self.crossAttention) = (crossNorm, crossAttention)
        (self.feedForwardNorm, self.feedForward) = (feedForwardNorm, feedForward)
        (self.isNormLast, self.recompute) = (isNormLast, recompute)
    }

    public var parameters: [Parameter] {
        attentionParameters + ordered(feedForward, feedForwardNorm)
    }

    private var attentionParameters: [Parameter] {
        ordered(attention, attentionNorm) + ordered(crossAttention, crossNorm)
    }

    private func ordered(_ layer: some Layer, _ norm: Norm) -> [Parameter] {
        isNormLast ? layer.parameters + norm.parameters : norm.parameters + layer.parameters
    }

    /// x [sequences, tokens, width] → the same shape.
    ///
    /// - Parameters:
    ///   - memory: what an encoder made of the sources, [sequences, source tokens, width].
    ///   - sources: which of its tokens exist.
    public func callAsFunction(
        _ x: Tensor, memory: Tensor, sources: AttentionVisibility, _ pass: Pass
    ) -> Tensor {
        pass.recompute(if: recompute == .block, from: x, memory, of: parameters) { pass in
            let attended = pass.recompute(
                if: recompute == .attention, from: x, memory, of: attentionParameters
            ) { attend(x, memory, sources, $0) }
            return sublayer(attended, feedForwardNorm, pass) {
                feedForward($0, residual: attended, pass)
            }
        }
    }

    private func attend(
        _ x: Tensor, _ memory: Tensor, _ sources: AttentionVisibility, _ pass: Pass
    ) -> Tensor {
        let own = sublayer(x, attentionNorm, pass) {
            attention($0, residual: x, visibility: AttentionVisibility(causal: true), pass)
        }
        return sublayer(own, crossNorm, pass) {
            crossAttention($0, residual: own, memory: memory, visibility: sources, pass)
        }
    }

    private func sublayer(
        _ x: Tensor, _ norm: Norm, _ pass: Pass, _ layer: (Tensor) -> Tensor
    ) -> Tensor {
        isNormLast ? norm(layer(x), pass) : layer(norm(x, pass))
    }
}
