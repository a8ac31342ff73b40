import Communication
import Glibc
import Tensors
import Testing

extension CommunicationTests {
    /// Ranks as threads of this very process.
    @Suite struct Threads {
        struct GivenUp: Error {}

        @Test func aloneEverythingIsCompleteAtOnce() throws {
            let alone = InProcess.alone()
            let buffer = Buffer(count: 3)
            for index in 0..<3 { buffer.floats[index] = Float(index) }
            try alone.allReduce(buffer).wait()
            try alone.reduceScatter(buffer, counts: [3]).wait()
            try alone.allGather(buffer, counts: [3]).wait()
            try alone.broadcast(buffer, from: 0).wait()
            try alone.barrier().wait()
            #expect((0..<3).allSatisfy { buffer.floats[$0] == Float($0) })
            #expect(try alone.gatherAll("me") == ["me"])
            #expect(try alone.split(color: 3, key: 1).size == 1)
            #expect(alone.secondsWaited == 0)
        }

        @Test func resultsComeByRank() throws {
            #expect(try InProcess.run(ranks: 4) { $0.rank * 10 } == [0, 10, 20, 30])
        }

        @Test func theFirstErrorIsThrown() throws {
            #expect(throws: GivenUp.self) {
                try InProcess.run(ranks: 3) { world in
                    if world.rank == 1 { throw GivenUp() }
                    try world.barrier().wait()
                }
            }
        }

        @Test(arguments: [false, true]) func waitingIsCounted(sharesMemory: Bool) throws {
            let waited = try InProcess.run(ranks: 2) { world in
                let group = try world.split(color: 0, key: world.rank, sharesMemory: sharesMemory)
                let before = world.secondsWaited
                if world.rank == 1 { sleep(2) }
                try group.barrier().wait()
                return world.secondsWaited - before
            }
            #expect(waited[0] > 0.1 && waited[1] < waited[0], "\(waited)")
        }

        /// Operations go on while the ranks compute: afterwards hardly anything is left to wait for.
        @Test func progressNeedsNoWaiting() throws {
            let shares = (0..<5).map { _ in
                let waited = try? InProcess.run(ranks: 2) { world in
                    let buffer = Buffer(count: 1_000_000)
                    buffer.clear()
                    let pending = world.allReduce(buffer)
                    usleep(400_000)
                    try pending.wait()
                    return world.secondsWaited
                }
                return waited?.max() ?? .infinity
            }
            #expect(shares.contains { $0 < 0.001 }, "seconds waited: \(shares)")
        }

        /// After a deadline nothing completes any more, and nothing hangs.
        @Test func afterAnErrorOperationsFail() throws {
            var options = CommunicationOptions()
            options.deadline = .milliseconds(300)
            let kinds = try InProcess.run(ranks: 2, options: options) { world in
                var kinds: [CommunicationError.Kind] = []
                guard world.rank == 0 else {
                    usleep(1_000_000)
                    return kinds
                }
                let inFlight = [world.barrier(), world.barrier()]
                for make in [{ inFlight[1] }, { inFlight[0] }, { world.barrier() }] {
                    do { try make().wait() } catch let error as CommunicationError {
                        kinds.append(error.kind)
                    }
                }
                return kinds
            }
            #expect(kinds[0] == [.deadline, .deadline, .deadline])
        }
    }
}
