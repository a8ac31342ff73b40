import Communication
import Glibc
import Tensors

typealias Scenario = @Sendable (any Communicator) throws -> Void

/// Every scenario that runs on any number of ranks and either backend.
let allScenarios: [String: Scenario] = [
    "all-reduce": allReduce, "maximum": maximum, "reduce-scatter": reduceScatter,
    "wire": wire,
    "all-gather": allGather, "broadcast": broadcast, "barrier": barrier,
    "point-to-point": pointToPoint, "overlap": overlap, "split": split, "gather-all": gatherAll,
    "gather-first": gatherToFirst,
    "many": many, "large": large, "silent": silent, "mismatch": mismatch, "overrun": overrun,
    "differ-gather": differInGather, "differ-reduce": differInReduction,
    "differ-none": differByNothing, "differ-large": differInLarge,
    "huge": huge,
    "leaves": leaves, "same-as-messages": sameAsMessages, "crossing": crossing,
    "anywhere": anywhere, "made-buffers": madeBuffers, "one-memory": oneMemory,
    "differ-memory": differInMemory,
    "differ-kind": differInKind, "differ-pieces": differInPieces,
    "speed": speed, "short-work": shortWork,
]

@Sendable func allReduce(_ world: any Communicator) throws {
    for count in sizes {
        let buffer = Buffer(samples(rank: world.rank, count: count))
        try world.allReduce(buffer).wait()
        let expected = summed(ranks: world.size, count: count)
        try expectBits(buffer.array, expected, "all-reduce of \(count)")
        try expectControls(buffer.array, ranks: world.size)
    }
}

/// The comparison sees a wrong order and a flipped bit.
private func expectControls(_ found: [Float], ranks: Int) throws {
    guard found.count >= 1_000 else { return }
    let wrong = summed(ranks: ranks, count: found.count, by: reversedSum)
    try expect(
        ranks < 3 || firstDifference(found, wrong) != nil,
        "control: expected the reversed order to give other bits, found the same")
    var flipped = found
    flipped[found.count - 1] = Float(bitPattern: flipped[found.count - 1].bitPattern ^ 1)
    try expect(
        firstDifference(found, flipped) == found.count - 1,
        "control: expected a flipped bit to be seen, found no difference")
}

@Sendable func maximum(_ world: any Communicator) throws {
    for count in sizes {
        let buffer = Buffer(samples(rank: world.rank, count: count))
        if count > 17, world.rank == world.size - 1 { buffer.floats[5] = .nan }
        try world.allReduceMaximum(buffer).wait()
        for index in 0..<count {
            let all = (0..<world.size).map { sample(rank: $0, index: index) }
            let found = buffer.floats[index]
            let holds = count > 17 && index == 5 ? found.isNaN : found == all.max()
            try expect(holds, "maximum of \(all): found \(found)")
        }
    }
}

@Sendable func reduceScatter(_ world: any Communicator) throws {
    for count in sizes {
        let counts = unevenCounts(count, ranks: world.size)
        let buffer = Buffer(samples(rank: world.rank, count: count))
        try world.reduceScatter(buffer, counts: counts).wait()
        let start = counts[..<world.rank].reduce(0, +)
        let own = start..<start + counts[world.rank]
        let expected = Array(summed(ranks: world.size, count: count)[own])
        try expectBits(buffer[own].array, expected, "reduce-scatter \(counts)")
    }
}

/// Contributions are rounded on the way, the rank's own like the others'; their sum is not.
@Sendable func wire(_ world: any Communicator) throws {
    for count in sizes {
        for counts in [
            unevenCounts(count, ranks: world.size), evenCounts(count, ranks: world.size),
        ] {
            let buffer = Buffer((0..<count).map { wideSample(rank: world.rank, index: $0) })
            try world.reduceScatter(buffer, counts: counts, wire: .float16).wait()
            let start = counts[..<world.rank].reduce(0, +)
            let own = start..<start + counts[world.rank]
            let found = buffer[own].array
            let rounds = world.size > 1
            let expected = own.map {
                wireSum(ranks: world.size, index: $0, rounds: { _ in rounds })
            }
            try expectBits(found, expected, "reduce-scatter as float16 \(counts)")
            guard own.count >= 300, world.size > 1 else { continue }
            // Controls: nothing rounded, and everything but the rank's own part.
            for control in [{ _ in false }, { $0 != world.rank }] as [(Int) -> Bool] {
                let wrong = own.map { wireSum(ranks: world.size, index: $0, rounds: control) }
                try expect(
                    firstDifference(found, wrong) != nil,
                    "control: expected other bits without rounding, found the same")
            }
        }
    }
}

