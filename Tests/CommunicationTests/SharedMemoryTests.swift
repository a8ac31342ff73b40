import Communication
import Glibc
import TestSupport
import Testing

extension CommunicationTests {
    /// Groups that share memory: the scenarios of every group, the same bits, and what happens when a rank
    /// does not do its part.
    @Suite struct SharedMemory {
        static let scenarios =
            Collectives.collectives + ["many", "same-as-messages", "crossing", "made-buffers"]

        @Test(arguments: Backend.allCases, [2, 3, 4])
        func everyCollectiveHoldsItsPromise(backend: Backend, ranks: Int) throws {
            try expectPasses(backend, ranks, [], on: "shared memory")
        }

        @Test(arguments: [5, 6, 7, 8])
        func otherShapesOfTheTree(ranks: Int) throws {
            try expectPasses(.inProcess, ranks, [], on: "shared memory")
        }

        /// Many chunks, every sum in pieces; and every sum whole.
        @Test(
            arguments: [2, 3, 4, 6],
            [
                ["--shared-chunk", "1024", "--shared-direct", "0"],
                ["--shared-chunk", "16384", "--shared-direct", "0"],
                ["--shared-chunk", "16384", "--shared-direct", "1000000000"],
            ])
        func slotsOfAnySize(ranks: Int, options: [String]) throws {
            try expectPasses(.inProcess, ranks, options, on: "shared memory")
        }

        /// Hosts that have a branch of the tree each, and others; the last of them has fewer ranks where the
        /// size does not divide.
        @Test(arguments: [
            (4, 2), (6, 3), (8, 2), (12, 3), (6, 2), (12, 4), (3, 2), (4, 3), (5, 2), (8, 3),
            (13, 6),
        ])
        func severalHosts(ranks: Int, hostSize: Int) throws {
            try expectPasses(
                .inProcess, ranks, ["--host-size", "\(hostSize)", "--shared-chunk", "4096"],
                on: path(ranks, hostSize))
        }

        /// All sums between hosts in pieces, of many messages each.
        @Test(arguments: [(6, 2), (8, 3)])
        func messagesOfAnySizeBetweenHosts(ranks: Int, hostSize: Int) throws {
            try expectPasses(
                .inProcess, ranks,
                ["--host-size", "\(hostSize)", "--direct", "0", "--chunk", "1000"],
                on: path(ranks, hostSize))
        }

        @Test(arguments: [(4, 2), (5, 2), (4, 3)])
        func severalHostsOfProcesses(ranks: Int, hostSize: Int) throws {
            try expectPasses(
                .mpi, ranks, ["--host-size", "\(hostSize)"], on: path(ranks, hostSize))
        }

        @Test(arguments: [(6, 2), (7, 3), (8, 3)])
        func groupsStandAnywhereOnHosts(ranks: Int, hostSize: Int) throws {
            let launch = try launch(
                .inProcess, ranks: ranks,
                ["--deadline", "30", "--host-size", "\(hostSize)", "anywhere"])
            #expect(launch.exitCode == 0 && launch.passed("anywhere"), "\(launch.summary)")
        }

        private func path(_ ranks: Int, _ hostSize: Int) -> String {
            let (least, hosts) = (ranks % hostSize, (ranks + hostSize - 1) / hostSize)
            return
                "shared memory of \(least == 0 ? "" : "\(least) to ")\(hostSize) ranks on each of "
                + "\(hosts) hosts, messages between them"
        }

        /// What cannot share memory says why, and goes by messages.
        @Test(arguments: [
            (4, ["--host-size", "1"], "each rank on a host of its own"),
            (2, ["--room", "1000"], "/dev/shm with 1000 bytes free, where "),
        ])
        func whereMemoryCannotBeShared(ranks: Int, options: [String], reason: String) throws {
            try expectPasses(.inProcess, ranks, options, on: "messages, because of " + reason)
        }

        @Test func aSmallSharedFileSystemMeansMessages() throws {
            try expectPasses(
                .mpi, 2, ["--room", "1000"], on: "messages, because of /dev/shm with 1000 bytes")
        }

