import Communication
import Foundation
import Glibc
import Tensors
import Testing

/// Collectives on both backends: the same scenarios, on ranks that are threads and on ranks that are
/// processes under mpirun.
@Suite(.serialized) struct CommunicationTests {
    static let collectives = [
        "all-reduce", "maximum", "reduce-scatter", "all-gather", "broadcast", "barrier",
        "point-to-point", "overlap", "split", "gather-all",
    ]

    @Test(arguments: Backend.allCases, [1, 2, 3, 4])
    func everyCollectiveHoldsItsPromise(backend: Backend, ranks: Int) throws {
        try expectPasses(backend, ranks, [], Self.collectives + ["many"])
    }

    /// What is cut into many chunks, and so what is beyond 2 GiB, gives the same.
    @Test(arguments: Backend.allCases, [1, 2, 3, 4])
    func messagesAreCut(backend: Backend, ranks: Int) throws {
        try expectPasses(
            backend, ranks, ["--chunk", "250", "--direct", "0"], Self.collectives)
    }

    @Test(arguments: Backend.allCases)
    func sequenceNumbersComeRound(backend: Backend) throws {
        try expectPasses(backend, 2, ["--tag-limit", "32767"], ["many", "split"])
    }

    @Test(arguments: [5, 6, 7, 8])
    func otherShapesOfTheTree(ranks: Int) throws {
        try expectPasses(.inProcess, ranks, ["--chunk", "1000"], Self.collectives)
    }

    /// One digest a number of ranks, whatever the backend, the chunks and the threshold.
    @Test(arguments: [1, 2, 3, 4])
    func bitsDependOnTheNumberOfRanksAlone(ranks: Int) throws {
        var digests: Set<String> = []
        for backend in Backend.allCases {
            for options in [[], ["--chunk", "10000", "--direct", "0"], ["--direct", "100000000"]] {
                let launch = try launch(backend, ranks: ranks, options + ["large"])
                #expect(launch.exitCode == 0, "\(launch.summary)")
                digests.insert(try #require(launch.value(after: "DIGEST")))
            }
        }
        #expect(digests.count == 1)
        let other = try launch(.inProcess, ranks: ranks + 1, ["large"])
        let otherDigest = try #require(other.value(after: "DIGEST"))
        #expect(!digests.contains(otherDigest), "control: another number of ranks, the same digest")
    }

    private func expectPasses(
        _ backend: Backend, _ ranks: Int, _ options: [String], _ scenarios: [String]
    ) throws {
        let launch = try launch(backend, ranks: ranks, options + scenarios)
        #expect(launch.exitCode == 0 && !launch.timedOut, "\(launch.summary)")
        for scenario in scenarios {
            #expect(launch.passed(scenario), "\(scenario): \(launch.summary)")
        }
    }
}

/// What happens when a rank does not do its part.
@Suite(.serialized) struct CommunicationFaultTests {
    @Test(arguments: Backend.allCases)
    func aSilentRankIsNamedInTime(backend: Backend) throws {
        let launch = try launch(backend, ranks: 3, ["--deadline", "2", "silent"], timeout: 60)
        #expect(launch.exitCode == 8 && !launch.timedOut, "\(launch.summary)")
        #expect(
            launch.errors.contains(
                "all-reduce 1 of group 0, 256 bytes: expected progress within 2.0 seconds, found 256 "
                    + "bytes outstanding from rank 2"), "\(launch.summary)")
        #expect(launch.seconds > 2 && launch.seconds < 20, "\(launch.summary)")
    }

    @Test(arguments: Backend.allCases)
    func buffersOfDifferentSizesAreNamed(backend: Backend) throws {
        let launch = try launch(backend, ranks: 2, ["mismatch"], timeout: 60)
        #expect(launch.exitCode == 1, "\(launch.summary)")
        #expect(launch.errors.contains("expected 48 bytes, found 40"), "\(launch.summary)")
    }

    @Test(arguments: Backend.allCases)
    func aRankThatGivesUpEndsAll(backend: Backend) throws {
        let launch = try launch(backend, ranks: 3, ["leaves"], timeout: 60)
        #expect(launch.exitCode == 1 && launch.seconds < 30, "\(launch.summary)")
        #expect(launch.errors.contains("this rank has had enough"), "\(launch.summary)")
    }

    @Test(arguments: [("abort", Int32(75)), ("exits", 3)])
    func exitCodesComeThrough(scenario: String, code: Int32) throws {
        let launch = try launch(.mpi, ranks: 3, [scenario], timeout: 60)
        #expect(launch.exitCode == code && launch.seconds < 30, "\(launch.summary)")
        #expect(!launch.passed(scenario))
    }

    @Test func aRankKnowsItsHost() throws {
        let launch = try launch(.mpi, ranks: 3, ["placement"])
        #expect(launch.exitCode == 0 && launch.passed("placement"), "\(launch.summary)")
    }

    /// Neither a rank that waits nor one that computes outlives its launcher.
    @Test func noRankOutlivesMpirun() throws {
        var processes: [pid_t] = []
        _ = try launch(.mpi, ranks: 2, ["stays"], timeout: 60) { mpirun, output in
            processes = output().split(separator: "\n").compactMap { line in
                line.hasPrefix("PROCESS ") ? pid_t(line.dropFirst("PROCESS ".count)) : nil
            }
            guard processes.count == 2 else { return false }
            kill(mpirun.processIdentifier, SIGKILL)
            return true
        }
        #expect(processes.count == 2)
        let end = monotonicSeconds() + 5
        while monotonicSeconds() < end, processes.contains(where: isAlive) { usleep(20_000) }
        #expect(!processes.contains(where: isAlive), "processes \(processes) are still there")
    }

    /// A process that has ended but has not been collected is no longer alive.
    private func isAlive(_ process: pid_t) -> Bool {
        guard let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        else { return false }
        return status.split(separator: ")").last?.split(separator: " ").first != "Z"
    }
}

/// Ranks as threads of this very process.
@Suite(.serialized) struct InProcessTests {
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

    @Test func waitingIsCounted() throws {
        let waited = try InProcess.run(ranks: 2) { world in
            if world.rank == 1 { usleep(300_000) }
            try world.barrier().wait()
            return world.secondsWaited
        }
        #expect(waited[0] > 0.1 && waited[0] < 30)
        #expect(waited[1] < waited[0])
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
