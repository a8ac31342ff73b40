import Tensors

/// Keys and values of the tokens that a model has seen, layer by layer, so that the next tokens are computed alone.
/// Each row is a text of its own with a length of its own: what one row has changes no bit of another.
public final class KeyValueCache {
    /// Texts side by side.
    public let rows: Int
    /// Tokens that a row has room for.
    public let capacity: Int
    /// Tokens of each row so far.
    public private(set) var lengths: [Int]
    private var layers: [String: Layer] = [:]
    /// Keys and values of sources, a row for each; the texts of a source are rows that follow each other.
    private var memories: [String: Tensor] = [:]

    /// Of one layer: [rows, capacity, heads here · head dimension].
    private struct Layer {
        var keys: Tensor
        var values: Tensor
    }

    public init(rows: Int, capacity: Int) {
        (self.rows, self.capacity) = (rows, capacity)
        lengths = Array(repeating: 0, count: rows)
    }

    /// Bytes that keys and values take.
    public var byteCount: Int {
        layers.values.reduce(0) { $0 + $1.keys.buffer.byteCount + $1.values.buffer.byteCount }
            + memories.values.reduce(0) { $0 + $1.buffer.byteCount }
    }

    /// After a pass in which each row had so many tokens that count: the others, which padded it, are forgotten.
    public func advance(by counts: [Int]) {
        precondition(
            counts.count == rows && zip(lengths, counts).allSatisfy { $0 + $1 <= capacity },
            "KeyValueCache: \(counts) tokens more than \(lengths), of which \(capacity) fit")
        lengths = zip(lengths, counts).map { $0 + $1 }
    }

    /// The rows of a layer, which new rows are added to behind those that are there.
    ///
    /// - Parameters:
    ///   - layer: its name.
    ///   - key, value: heads of the new tokens, [rows, new tokens, …]; wherever they lie in a row.
    /// - Returns: the heads of all tokens so far.
    func append(
        _ layer: String, key: AttentionOperand, value: AttentionOperand, headDimension: Int
    ) -> (key: AttentionOperand, value: AttentionOperand) {
        let count = key.tensor.shape[1]
        precondition(
            key.tensor.shape[0] == rows, "KeyValueCache: \(key.tensor.shape) for \(rows) rows")
        let offsets = (0..<key.headOffsets.count).map { $0 * headDimension }
        let shape: Shape = [rows, capacity, offsets.count * headDimension]
        let room =
            layers[layer]
            // What no token has filled weighs 0, and must be a number for that.
            ?? Layer(
                keys: Tensor(zeros: shape, dtype: key.tensor.dtype),
                values: Tensor(zeros: shape, dtype: key.tensor.dtype))
        layers[layer] = room
        copy(key, to: room.keys, headDimension: headDimension)
        copy(value, to: room.values, headDimension: headDimension)
        let length = min(capacity, (lengths.max() ?? 0) + count)
        return (
            AttentionOperand(room.keys, headOffsets: offsets, length: length),
            AttentionOperand(room.values, headOffsets: offsets, length: length)
        )
    }

    private func copy(_ heads: AttentionOperand, to room: Tensor, headDimension: Int) {
        let (count, width) = (heads.tensor.shape[1], heads.tensor.shape[2])
        for row in 0..<rows {
            for token in 0..<min(count, capacity - lengths[row]) {
                let source = (row * count + token) * width
                let target = (row * capacity + lengths[row] + token) * room.shape[2]
                for (head, offset) in heads.headOffsets.enumerated() {
                    let to = target + head * headDimension
                    room.buffer[to..<to + headDimension].copyBytes(
                        from: heads.tensor.buffer[
                            source + offset..<source + offset + headDimension])
                }
            }
        }
    }

    /// Keys and values of the sources that a decoder looks at, which are made once.
    func memory(_ layer: String, _ make: () -> Tensor) -> Tensor {
        if let memory = memories[layer] { return memory }
        let memory = make()
        precondition(
            rows.isMultiple(of: memory.shape[0]),
            "KeyValueCache: \(rows) texts of \(memory.shape[0]) sources")
        memories[layer] = memory
        return memory
    }

    /// A cache whose row i is what row `sources[i]` is here: rows that go on, or beams.
    ///
    /// - Parameter memories: the sources that go on; nil: all.
    public func selecting(_ sources: [Int], memories kept: [Int]? = nil) -> KeyValueCache {
        let result = KeyValueCache(rows: sources.count, capacity: capacity)
        result.lengths = sources.map { lengths[$0] }
        result.layers = layers.mapValues {
            Layer(keys: selected($0.keys, sources), values: selected($0.values, sources))
        }
        result.memories = kept.map { kept in memories.mapValues { selected($0, kept) } } ?? memories
        return result
    }

    private func selected(_ tensor: Tensor, _ sources: [Int]) -> Tensor {
        let (tokens, width) = (tensor.shape[1], tensor.shape[2])
        let result = Tensor(uninitialized: [sources.count, tokens, width], dtype: tensor.dtype)
        let size = tokens * width
        for (row, source) in sources.enumerated() {
            result.buffer[row * size..<(row + 1) * size].copyBytes(
                from: tensor.buffer[source * size..<(source + 1) * size])
        }
        return result
    }
}
