import TestSupport
import Testing

/// One launch at a time: the ranks of two would compete for the cores.
@Suite(.serialized) enum CommunicationTests {}

extension CommunicationTests {
    /// The same scenarios on both backends, on ranks that are threads and on ranks that are processes.
    @Suite struct Collectives {
        static let collectives = [
            "all-reduce", "maximum", "reduce-scatter", "wire", "all-gather", "broadcast", "barrier",
            "point-to-point", "overlap", "split", "gather-all", "gather-first",
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
                for options in [
                    [], ["--chunk", "10000", "--direct", "0"], ["--direct", "100000000"],
                ] {
                    let launch = try launch(backend, ranks: ranks, options + ["large"])
                    #expect(launch.exitCode == 0, "\(launch.summary)")
                    digests.insert(try #require(launch.value(after: "DIGEST")))
                }
            }
            #expect(digests.count == 1)
            let other = try launch(.inProcess, ranks: ranks + 1, ["large"])
            let otherDigest = try #require(other.value(after: "DIGEST"))
            #expect(
                !digests.contains(otherDigest), "control: another number of ranks, the same digest")
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
}
