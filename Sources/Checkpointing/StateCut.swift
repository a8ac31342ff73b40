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

    /// The file of a rank.
    static func fileName(rank: Int, of rankCount: Int) -> String {
        func padded(_ number: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return "shard-\(padded(rank))-of-\(padded(rankCount)).safetensors"
    }
}

/// A part of a tensor and who writes it.
struct OwnedPart: Sendable, Equatable {
    let rank: Int
    /// Which of the rank's parts it is.
    let number: Int
    let range: Range<Int>
}

extension Communicator {
    /// Tells every rank what the others write: for each tensor its parts in ascending order. Throws where
    /// ranks disagree about what they save. Collective.
    func agreeOnParts(of cut: StateCut, step: Int) throws(CheckpointError) -> [[OwnedPart]] {
        let text = "\(step) " + cut.tensors.map { "\($0.name) \($0.spec)" }.joined(separator: "\n")
        let fingerprint = Array(ContentDigest.labelled(Array(text.utf8)).utf8)
        let words = cut.parts.flatMap { [$0.tensor, $0.range.lowerBound, $0.range.upperBound] }
        let table = words.flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
        }
        let tables = try exchange(fingerprint + table)
        var parts = [[OwnedPart]](repeating: [], count: cut.tensors.count)
        for (rank, bytes) in tables.enumerated() {
            guard bytes.prefix(fingerprint.count) == tables[0].prefix(fingerprint.count) else {
                throw CheckpointError(
                    .mismatch,
                    "checkpoint: expected the same step, names and shapes on every rank, "
                        + "found others on rank \(rank) than on rank 0")
            }
            let words = stride(from: fingerprint.count, to: bytes.count, by: 8).map { start in
                bytes[start..<start + 8].reversed().reduce(0) { $0 << 8 | Int($1) }
            }
            for number in 0..<words.count / 3 {
                parts[words[3 * number]].append(
                    OwnedPart(
                        rank: rank, number: number,
                        range: words[3 * number + 1]..<words[3 * number + 2]))
            }
        }
        for index in parts.indices {
            parts[index].sort { $0.range.lowerBound < $1.range.lowerBound }
            let end = parts[index].reduce(0 as Int?) {
                $1.range.lowerBound == $0 ? $1.range.upperBound : nil
            }
            let (name, spec) = cut.tensors[index]
            precondition(
                end == spec.shape.count,
                "CheckpointWriter: the pieces of \(name) over all ranks do not cover it once")
        }
        return parts
    }
}
