import Tensors

extension Communicator {
    /// What each rank gives, by rank; lengths may differ. For small things: digests, versions, names.
    ///
    /// Collective over the group, and blocking.
    public func gatherAll(_ bytes: [UInt8]) throws(CommunicationError) -> [[UInt8]] {
        let lengths = Buffer(count: 2 * size, dtype: .int32)
        let length = UInt64(bytes.count)
        lengths.integers[2 * rank] = Int32(truncatingIfNeeded: length)
        lengths.integers[2 * rank + 1] = Int32(truncatingIfNeeded: length >> 32)
        try allGather(lengths, counts: Array(repeating: 2, count: size)).wait()
        let byteCounts = (0..<size).map { rank in
            Int(UInt32(bitPattern: lengths.integers[2 * rank]))
                | Int(lengths.integers[2 * rank + 1]) << 32
        }
        let counts = byteCounts.map { ($0 + 3) / 4 }
        let starts = counts.reduce(into: [0]) { $0.append($0.last! + $1) }
        let all = Buffer(count: starts[size], dtype: .int32)
        let own = all[starts[rank]..<starts[rank + 1]]
        own.clear()
        own.bytes.copyMemory(from: bytes, byteCount: bytes.count)
        try allGather(all, counts: counts).wait()
        return (0..<size).map { rank in
            let piece = all[starts[rank]..<starts[rank + 1]]
            return Array(UnsafeRawBufferPointer(start: piece.bytes, count: byteCounts[rank]))
        }
    }

    /// What each rank gives, by rank. Collective over the group, and blocking.
    public func gatherAll(_ text: String) throws(CommunicationError) -> [String] {
        try gatherAll(Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
    }
}
