import Communication
import Glibc
import Synchronization
import Tensors
import TestSupport
import Testing

extension CommunicationTests {
    /// Ranks that work for longer than the deadline of a message.
    @Suite struct LongWorks {
        private static var options: CommunicationOptions {
            var options = CommunicationOptions()
            options.deadline = .seconds(3)
            options.reminder = .milliseconds(200)
            return options
        }

        private static let twoDeadlines: useconds_t = 6_000_000

        @Test func aRankThatWorksIsWaitedForAndTold() throws {
            let reminders = Mutex<[String]>([])
            let sums = try InProcess.run(ranks: 3, options: Self.options) { world in
                let work = world.beginWork("opening data")
                if world.rank == 1 { usleep(Self.twoDeadlines) }
                try work.end { ranks in
                    if world.rank == 0 { reminders.withLock { $0.append(ranks) } }
                }
                return try Self.sum(of: world)
            }
            #expect(sums == [3, 3, 3])
            let told = reminders.withLock { $0 }
            #expect(told.count >= 2)
            #expect(told.allSatisfy { $0.hasPrefix("1 (host ") }, "\(told)")
        }

        /// Also where the others wait for it in the middle, by messages or in memory.
        @Test(arguments: [false, true])
        func soItIsInOperationsOfTheWork(sharesMemory: Bool) throws {
            let sums = try InProcess.run(ranks: 3, options: Self.options) { world in
                let group = try world.split(color: 0, key: world.rank, sharesMemory: sharesMemory)
                let outer = world.beginWork("everything")
                let inner = world.beginWork("a part")
                if world.rank == 1 { usleep(Self.twoDeadlines) }
                let found = try Self.sum(of: group)
                try inner.end()
                try outer.end()
                return found
            }
            #expect(sums == [3, 3, 3])
        }

        /// Control: work that nobody has told of.
        @Test func otherwiseItIsNot() throws {
            #expect(throws: CommunicationError.self) {
                try InProcess.run(ranks: 2, options: Self.options) { world in
                    if world.rank == 1 { usleep(Self.twoDeadlines) }
                    return try Self.sum(of: world)
                }
            }
        }

        /// Ranks that wait for one another in different operations all work on, and none does.
        @Test func ranksThatOnlyWaitRunIntoTheDeadline() throws {
            #expect(throws: CommunicationError.self) {
                try InProcess.run(ranks: 2, options: Self.options) { world in
                    let work = world.beginWork("a riddle")
                    let peer = 1 - world.rank
                    try world.receive(Buffer(count: 1), from: peer, tag: 0).wait()
                    try work.end()
                }
            }
        }

        /// One of them waits for the end of a work within another, to which it has no more to do than the rest.
        @Test func soDoRanksOfWhichOneIsAtTheEndOfItsPart() throws {
            #expect(throws: CommunicationError.self) {
                try InProcess.run(ranks: 2, options: Self.options) { world in
                    let outer = world.beginWork("a riddle")
                    let inner = world.beginWork("a part of it")
                    let answer = Buffer(count: 1)
                    if world.rank == 1 { try world.receive(answer, from: 0, tag: 0).wait() }
                    var (reminders, sent) = (0, [PendingOperation]())
                    try inner.end { _ in
                        reminders += 1
                        // Many deadlines later: lets the test end where none is met.
                        if reminders == 150 { sent.append(world.send(answer, to: 1, tag: 0)) }
                    }
                    try outer.end()
                }
            }
        }

        @Test(arguments: Backend.allCases, [1, 2, 3, 5])
        func workThatIsShortCostsABarrier(backend: Backend, ranks: Int) throws {
            if backend == .mpi && ranks == 5 { return }
            let launch = try launch(backend, ranks: ranks, ["short-work"])
            #expect(launch.exitCode == 0 && launch.passed("short-work"), "\(launch.summary)")
        }

        @Test func aProcessThatWorksIsWaitedFor() throws {
            let launch = try launch(.mpi, ranks: 2, ["--deadline", "2", "works"])
            #expect(launch.exitCode == 0 && launch.passed("works"), "\(launch.summary)")
        }

        /// Before there is a world: a rank enters only when the first one has said that it waits.
        @Test func ranksThatHaveNotStartedAreWaitedForAndTold() throws {
            let launch = try launch(.mpi, ranks: 2, ["--late", "1", "barrier"], timeout: 90)
            #expect(launch.exitCode == 0 && launch.passed("barrier"), "\(launch.summary)")
            #expect(launch.output.contains("WAITING"), "\(launch.summary)")
        }

        /// Its communication thread is stopped with it.
        @Test func aProcessThatIsFrozenAtWorkIsNamed() throws {
            let launch = try launch(
                .mpi, ranks: 3, ["--deadline", "2", "freezes-at-work"])
            #expect(launch.exitCode == 8 && !launch.timedOut, "\(launch.summary)")
            #expect(
                launch.errors.contains(
                    "reading: expected a sign of life within 2.0 seconds, found none from rank 2 (host "
                ), "\(launch.summary)")
            expectGone(processes(in: launch.output), count: 3)
        }

        /// 3 on every rank of three.
        private static func sum(of group: any Communicator) throws -> Float {
            let buffer = Buffer(count: 1)
            buffer.floats[0] = 1
            try group.allReduce(buffer).wait()
            return buffer.floats[0]
        }
    }
}
