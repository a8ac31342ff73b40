// Models that make one sequence of another: an encoder reads the source, a decoder writes the target.

import Layers
import Tensors

/// What is between the blocks of an encoder–decoder: the encoder's blocks change the first, the decoder's the second.
public struct EncodedPair {
    /// [sequences, source tokens, width]; what the encoder has made of it, once its blocks are through.
    public var memory: Tensor
    /// [sequences, target tokens, width].
    public var target: Tensor

    public init(memory: Tensor, target: Tensor) { (self.memory, self.target) = (memory, target) }
}

/// A model that reads `tokens` [sequences, source tokens], of which `lengths` [sequences] exist, and at each of
/// `decoder_tokens` [sequences, target tokens] predicts the one after it. `Decoding` drives its two halves by themselves.
public protocol EncoderDecoder: Model where Value == EncodedPair {
    /// The most tokens of a source, and of a target.
    var lengthLimits: (source: Int, target: Int) { get }

    /// What the encoder makes of `tokens`, [sequences, source tokens, width].
    func encode(_ input: ModelInput, _ pass: Pass) -> Tensor
    /// The features of `decoder_tokens`, which with a cache in `pass` follow those that it has.
    ///
    /// - Parameter memory: of `encode`; not looked at where the cache has what was made of it.
    func decode(_ input: ModelInput, memory: Tensor, _ pass: Pass) -> Tensor
}

extension EncoderDecoder {
    public func tensors(of value: EncodedPair) -> [Tensor] { [value.memory, value.target] }
}
