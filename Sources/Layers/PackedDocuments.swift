import Tensors

/// Documents side by side in sequences: none sees another, and each has positions of its own, so that it is as if it were
/// alone.
public struct PackedDocuments {
    /// The document of each token, Int32 [sequences, tokens]: equal where a token may see another.
    public let segments: Tensor
    /// The place of each token in its document, of the same shape.
    public let positions: Tensor

    public init(segments: Tensor, positions: Tensor) {
        precondition(
            segments.shape == positions.shape && segments.shape.rank == 2
                && segments.dtype == .int32 && positions.dtype == .int32,
            "PackedDocuments: two int32 tensors [sequences, tokens] expected, found "
                + "\(segments.shape) and \(positions.shape)")
        (self.segments, self.positions) = (segments, positions)
    }
}
