import Communication
import Glibc
import Tensors

/// More operations than there are sequence numbers when the tag limit is the standard's least, some
/// hundreds in flight.
@Sendable func many(_ world: any Communicator) throws {
    for batch in 0..<3 {
        let buffers = (0..<700).map { index in
            Buffer(samples(rank: world.rank, count: 3, salt: batch * 700 + index))
        }
        let pending = buffers.map { world.allReduce($0) }
        for operation in pending.reversed() { try operation.wait() }
        for (index, buffer) in buffers.enumerated() {
            try expectBits(
                buffer.array, summed(ranks: world.size, count: 3, salt: batch * 700 + index),
                "all-reduce \(index) of many")
        }
    }
}

/// Several chunks a piece at the default size. Rank 0 prints a digest of the sum, which must not
/// depend on chunks, thresholds or backend.
@Sendable func large(_ world: any Communicator) throws {
    let count = 1_000_003
    let values = samples(rank: world.rank, count: count)
    let sum = Buffer(values)
    try world.allReduce(sum).wait()
    let found = sum.array
    for index in stride(from: 0, to: count, by: 997) {
        let expected = canonicalSum((0..<world.size).map { sample(rank: $0, index: index) })
        try expectBits([found[index]], [expected], "large all-reduce, element \(index)")
    }
    let rounded = try roundedSum(values, evenCounts(count, ranks: world.size), world)
    let other = try roundedSum(values, unevenCounts(count, ranks: world.size), world)
    try expectBits(rounded, other, "large reduce-scatter as float16, pieces of other ranks")
    let digest = digest(found + rounded)
    if world.rank == 0 { print("DIGEST \(digest)") }
    try expectSame(digest, world)

    let copy = Buffer(values)
    try world.broadcast(copy, from: world.size - 1).wait()
    let last = sample(rank: world.size - 1, index: count - 1)
    try expectBits([copy.array[count - 1]], [last], "large broadcast")
}

private func roundedSum(
    _ values: [Float], _ counts: [Int], _ world: any Communicator
) throws -> [Float] {
    let buffer = Buffer(values)
    try world.reduceScatter(buffer, counts: counts, wire: .float16).wait()
    try world.allGather(buffer, counts: counts).wait()
    return buffer.array
}

/// More bytes than an `int` counts, in earnest: by hand, since every rank takes 2 GiB.
@Sendable func huge(_ world: any Communicator) throws {
    let counts = evenCounts((1 << 29) + 3, ranks: world.size)
    let buffer = Buffer(count: counts.reduce(0, +))
    let starts = counts.reduce(into: [0]) { $0.append($0.last! + $1) }
    for index in 0..<counts[world.rank] {
        buffer.floats[starts[world.rank] + index] = Float(index % 1_000_003 + world.rank)
    }
    try world.allGather(buffer, counts: counts).wait()
    for rank in 0..<world.size {
        let wrong = (0..<counts[rank]).first { index in
            buffer.floats[starts[rank] + index] != Float(index % 1_000_003 + rank)
        }
        try expect(wrong == nil, "huge all-gather: element \(wrong ?? 0) of rank \(rank) is wrong")
    }
    if world.size > 1 {
        let last = world.size - 1
        let isMine = world.rank == 0 || world.rank == last
        let message = world.rank == 0 ? buffer : Buffer(count: isMine ? buffer.count : 0)
        if world.rank == 0 { try world.send(message, to: last, tag: 0).wait() }
        if world.rank == last {
            try world.receive(message, from: 0, tag: 0).wait()
            let wrong = (0..<buffer.count).first { message.floats[$0] != buffer.floats[$0] }
            try expect(wrong == nil, "huge message: element \(wrong ?? 0) is wrong")
        }
    }
}

/// Says how fast it is here: for a look by hand, with nothing to fail.
@Sendable func speed(_ world: any Communicator) throws {
    for (count, rounds) in [(1, 2_000), (256, 2_000), (4_096, 500), (65_536, 100), (1 << 24, 5)] {
        let buffer = Buffer(count: count)
        buffer.clear()
        var times: [Double] = []
        for _ in 0..<rounds {
            let start = now()
            try world.allReduce(buffer).wait()
            times.append(Double(now() - start) * 1e-3)
        }
        times.sort()
        if world.rank == 0 {
            let (best, median) = (times[0], times[rounds / 2])
            print("all-reduce of \(count * 4) bytes: best \(best) µs, median \(median) µs")
        }
    }
}

private func expectSame(_ text: String, _ world: any Communicator) throws {
    let all = try world.gatherAll(text)
    try expect(Set(all).count == 1, "expected one digest on all ranks, found \(all)")
}

/// The last rank computes on and never calls: the others are told its name in time.
@Sendable func silent(_ world: any Communicator) throws {
    let buffer = Buffer(samples(rank: world.rank, count: 64))
    try world.barrier().wait()
    if world.rank == world.size - 1 {
        sleep(5)
    } else {
        try world.allReduce(buffer).wait()
    }
}

