import Tensors

/// A named tensor of the training state, as far as this rank holds it: what parameters and optimizers
/// hand to checkpoints and digests.
public struct StateTensor: Sendable {
    /// A range of the tensor in memory order (see `ShardSpec`) and the Float32 values it has here.
    public struct Piece: Sendable {
        public let range: Range<Int>
        public let buffer: Buffer

        public init(range: Range<Int>, buffer: Buffer) {
            precondition(
                range.count == buffer.count,
                "StateTensor: range \(range) has \(range.count) elements, its buffer \(buffer.count)"
            )
            (self.range, self.buffer) = (range, buffer)
        }
    }

    /// The name it has in checkpoints: `wte.weight`, `optimizer.first_moment.wte.weight`.
    public let name: String
    public let spec: ShardSpec
    /// In ascending order, disjoint. Over all data-parallel ranks the pieces cover the tensor once.
    public let pieces: [Piece]

    public init(name: String, spec: ShardSpec, pieces: [Piece]) {
        (self.name, self.spec, self.pieces) = (name, spec, pieces)
    }
}
