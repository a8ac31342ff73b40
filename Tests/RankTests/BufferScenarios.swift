// Scenarios about memory that a group makes for what it exchanges; in groups that share none they hold as well.

import Communication
import Tensors

/// Pieces of readable memory are added up, and of common memory gathered and broadcast, at any place in it and step after
/// step, with the bits that messages give.
@Sendable func madeBuffers(_ group: any Communicator) throws {
    let messages = try group.split(color: 0, key: group.rank)
    let room = 40_000
    let gradients = try group.makeBuffer(count: room, dtype: .float32, .readable)
    try expect(gradients.array.allSatisfy { $0 == 0 }, "readable memory: expected zeros")
    for (step, count) in [1, 17, 4_099, 33_333, 39_000].enumerated() {
        let range = room - count - step..<room - step
        let counts = unevenCounts(count, ranks: group.size)
        let start = counts[..<group.rank].reduce(0, +)
        let own = start..<start + counts[group.rank]
        let given = samples(rank: group.rank, count: count, salt: step)
        gradients[range].fill(given)
        try group.reduceScatter(gradients[range], counts: counts).wait()
        let expected = Buffer(given)
        try messages.reduceScatter(expected, counts: counts).wait()
        try expectBits(
            gradients[range][own].array, expected[own].array, "reduce-scatter in step \(step)")
        try expect(
            own.count < 300
                || firstDifference(gradients[range][own].array, Array(given[own])) != nil,
            "control: expected a sum, found what the rank itself gave")
    }
    for dtype in DType.allCases { try commonBuffer(group, dtype) }
}

private func commonBuffer(_ group: any Communicator, _ dtype: DType) throws {
    let room = 5_000
    let weights = try group.makeBuffer(count: room, dtype: dtype, .common)
    for (step, count) in [1, 1_003, 4_998].enumerated() {
        let part = weights[step..<step + count]
        let counts = unevenCounts(count, ranks: group.size)
        var expected: [UInt8] = []
        var start = 0
        for rank in 0..<group.size {
            let piece = Buffer(count: counts[rank], dtype: dtype)
            piece.fillBytes(seed: 31 * step + rank)
            expected += piece.byteArray
            if rank == group.rank {
                part[start..<start + counts[rank]].fillBytes(seed: 31 * step + rank)
            }
            start += counts[rank]
        }
        try group.allGather(part, counts: counts).wait()
        try expect(part.byteArray == expected, "all-gather of \(counts) \(dtype): other bytes")
        try group.barrier().wait()
        let root = step % group.size
        let piece = Buffer(count: count, dtype: dtype)
        piece.fillBytes(seed: 1_000 + step)
        if group.rank == root { part.copyBytes(from: piece) }
        try group.broadcast(part, from: root).wait()
        try expect(
            part.byteArray == piece.byteArray, "broadcast from \(root) of \(dtype): other bytes")
        try group.barrier().wait()
    }
}

/// Common memory is one: what a rank writes, the others of its host have.
@Sendable func oneMemory(_ group: any Communicator) throws {
    let common = try group.makeBuffer(count: 100, dtype: .float32, .common)
    if group.rank == 0 { common.floats[99] = 7 }
    try group.barrier().wait()
    try expect(
        common.floats[99] == 7, "common memory: expected rank 0's 7, found \(common.floats[99])")
    let readable = try group.makeBuffer(count: 100, dtype: .float32, .readable)
    readable.floats[99] = Float(group.rank)
    try group.barrier().wait()
    try expect(
        readable.floats[99] == Float(group.rank),
        "control: expected readable memory to be each rank's own, found \(readable.floats[99])")
}

/// The ranks want memory of different sizes.
@Sendable func differInMemory(_ group: any Communicator) throws {
    _ = try group.makeBuffer(count: 1_000 + group.rank, dtype: .float32, .readable)
    try group.barrier().wait()
}
