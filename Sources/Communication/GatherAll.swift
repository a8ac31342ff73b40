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

    /// Hands what each rank gives to `take` on the first one, in the order of ranks; lengths may differ. No rank has
    /// more than its own and, the first one, that of one other: for what is large. Where `take` returns false, no
    /// further rank gives anything.
    ///
    /// Collective over the group, and blocking: each rank waits for all before it, and every turn is a sign of life.
    public func gatherToFirst(
        _ bytes: [UInt8], _ take: (_ rank: Int, _ bytes: [UInt8]) -> Bool
    ) throws(CommunicationError) {
        let turn = Buffer(count: 1, dtype: .int32)
        turn.integers[0] = rank > 0 || take(0, bytes) ? 1 : 0
        for source in 0..<size where source > 0 {
            try broadcast(turn, from: 0).wait()
            guard turn.integers[0] == 1 else { return }
            if rank == source { try sendToFirst(bytes) }
            if rank == 0 { turn.integers[0] = take(source, try receive(from: source)) ? 1 : 0 }
        }
    }

    /// The length, then the bytes.
    private func sendToFirst(_ bytes: [UInt8]) throws(CommunicationError) {
        let length = Buffer(count: 2, dtype: .int32)
        length.integers[0] = Int32(truncatingIfNeeded: bytes.count)
        length.integers[1] = Int32(truncatingIfNeeded: bytes.count >> 32)
        try send(length, to: 0, tag: 0).wait()
        let content = Buffer(count: (bytes.count + 3) / 4, dtype: .int32)
        content.clear()
        content.bytes.copyMemory(from: bytes, byteCount: bytes.count)
        try send(content, to: 0, tag: 0).wait()
    }

    private func receive(from source: Int) throws(CommunicationError) -> [UInt8] {
        let length = Buffer(count: 2, dtype: .int32)
        try receive(length, from: source, tag: 0).wait()
        let count =
            Int(UInt32(bitPattern: length.integers[0])) | Int(length.integers[1]) << 32
        let content = Buffer(count: (count + 3) / 4, dtype: .int32)
        try receive(content, from: source, tag: 0).wait()
        return Array(UnsafeRawBufferPointer(start: content.bytes, count: count))
    }
}
