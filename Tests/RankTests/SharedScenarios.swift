// Scenarios about groups that share memory; with other groups they hold as well.

import Communication
import Tensors

/// Every sum and gather gives the bits that messages give, at sizes around the borders of chunks.
@Sendable func sameAsMessages(_ group: any Communicator) throws {
    let messages = try group.split(color: 0, key: group.rank)
    let otherOrder = try group.split(color: 0, key: group.rank % 2 * group.size + group.rank)
    try expect(messages.path == "messages", "expected messages, found \(messages.path)")
    for count in [0, 1, 15, 16, 17, 33, 4_095, 4_096, 4_097, 8_193, 65_535, 65_536, 65_537] {
        for (name, act) in exchanges {
            let found = try result(of: act, group, of: group.rank, count)
            let expected = try result(of: act, messages, of: group.rank, count)
            try expectBits(found, expected, "\(name) of \(count) elements")
            // The comparison sees another order of the ranks.
            guard name == "all-reduce", count >= 4_095, group.size > 2 else { continue }
            let other = try result(of: act, otherOrder, of: group.rank, count)
            try expect(
                firstDifference(found, other) != nil,
                "control: expected another order to give other bits, found the same")
        }
    }
}

/// Groups of neighbours that begin and end at any rank stand on the hosts in every way.
@Sendable func anywhere(_ world: any Communicator) throws {
    for border in 1..<world.size {
        let group = try world.split(
            color: world.rank < border ? 0 : 1, key: world.rank, sharesMemory: true)
        try sameAsMessages(group)
    }
}

private typealias Act = @Sendable (any Communicator, Buffer) throws -> Buffer

private let exchanges: [(String, Act)] = [
    (
        "all-reduce",
        { group, buffer in
            try group.allReduce(buffer).wait()
            return buffer
        }
    ),
    (
        "maximum",
        { group, buffer in
            try group.allReduceMaximum(buffer).wait()
            return buffer
        }
    ),
    (
        "reduce-scatter",
        { group, buffer in
            let counts = unevenCounts(buffer.count, ranks: group.size)
            try group.reduceScatter(buffer, counts: counts).wait()
            let start = counts[..<group.rank].reduce(0, +)
            return buffer[start..<start + counts[group.rank]]
        }
    ),
    (
        "all-gather",
        { group, buffer in
            try group.allGather(buffer, counts: unevenCounts(buffer.count, ranks: group.size))
                .wait()
            return buffer
        }
    ),
]

/// Each rank gives the same in every group, whatever its rank there.
private func result(
    of act: Act, _ group: any Communicator, of rank: Int, _ count: Int
) throws -> [Float] {
    try act(group, Buffer(samples(rank: rank, count: count))).array
}

/// Ranks wait for operations of several groups in orders that contradict one another; each is longer than
/// what a rank does of it when it submits it.
@Sendable func crossing(_ group: any Communicator) throws {
    let other = try group.split(color: 0, key: group.rank, sharesMemory: true)
    let messages = try group.split(color: 0, key: group.rank)
    let groups = [group, other, messages]
    let count = 150_001
    for round in 0..<3 {
        let buffers = (0..<3).map { salt in
            Buffer(samples(rank: group.rank, count: count, salt: salt))
        }
        let pending = (0..<3).map { groups[$0].allReduce(buffers[$0]) }
        for step in 0..<3 { try pending[(step + group.rank + round) % 3].wait() }
        for salt in 0..<3 { try expectSum(buffers[salt], of: group.size, salt: salt) }
    }
    // Half of the ranks come to the barrier only after the sum, which the others have yet to wait for.
    for meeting in [other, messages] {
        let buffer = Buffer(samples(rank: group.rank, count: count))
        let pending = group.allReduce(buffer)
        if group.rank % 2 == 0 { try meeting.barrier().wait() }
        try pending.wait()
        if group.rank % 2 == 1 { try meeting.barrier().wait() }
        try expectSum(buffer, of: group.size, salt: 0)
    }
}

private func expectSum(_ buffer: Buffer, of ranks: Int, salt: Int) throws {
    let found = buffer.array
    for index in stride(from: 0, to: found.count, by: 97) {
        let values = (0..<ranks).map { sample(rank: $0, index: index, salt: salt) }
        try expectBits([found[index]], [canonicalSum(values)], "sum \(salt), element \(index)")
    }
}

/// One rank is in another operation.
@Sendable func differInKind(_ group: any Communicator) throws {
    let buffer = Buffer(samples(rank: group.rank, count: 10))
    try (group.rank == 0 ? group.allReduce(buffer) : group.allReduceMaximum(buffer)).wait()
    try group.barrier().wait()
}

/// The pieces differ, and their sum does not.
@Sendable func differInPieces(_ group: any Communicator) throws {
    let buffer = Buffer(samples(rank: group.rank, count: 40))
    try group.reduceScatter(buffer, counts: group.rank == 0 ? [20, 20] : [10, 30]).wait()
    try group.barrier().wait()
}
