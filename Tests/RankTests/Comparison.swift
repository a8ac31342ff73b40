// A look by hand: how fast sums over ranks are. Nothing here can fail.

import Communication
import Tensors

/// Prints a table of all-reduces from 8 bytes to 256 MiB: through shared memory, by messages, and the
/// library's own, in turn, so that what else the machine does meets all of them.
@Sendable func compare(_ group: any Communicator, _ ranks: MPIEnvironment) throws {
    let world = ranks.world
    let shared = try world.split(color: 0, key: world.rank, sharesMemory: true)
    let columns = [shared.path, "messages", "MPI_Allreduce"]
    if world.rank == 0 {
        print("\(world.size) ranks; µs best/median of \(columns.joined(separator: ", "))")
    }
    var byteCount = 8
    while byteCount <= 256 << 20 {
        let buffer = Buffer(count: byteCount / 4)
        buffer.clear()
        let rounds = max(1, min(200, (4 << 20) / byteCount))
        var times = [[Double]](repeating: [], count: 3)
        for _ in 0..<batches(byteCount) {
            times[0] += try time(rounds) { try shared.allReduce(buffer).wait() }
            times[1] += try time(rounds) { try world.allReduce(buffer).wait() }
            times[2] += try ranks.timeLibraryAllReduce(buffer, rounds: rounds)
        }
        if world.rank == 0 { print(row(byteCount, times)) }
        byteCount *= byteCount == 8 ? 128 : 4
    }
}

/// Many, so that some meet a quiet moment.
private func batches(_ byteCount: Int) -> Int {
    byteCount <= 16 << 20 ? 20 : byteCount <= 64 << 20 ? 8 : 4
}

private func time(_ rounds: Int, _ body: () throws -> Void) throws -> [Double] {
    try (0..<rounds).map { _ in
        let start = now()
        try body()
        return Double(now() - start) * 1e-9
    }
}

private func row(_ byteCount: Int, _ times: [[Double]]) -> String {
    let sorted = times.map { $0.sorted() }
    let cells = sorted.map { "\(decimal($0[0] * 1e6)) / \(decimal($0[$0.count / 2] * 1e6))" }
    let (ours, theirs) = (sorted[0], sorted[2])
    let best = theirs[0] / ours[0]
    let median = theirs[theirs.count / 2] / ours[ours.count / 2]
    return "| \(byteCount) | " + cells.joined(separator: " | ")
        + " | \(decimal(best)) / \(decimal(median)) |"
}

/// With two digits after the point.
private func decimal(_ number: Double) -> String {
    let hundredths = Int(number * 100 + 0.5)
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
}
