import Foundation
import TestSupport
import Testing

/// prlimit, which starts a program that may open only so many files.
enum FewDescriptors {
    static let program = ["/usr/bin/prlimit", "/bin/prlimit"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }
}

extension Chaos {
    /// Runs that may open only so many files.
    @Suite(
        .serialized,
        .enabled(if: FewDescriptors.program != nil, "prlimit (of util-linux) is missing"))
    struct DescriptorTests {
        /// From too few for the system's loader to more than a run needs, and one in between in the short form.
        @Test(arguments: DiskRun.Layout.allCases)
        func tooFewDescriptorsAreOneClearErrorOrNone(layout: DiskRun.Layout) throws {
            guard Chaos.isLong || layout != .data else { return }
            let limits = Chaos.isLong ? many(layout) : [layout == .alone ? 9 : 24]
            var outcomes: [String] = []
            for limit in limits {
                let trial = "\(limit) descriptors, \(layout.rawValue)"
                let run = try DiskRun(layout)
                let launch = try train(run, limit: limit)
                try run.expectIntact(launch, trial)
                outcomes.append("\(limit): \(launch.exitCode)")
                let ours = launch.errorLines.filter { $0.hasPrefix("error:") }
                switch launch.exitCode {
                case 0: break
                case 5:
                    DiskRun.expectOneError(launch, naming: [], trial)
                    #expect(
                        ours.first?.contains("Too many open files") == true
                            || ours.first?.contains("MPI") == true, "\(trial): \(launch.summary)")
                case 127 where launch.errors.contains("error while loading shared libraries"): break
                default:
                    // The message library ends what it cannot start, with a code and a text of its own.
                    #expect(
                        layout != .alone && ours.isEmpty && launch.errors != "",
                        "\(trial): \(launch.summary)")
                }
            }
            Chaos.report(
                "few descriptors, \(layout.rawValue) (limit: exit code): "
                    + outcomes.joined(separator: ", "))
        }

        /// Checkpoints are many files, of which few are open at a time, and old ones go all the same.
        @Test func manyFilesNeedFewDescriptors() throws {
            let (ranks, keep) = (Chaos.isLong ? 8 : 4, 8)
            let (limit, steps) = (Chaos.isLong ? 64 : 32, Chaos.isLong ? 50 : 11)
            let run = try RunFolder()
            let words =
                ["--nofile=\(limit)", try Program("murmur").path, "train"]
                + [RunFolder.configuration]
                + run.settings([
                    "run.steps=\(steps)", "run.threads=1", "checkpoint.every=1",
                    "checkpoint.keep=\(keep)", "batch.sequences=24", "numerics.groups=8",
                ])
            let program = FewDescriptors.program ?? "prlimit"
            let launch = try Program.run((0..<ranks).map { _ in Program.Rank(program, words) })
            #expect(launch.exitCode == 0, "\(launch.summary)")
            #expect(!launch.errors.contains("warning:"), "\(launch.summary)")
            #expect(run.checkpoints == Array(steps - keep + 1...steps))
            Chaos.report(
                "\(steps) saves of \(ranks) ranks with \(limit) descriptors, \(keep) kept: steps "
                    + "\(run.checkpoints.first ?? 0) to \(run.checkpoints.last ?? 0) stay")
        }

        /// Where descriptors run out while old checkpoints are looked at, those stay, with a warning; the new one is there.
        @Test(.enabled(if: Injection.isPossible, "\(Injection.requirement)"))
        func descriptorsThatRunOutInPruningAreAWarning() throws {
            let run = try DiskRun(.alone)
            let stop = DiskRun.lastStep - DiskRun.interval
            let before = try run.train(["--stop-at", "\(stop)"])
            try #require(before.exitCode == 0, "\(before.summary)")
            let steps = run.run.checkpoints
            // The oldest, which nobody but the removal needs.
            let oldest = run.run.checkpoint(DiskRun.interval)
            let injection = [
                "-f", "-P", oldest, "-e", "trace=openat", "-e", "inject=openat:error=EMFILE",
                "-o", "/dev/null", try Program("murmur").path,
            ]
            let words = run.words(["--set", "checkpoint.keep=1", "--resume"])
            let launch = try Program(path: Injection.program ?? "strace").run(injection + words)
            #expect(launch.exitCode == 0, "\(launch.summary)")
            #expect(run.run.checkpoints == steps + [DiskRun.lastStep], "\(launch.summary)")
            let warnings = launch.errorLines.filter { $0.hasPrefix("warning:") }
            #expect(
                warnings.count == 1 && warnings[0].contains(oldest)
                    && warnings[0].contains("Too many open files")
                    && warnings[0].hasSuffix("older checkpoints stay"), "\(launch.summary)")
        }

        /// The message library alone wants a dozen.
        private func many(_ layout: DiskRun.Layout) -> [Int] {
            Array(layout == .alone ? 3...16 : 10...34)
        }

        /// Every rank has the limit, mpirun has not.
        private func train(_ run: DiskRun, limit: Int) throws -> Launch {
            let program = FewDescriptors.program ?? "prlimit"
            let words =
                ["--nofile=\(limit)", try Program("murmur").path] + run.words()
            guard run.layout.ranks != nil else { return try Program(path: program).run(words) }
            return try Program.run(
                (0..<run.layout.rankCount).map { _ in Program.Rank(program, words) })
        }
    }
}