        /// Memory for what is exchanged is one for all ranks of a host; where a rank does not see it, each has its own.
        @Test(arguments: Backend.allCases)
        func commonMemoryIsOne(backend: Backend) throws {
            let shared = try launch(
                backend, ranks: 3, ["--shared", "1", "--deadline", "30", "one-memory"])
            #expect(shared.exitCode == 0 && shared.passed("one-memory"), "\(shared.summary)")
            let apart = try launch(
                backend, ranks: 3,
                ["--shared", "1", "--deadline", "30", "--blind", "2", "one-memory"])
            #expect(apart.exitCode == 1, "control: \(apart.summary)")
            #expect(apart.errors.contains("expected rank 0's 7"), "\(apart.summary)")
            for fault in ["--blind", "--mistaken"].flatMap({ [[$0, "0"], [$0, "2"]] }) {
                let options = ["--shared", "1", "--deadline", "30"] + fault
                let made = try launch(backend, ranks: 3, options + ["made-buffers"])
                #expect(made.exitCode == 0 && made.passed("made-buffers"), "\(made.summary)")
            }
        }

        /// One host falls back, and all do: a broadcast goes the same way everywhere.
        @Test(arguments: Backend.allCases, [["--blind", "3"], ["--mistaken", "2"]])
        func aHostThatSeesNothingTakesTheOthersAlong(backend: Backend, fault: [String]) throws {
            let launch = try launch(
                backend, ranks: 4,
                ["--shared", "1", "--deadline", "30", "--host-size", "2"] + fault
                    + ["made-buffers"])
            #expect(launch.exitCode == 0 && launch.passed("made-buffers"), "\(launch.summary)")
        }

        /// Ranks that ask for different memory are named.
        @Test(arguments: Backend.allCases)
        func memoryOfDifferentSizesIsRefused(backend: Backend) throws {
            let launch = try launch(
                backend, ranks: 2, ["--shared", "1", "--deadline", "30", "differ-memory"])
            #expect(launch.exitCode == 1 && !launch.timedOut, "\(launch.summary)")
            #expect(
                launch.errors.contains("; the ranks' buffers or operations differ"),
                "\(launch.summary)")
        }

        /// One digest of a million elements a number of ranks, by messages and through memory, whatever the
        /// chunks and the hosts.
        @Test(arguments: [2, 3, 4, 6, 8])
        func bitsDependOnTheNumberOfRanksAlone(ranks: Int) throws {
            var digests = [try digest(.inProcess, ranks, [])]
            let shared = ["--shared", "1"]
            digests.append(try digest(.inProcess, ranks, shared))
            digests.append(try digest(.inProcess, ranks, shared + ["--shared-chunk", "10000"]))
            digests.append(try digest(.inProcess, ranks, shared + ["--shared-direct", "0"]))
            for hostSize in Set([2, 3, (ranks + 1) / 2]) {
                digests.append(
                    try digest(.inProcess, ranks, shared + ["--host-size", "\(hostSize)"]))
            }
            if ranks <= 4 { digests.append(try digest(.mpi, ranks, shared)) }
            #expect(Set(digests).count == 1, "\(digests)")
            let other = try digest(.inProcess, ranks + 1, shared)
            #expect(
                !digests.contains(other), "control: another number of ranks, the same digest")
        }

        private func digest(_ backend: Backend, _ ranks: Int, _ options: [String]) throws -> String
        {
            let launch = try launch(backend, ranks: ranks, options + ["large"])
            #expect(launch.exitCode == 0, "\(launch.summary)")
            return try #require(launch.value(after: "DIGEST"))
        }

        private func expectPasses(
            _ backend: Backend, _ ranks: Int, _ options: [String], on path: String
        ) throws {
            // Where ranks wait for one another the deadline ends it.
            let launch = try launch(
                backend, ranks: ranks,
                ["--shared", "1", "--deadline", "30"] + options + Self.scenarios)
            #expect(launch.exitCode == 0 && !launch.timedOut, "\(launch.summary)")
            let found = try #require(launch.value(after: "PATH"))
            #expect(found.hasPrefix(path), "\(launch.summary)")
            for scenario in Self.scenarios {
                #expect(launch.passed(scenario), "\(scenario): \(launch.summary)")
            }
        }
    }
}
