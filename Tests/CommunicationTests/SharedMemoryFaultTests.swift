import Communication
import Glibc
import Tensors
import TestSupport
import Testing

extension CommunicationTests {
    /// What happens to those who share memory with a rank that does not do its part.
    @Suite struct SharedMemoryFaults {
        @Test(arguments: Backend.allCases)
        func aSilentRankIsNamedInTime(backend: Backend) throws {
            let launch = try share(backend, 3, ["--deadline", "2", "silent"])
            #expect(launch.exitCode == 8 && !launch.timedOut, "\(launch.summary)")
            #expect(
                launch.errors.contains(
                    "all-reduce 1 of group 1, 256 bytes: expected progress within 2.0 seconds, found 256 "
                        + "bytes outstanding from rank 2 (host "), "\(launch.summary)")
            #expect(launch.seconds > 2, "\(launch.summary)")
        }

        /// Of several hosts: by memory on its own, by messages on another.
        @Test(arguments: Backend.allCases, [(4, 2), (5, 3)])
        func aSilentRankAmongHostsIsNamedInTime(
            backend: Backend, shape: (ranks: Int, hostSize: Int)
        ) throws {
            let launch = try share(
                backend, shape.ranks,
                ["--deadline", "2", "--host-size", "\(shape.hostSize)", "silent"])
            #expect(launch.exitCode == 8 && !launch.timedOut, "\(launch.summary)")
            #expect(launch.errors.contains("outstanding from rank "), "\(launch.summary)")
            #expect(launch.seconds > 2, "\(launch.summary)")
        }

        @Test func aFrozenRankIsNamedAndEnded() throws {
            let launch = try share(.mpi, 2, ["--deadline", "2", "freezes"])
            #expect(launch.exitCode == 8 && !launch.timedOut, "\(launch.summary)")
            #expect(launch.errors.contains("outstanding from rank 1"), "\(launch.summary)")
            expectGone(processes(in: launch.output), count: 2)
        }

        /// One process is killed while the others wait for it in shared memory, or by messages.
        @Test(arguments: [3, 2])
        func aKilledRankLeavesNobodyBehind(hostSize: Int) throws {
            var ranks: [pid_t] = []
            let launch = try share(.mpi, 3, ["--host-size", "\(hostSize)", "stays"]) { running in
                ranks = processes(in: running.output)
                guard ranks.count == 3 else { return false }
                kill(ranks[2], SIGKILL)
                return true
            }
            #expect(launch.exitCode != 0 && !launch.timedOut, "\(launch.summary)")
            expectGone(ranks, count: 3)
        }

        @Test(arguments: Backend.allCases)
        func aRankThatGivesUpEndsAll(backend: Backend) throws {
            let launch = try share(backend, 3, ["leaves"])
            #expect(launch.exitCode == 1 && !launch.timedOut, "\(launch.summary)")
            #expect(launch.errors.contains("this rank has had enough"), "\(launch.summary)")
        }

        @Test(arguments: [("abort", Int32(75)), ("exits", 3)])
        func exitCodesComeThrough(scenario: String, code: Int32) throws {
            let launch = try share(.mpi, 3, [scenario])
            #expect(launch.exitCode == code && !launch.timedOut, "\(launch.summary)")
        }

        @Test(
            arguments: Backend.allCases,
            [
                ("differ-gather", "all-gather of 200 bytes", "all-gather of 160 bytes"),
                ("differ-kind", "all-reduce of 40 bytes", "all-reduce (maximum) of 40 bytes"),
                (
                    "differ-pieces", "reduce-scatter of 160 bytes",
                    "reduce-scatter of 160 bytes in other pieces"
                ),
            ])
        func ranksThatDisagreeAreNamed(
            backend: Backend, scenario: (name: String, one: String, other: String)
        ) throws {
            let launch = try share(backend, 2, [scenario.name])
            #expect(launch.exitCode == 1 && !launch.passed(scenario.name), "\(launch.summary)")
            #expect(
                [(scenario.one, scenario.other), (scenario.other, scenario.one)].contains { pair in
                    launch.errors.contains("expected \(pair.0) on rank ")
                        && launch.errors.contains(
                            "found \(pair.1); the ranks' buffers or operations differ")
                }, "\(launch.summary)")
        }

        /// After a deadline nothing completes any more, through memory or by messages, and nothing hangs.
        @Test func afterAnErrorOperationsFail() throws {
            var options = CommunicationOptions()
            options.deadline = .milliseconds(300)
            let kinds = try InProcess.run(ranks: 2, options: options) { world in
                let group = try world.split(color: 0, key: world.rank, sharesMemory: true)
                var kinds: [CommunicationError.Kind] = []
                guard world.rank == 0 else {
                    usleep(1_000_000)
                    return kinds
                }
                let inFlight = [world.barrier(), group.barrier(), group.barrier()]
                for make in [
                    { inFlight[2] }, { inFlight[1] }, { inFlight[0] }, { world.barrier() },
                    { group.allReduce(Buffer(count: 3)) },
                ] {
                    do { try make().wait() } catch let error as CommunicationError {
                        kinds.append(error.kind)
                    }
                }
                return kinds
            }
            #expect(kinds[0] == Array(repeating: .deadline, count: 5))
        }

        private func share(
            _ backend: Backend, _ ranks: Int, _ arguments: [String],
            whileRunning: (Program.Running) -> Bool = { _ in true }
        ) throws -> Launch {
            try launch(
                backend, ranks: ranks, ["--shared", "1"] + arguments,
                whileRunning: whileRunning)
        }
    }
}

/// What scenarios have printed of their processes.
func processes(in output: String) -> [pid_t] {
    output.split(separator: "\n").compactMap { line in
        line.hasPrefix("PROCESS ") ? pid_t(line.dropFirst("PROCESS ".count)) : nil
    }
}

func expectGone(_ processes: [pid_t], count: Int) {
    #expect(processes.count == count)
    #expect(
        waitUntil { !processes.contains(where: isAlive) },
        "processes \(processes) are still there")
}
