// How a state is cut into the files of ranks: each writes what it holds, and all know what the others do.

import Communication
import Layers
import Tensors

/// What this rank holds of a state, in the order in which it is written: by name, then by memory order.
struct StateCut: Sendable {
    /// A run of elements of one tensor, which may lie in several buffers here.
    struct Part: Sendable {
        /// The tensor's number in `tensors`.
        let tensor: Int
        var range: Range<Int>
        var buffers: [Buffer]
    }

    /// In ascending order of their names' UTF-8 bytes; the same on every rank.
    let tensors: [(name: String, spec: ShardSpec)]
    let parts: [Part]

    init(_ state: [StateTensor]) {
        let sorted = state.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        for (tensor, next) in zip(sorted, sorted.dropFirst()) {
            precondition(tensor.name != next.name, "CheckpointWriter: two tensors \(tensor.name)")
        }
        tensors = sorted.map { ($0.name, $0.spec) }
        var parts: [Part] = []
        for (index, tensor) in sorted.enumerated() {
            for piece in tensor.pieces where !piece.range.isEmpty {
                if let last = parts.last, last.tensor == index,
                    last.range.upperBound == piece.range.lowerBound
                {
                    parts[parts.count - 1].range =
                        last.range.lowerBound..<piece.range.upperBound
                    parts[parts.count - 1].buffers.append(piece.buffer)
                } else {
                    parts.append(Part(tensor: index, range: piece.range, buffers: [piece.buffer]))
                }
            }
        }
        self.parts = parts
    }

    var elementCount: Int { parts.reduce(0) { $0 + $1.range.count } }

    /// What the rank's file has, in its order.
    var items: [SafetensorsWriter.Item] {
        parts.map {
            SafetensorsWriter.Item(
                name: StateCut.key(tensors[$0.tensor].name, $0.range), shape: [$0.range.count])
        }
    }

    /// Hands over all elements from where they lie, in blocks of `blockElementCount`, the last one shorter. They
    /// are copied into one block of memory, which is aligned to pages as the state is not: so they go to the disk
    /// directly.
    func blocks(
        of blockElementCount: Int = CheckpointWriter.streamedElementCount
    ) -> @Sendable (StreamedTensor.Take) throws(CheckpointError) -> Void {
        { (take) throws(CheckpointError) in
            let block = Buffer(count: min(blockElementCount, elementCount))
            var filled = 0
            for source in parts.lazy.flatMap(\.buffers) {
                var taken = 0
                while taken < source.count {
                    let count = min(source.count - taken, block.count - filled)
                    block[filled..<filled + count].copyBytes(from: source[taken..<taken + count])
                    (taken, filled) = (taken + count, filled + count)
                    guard filled == block.count else { continue }
                    try take(block)
                    filled = 0
                }
            }
            if filled > 0 { try take(block[0..<filled]) }
        }
    }

    /// The name of a part in its file.
    static func key(_ name: String, _ range: Range<Int>) -> String {
        "\(name)[\(range.lowerBound):\(range.upperBound)]"
    }

    /// The name and the elements of a part by its key; nil where it is none.
    static func split(_ key: String) -> (name: String, elements: Range<Int>)? {
        let bytes = key.utf8
        guard let open = bytes.lastIndex(of: UInt8(ascii: "[")),
            let colon = bytes[open...].firstIndex(of: UInt8(ascii: ":")),
            let close = bytes[colon...].firstIndex(of: UInt8(ascii: "]")),
            let first = Int(key[bytes.index(after: open)..<colon]),
            let last = Int(key[bytes.index(after: colon)..<close]), 0 <= first, first <= last
        else { return nil }
        let name = String(key[..<open])
        // As it is written, and no other way.
        return StateCut.key(name, first..<last) == key ? (name, first..<last) : nil
    }

    /// The file of a rank.
    static func fileName(rank: Int, of rankCount: Int) -> String {
        func padded(_ number: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return "shard-\(padded(rank))-of-\(padded(rankCount)).safetensors"
    }
}

extension StateCut {
    /// What ranks compare before they save: a fingerprint that all share, then the sum of marks, then whether
    /// a reader takes so many parts.
    fileprivate static let fingerprintByteCount = 71

    func agreement(step: Int) -> [UInt8] {
        let text = "\(step) " + tensors.map { "\($0.name) \($0.spec)" }.joined(separator: "\n")
        let covered = CoverageSum(parts.map { ($0.tensor, $0.range) })
        return Array(ContentDigest.labelled(Array(text.utf8)).utf8) + covered.encoded
            + [parts.count <= SafetensorsHeader.mostTensors ? 1 : 0]
    }
}

extension Communicator {
    /// Throws where ranks disagree about what they save. Collective.
    func agree(on cut: StateCut, step: Int) throws(CheckpointError) {
        let messages = try exchange(cut.agreement(step: step))
        let length = StateCut.fingerprintByteCount
        var sum = CoverageSum()
        for (rank, message) in messages.enumerated() {
            guard message.prefix(length) == messages[0].prefix(length) else {
                throw CheckpointError(
                    .mismatch,
                    "checkpoint: expected the same step, names and shapes on every rank, "
                        + "found others on rank \(rank) than on rank 0")
            }
            guard message.last == 1 else {
                throw CheckpointError(
                    .mismatch,
                    "checkpoint: expected at most \(SafetensorsHeader.mostTensors) parts of tensors on "
                        + "a rank, found more on rank \(rank); raise parallelism.bucket_bytes")
            }
            sum = sum + CoverageSum(encoded: message.dropFirst(length).prefix(8))
        }
        precondition(
            sum == CoverageSum(whole: cut.tensors.map(\.spec.shape.count)),
            "CheckpointWriter: the pieces of tensors over all ranks do not cover each once")
    }
}