/// From subnormal halves to what is beyond the largest.
private func wideSample(rank: Int, index: Int) -> Float {
    let factor: Float = index % 7 == 0 ? 0x1p-9 : index % 101 == 5 ? 0x1p6 : 1
    return sample(rank: rank, index: index) * factor
}

private func wireSum(ranks: Int, index: Int, rounds: (Int) -> Bool) -> Float {
    canonicalSum(
        (0..<ranks).map { rank in
            let value = wideSample(rank: rank, index: index)
            return rounds(rank) ? Float(Float16(value)) : value
        })
}

@Sendable func allGather(_ world: any Communicator) throws {
    for dtype in DType.allCases {
        for count in sizes {
            let counts = unevenCounts(count, ranks: world.size)
            let buffer = Buffer(count: count, dtype: dtype)
            buffer.clear()
            var start = 0
            var expected: [UInt8] = []
            for rank in 0..<world.size {
                let piece = Buffer(count: counts[rank], dtype: dtype)
                piece.fillBytes(seed: rank)
                expected += piece.byteArray
                if rank == world.rank { buffer[start..<start + counts[rank]].fillBytes(seed: rank) }
                start += counts[rank]
            }
            try world.allGather(buffer, counts: counts).wait()
            try expect(
                buffer.byteArray == expected, "all-gather of \(counts) \(dtype): other bytes")
        }
    }
}

@Sendable func broadcast(_ world: any Communicator) throws {
    for root in 0..<world.size {
        for count in sizes {
            let buffer = Buffer(samples(rank: world.rank, count: count, salt: root))
            try world.broadcast(buffer, from: root).wait()
            let expected = samples(rank: root, count: count, salt: root)
            try expectBits(buffer.array, expected, "broadcast of \(count) from \(root)")
        }
    }
}

/// Nobody leaves before the last has come. The ranks are on one host, whose clock they share, and come one
/// after the other.
@Sendable func barrier(_ world: any Communicator) throws {
    let token = Buffer([0])
    if world.rank > 0 {
        try world.receive(token, from: world.rank - 1, tag: 0).wait()
        usleep(20_000)
    }
    let arrival = now()
    if world.rank + 1 < world.size { try world.send(token, to: world.rank + 1, tag: 0).wait() }
    try world.barrier().wait()
    let departure = now()
    let times = try world.gatherAll("\(arrival) \(departure)").map { line in
        line.split(separator: " ").compactMap { UInt64($0) }
    }
    let lastArrival = times.map { $0[0] }.max() ?? 0
    let firstDeparture = times.map { $0[1] }.min() ?? 0
    try expect(
        lastArrival <= firstDeparture,
        "barrier: expected nobody to leave before \(lastArrival), found \(firstDeparture)")
    try expect(
        world.size == 1 || times[0][0] < times[world.size - 1][0],
        "control: expected arrivals one after the other, found \(times)")
}

func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Around a ring: two messages of one tag keep their order; another tag is awaited first.
@Sendable func pointToPoint(_ world: any Communicator) throws {
    guard world.size > 1 else { return }
    let next = (world.rank + 1) % world.size
    let previous = (world.rank + world.size - 1) % world.size
    for count in sizes {
        let sends = [(0, 7), (1, 7), (2, 9)].map { salt, tag in
            world.send(
                Buffer(samples(rank: world.rank, count: count, salt: salt)), to: next, tag: tag)
        }
        let received = (0..<3).map { _ in Buffer(count: count) }
        let receives = [(0, 7), (1, 7), (2, 9)].map { salt, tag in
            world.receive(received[salt], from: previous, tag: tag)
        }
        for index in [2, 1, 0] { try receives[index].wait() }
        for send in sends { try send.wait() }
        for salt in 0..<3 {
            let expected = samples(rank: previous, count: count, salt: salt)
            try expectBits(received[salt].array, expected, "message \(salt) of \(count)")
        }
        try expect(
            count == 0 || firstDifference(received[0].array, received[1].array) != nil,
            "control: expected two messages of one tag to differ, found them equal")
    }
}