/// The ranks do not agree about a size.
@Sendable func mismatch(_ world: any Communicator) throws {
    try world.broadcast(Buffer(count: world.rank == 0 ? 10 : 12), from: 0).wait()
}

/// A message is longer than its receiver thinks.
@Sendable func overrun(_ world: any Communicator) throws {
    try world.broadcast(Buffer(count: world.rank == 0 ? 12 : 10), from: 0).wait()
}

/// The ranks disagree by a whole number of chunks of 40 bytes.
@Sendable func differInGather(_ world: any Communicator) throws {
    let counts = [world.rank == 0 ? 20 : 10, 30]
    try world.allGather(Buffer(count: counts[0] + counts[1]), counts: counts).wait()
    try world.barrier().wait()
}

@Sendable func differInReduction(_ world: any Communicator) throws {
    let counts = [20, world.rank == 0 ? 20 : 40]
    let buffer = Buffer(count: counts[0] + counts[1])
    buffer.clear()
    try world.reduceScatter(buffer, counts: counts, wire: .float16).wait()
    try world.barrier().wait()
}

/// One rank expects nothing at all.
@Sendable func differByNothing(_ world: any Communicator) throws {
    try world.broadcast(Buffer(count: world.rank == 0 ? 10 : 0), from: 0).wait()
    try world.barrier().wait()
}

/// Messages long enough for the library to ask before it sends them.
@Sendable func differInLarge(_ world: any Communicator) throws {
    try world.broadcast(Buffer(count: world.rank == 0 ? 400_000 : 300_000), from: 0).wait()
    try world.barrier().wait()
}

/// A rank gives up, and the others are not left to wait for it.
@Sendable func leaves(_ world: any Communicator) throws {
    try world.barrier().wait()
    if world.rank == world.size - 1 { throw ScenarioFailure("this rank has had enough") }
    try world.barrier().wait()
}

/// Scenarios about processes and their launcher.
let launchedScenarios: [String: @Sendable (any Communicator, MPIEnvironment) throws -> Void] = [
    "placement": placement, "abort": abort, "exits": exits, "stays": stays,
    "freezes": freezes, "compare": compare, "works": works, "freezes-at-work": freezesAtWork,
]

/// All ranks are on this host, and each knows its place there.
@Sendable func placement(_ group: any Communicator, _ ranks: MPIEnvironment) throws {
    let (world, found) = (group, ranks.placement)
    try expect(
        found.localRank == world.rank && found.localSize == world.size,
        "placement: expected \(world.rank) of \(world.size), found \(found)")
    let hosts = try world.gatherAll(found.hostName)
    try expect(Set(hosts).count == 1 && !hosts[0].isEmpty, "expected one host, found \(hosts)")
}

/// One rank ends the job with a code of its own while the others wait.
@Sendable func abort(_ group: any Communicator, _ ranks: MPIEnvironment) throws {
    try group.barrier().wait()
    if group.rank == group.size - 1 { ranks.abort(code: 75) }
    try group.barrier().wait()
}

/// One process is gone from one moment to the next.
@Sendable func exits(_ group: any Communicator, _ ranks: MPIEnvironment) throws {
    try group.barrier().wait()
    if group.rank == group.size - 1 { _exit(3) }
    try group.barrier().wait()
}

/// Says which processes they are, and waits for a minute to be ended.
@Sendable func stays(_ group: any Communicator, _ ranks: MPIEnvironment) throws {
    print("PROCESS \(getpid())")
    fflush(nil)
    if group.rank == 0 {
        try group.barrier().wait()
    } else {
        sleep(60)
        try group.barrier().wait()
    }
}

/// One process is stopped in the middle of the run, as by a debugger or a memory thrashing host.
@Sendable func freezes(_ group: any Communicator, _ ranks: MPIEnvironment) throws {
    print("PROCESS \(getpid())")
    fflush(nil)
    try group.barrier().wait()
    if group.rank == group.size - 1 { kill(getpid(), SIGSTOP) }
    try group.barrier().wait()
}

/// Works begin and end one after the other and inside one another.
@Sendable func shortWork(_ world: any Communicator) throws {
    for _ in 0..<20 {
        let outer = world.beginWork("outer")
        for _ in 0..<3 { try world.beginWork("inner").end() }
        try world.barrier().wait()
        try outer.end()
    }
}

/// One process works for three deadlines.
@Sendable func works(_ group: any Communicator, _ ranks: MPIEnvironment) throws {
    let work = group.beginWork("reading")
    if group.rank == group.size - 1 { sleep(6) }
    try work.end()
    try group.barrier().wait()
}

/// One process is stopped while it works; another works on.
@Sendable func freezesAtWork(_ group: any Communicator, _ ranks: MPIEnvironment) throws {
    print("PROCESS \(getpid())")
    fflush(nil)
    let work = group.beginWork("reading")
    if group.rank == group.size - 1 { kill(getpid(), SIGSTOP) }
    if group.rank == 1 { sleep(30) }
    try work.end()
}
