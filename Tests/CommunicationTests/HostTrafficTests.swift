import Communication
import Synchronization
import Tensors
import Testing

/// What passes between hosts: of a sum, the branches of the tree that each has, and the result once a host.
@Suite struct HostTrafficTests {
    /// - Parameter branches: how many branches of the canonical tree over the ranks each host has, the largest
    ///   that it has whole.
    @Test(arguments: [
        (6, 3, [1, 1]), (12, 6, [1, 1]), (24, 12, [1, 1]), (12, 3, [1, 1, 1, 1]),
        (6, 2, [1, 2, 2]), (12, 4, [2, 3, 2]), (12, 2, [1, 2, 2, 1, 2, 2]),
        (5, 2, [1, 2, 1]), (4, 3, [2, 1]), (8, 3, [2, 2, 1]), (8, 5, [2, 2]),
    ])
    func branchesAndResultsCrossOnce(ranks: Int, hostSize: Int, branches: [Int]) throws {
        let count = 14_400
        let hosts = branches.indices
        let sizes = hosts.map { min(hostSize, ranks - $0 * hostSize) }
        // A host gets the others' branches of its share, and whatever it has no share of.
        func scattered(_ share: (Int) -> Int) -> Int {
            hosts.map { share($0) * (branches.reduce(0, +) - branches[$0]) }.reduce(0, +)
        }
        let gathered = (hosts.count - 1) * count
        let shared = try floatsBetweenHosts(ranks, hostSize, count: count, sharesMemory: true)
        #expect(
            shared == [
                scattered { _ in count / hosts.count } + gathered,
                scattered { sizes[$0] * count / ranks }, gathered,
            ])
        // The control: by messages, each rank gets every other's part of its piece, and every other piece.
        let each = sizes.map { $0 * (ranks - $0) * count / ranks }.reduce(0, +)
        let messages = try floatsBetweenHosts(ranks, hostSize, count: count, sharesMemory: false)
        #expect(messages == [2 * each, each, each])
        #expect(zip(shared, messages).allSatisfy { $0 < $1 })
    }

    /// What a step exchanges, in memory that the group makes: nothing within a host; between hosts as much as ever.
    @Test(arguments: [(4, 4), (4, 2), (6, 3), (3, 2)])
    func madeBuffersStayOnTheirHost(ranks: Int, hostSize: Int) throws {
        let count = 14_400
        func bytes(sharesMemory: Bool) throws -> (within: Int, between: Int) {
            let (within, between) = (Counter(), Counter())
            var options = CommunicationOptions()
            options.sharedMemory.pretendedHostSize = hostSize
            options.watchMessage = { sender, receiver, byteCount in
                // Other messages are shorter: barriers, and what a group tells when it is made.
                guard byteCount > 1_000 else { return }
                let counter = sender / hostSize == receiver / hostSize ? within : between
                counter.bytes.add(byteCount, ordering: .relaxed)
            }
            try InProcess.run(ranks: ranks, options: options) { world in
                let group = try world.split(
                    color: 0, key: world.rank, sharesMemory: sharesMemory)
                let counts = Array(repeating: count / ranks, count: ranks)
                let gradients = try group.makeBuffer(count: count, dtype: .float32, .readable)
                let weights = try group.makeBuffer(count: count, dtype: .float32, .common)
                try group.reduceScatter(gradients, counts: counts).wait()
                try group.allGather(weights, counts: counts).wait()
                try group.broadcast(weights, from: ranks - 1).wait()
            }
            return (
                within.bytes.load(ordering: .relaxed), between.bytes.load(ordering: .relaxed)
            )
        }
        let shared = try bytes(sharesMemory: true)
        #expect(shared.within == 0)
        #expect((shared.between > 0) == (hostSize < ranks))
        let messages = try bytes(sharesMemory: false)
        #expect(messages.within > 0 && shared.between <= messages.between, "control")
    }

    /// Of an all-reduce, a reduce-scatter and an all-gather.
    private func floatsBetweenHosts(
        _ ranks: Int, _ hostSize: Int, count: Int, sharesMemory: Bool
    ) throws -> [Int] {
        let counts = Array(repeating: count / ranks, count: ranks)
        let actions: [@Sendable (any Communicator, Buffer) -> PendingOperation] = [
            { group, _ in group.barrier() },
            { group, buffer in group.allReduce(buffer) },
            { group, buffer in group.reduceScatter(buffer, counts: counts) },
            { group, buffer in group.allGather(buffer, counts: counts) },
        ]
        let bytes = try actions.map { act in
            let counter = Counter()
            var options = CommunicationOptions()
            options.directBytes = 0
            options.sharedMemory.pretendedHostSize = hostSize
            options.watchMessage = { sender, receiver, byteCount in
                // A barrier's messages are shorter.
                guard sender / hostSize != receiver / hostSize, byteCount > 64 else { return }
                counter.bytes.add(byteCount, ordering: .relaxed)
            }
            try InProcess.run(ranks: ranks, options: options) { world in
                let group = try world.split(
                    color: 0, key: world.rank, sharesMemory: sharesMemory)
                let buffer = Buffer(count: count)
                buffer.clear()
                try act(group, buffer).wait()
            }
            return counter.bytes.load(ordering: .relaxed)
        }
        return bytes[1...].map { ($0 - bytes[0]) / 4 }
    }

    private final class Counter: Sendable {
        let bytes = Atomic(0)
    }
}