/// Operations of every kind in flight together, awaited in an order of each rank's own.
@Sendable func overlap(_ world: any Communicator) throws {
    let count = 2_003
    var reductions: [Buffer] = []
    var gathered: [Buffer] = []
    var pending: [PendingOperation] = []
    for round in 0..<8 {
        let sum = Buffer(samples(rank: world.rank, count: count, salt: round))
        reductions.append(sum)
        pending.append(world.allReduce(sum))
        let all = Buffer(count: world.size * 11)
        for index in 0..<11 {
            all.floats[world.rank * 11 + index] = Float(world.rank * 100 + round)
        }
        gathered.append(all)
        pending.append(world.allGather(all, counts: Array(repeating: 11, count: world.size)))
        pending.append(world.barrier())
    }
    for step in pending.indices {
        try pending[(step * 7 + world.rank * 5) % pending.count].wait()
    }
    for round in 0..<8 {
        try expectBits(
            reductions[round].array, summed(ranks: world.size, count: count, salt: round),
            "all-reduce \(round) in flight with others")
        for rank in 0..<world.size {
            try expect(
                gathered[round].floats[rank * 11 + 10] == Float(rank * 100 + round),
                "all-gather \(round) in flight with others: other values")
        }
    }
}

/// Two halves by parity in reverse order, each at work at the same time as the whole.
@Sendable func split(_ world: any Communicator) throws {
    let half = try world.split(color: world.rank % 2, key: -world.rank)
    let members = (0..<world.size).filter { $0 % 2 == world.rank % 2 }.reversed().map { $0 }
    try expect(
        half.size == members.count && members[half.rank] == world.rank,
        "split: expected rank \(world.rank) in \(members), found it at \(half.rank)")
    let (inHalf, inWorld) = (
        Buffer(samples(rank: world.rank, count: 777)), Buffer(samples(rank: world.rank, count: 777))
    )
    let pending = [half.allReduce(inHalf), world.allReduce(inWorld)]
    try pending[1].wait()
    try pending[0].wait()
    let expected = (0..<777).map { index in
        canonicalSum(members.map { sample(rank: $0, index: index) })
    }
    try expectBits(inHalf.array, expected, "all-reduce in a half")
    try expectBits(inWorld.array, summed(ranks: world.size, count: 777), "all-reduce beside it")
    let single = try half.split(color: half.rank, key: 0)
    let alone = Buffer(samples(rank: world.rank, count: 5))
    try single.allReduce(alone).wait()
    try expectBits(alone.array, samples(rank: world.rank, count: 5), "all-reduce alone")
    try expect(single.size == 1, "split: expected groups of one, found \(single.size)")
}

/// Large and empty ones, one after the other, on the first rank alone; then no more than were asked for.
@Sendable func gatherToFirst(_ world: any Communicator) throws {
    func blob(_ rank: Int) -> [UInt8] {
        (0..<rank * 70_003 % 150_000).map { patternByte(rank, $0) }
    }
    for most in [world.size, 2] {
        var found: [[UInt8]] = []
        try world.gatherToFirst(blob(world.rank)) { rank, bytes in
            found.append(rank == found.count ? bytes : [UInt8(ascii: "?")])
            return found.count < most
        }
        let expected = world.rank == 0 ? (0..<min(most, world.size)).map(blob) : []
        try expect(
            found == expected,
            "gather-first: expected \(expected.map(\.count)) bytes, found \(found.map(\.count))")
    }
    // The group goes on as before.
    try gatherAll(world)
}

@Sendable func gatherAll(_ world: any Communicator) throws {
    let blobs = (0..<world.size).map { rank in
        (0..<rank * 37 % 100).map { patternByte(rank, $0) }
    }
    let found = try world.gatherAll(blobs[world.rank])
    try expect(found == blobs, "gather-all: expected \(blobs), found \(found)")
    let texts = try world.gatherAll("rang \(world.rank) ✓")
    try expect(texts == (0..<world.size).map { "rang \($0) ✓" }, "gather-all: found \(texts)")
}
