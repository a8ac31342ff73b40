import Foundation
import TestSupport
import Testing

extension Chaos {
    /// A disk that cannot read back what it holds: every read of a resume, once.
    @Suite(.serialized, .enabled(if: Injection.isPossible, "\(Injection.requirement)"))
    struct FailingReadTests {
        /// A run of three checkpoints to go on from.
        private func prepared() throws -> DiskRun {
            let run = try DiskRun(.alone)
            let launch = try run.train(["--stop-at", "\(3 * DiskRun.interval)"])
            try #require(launch.exitCode == 0, "\(launch.summary)")
            return run
        }

        /// Goes on from a copy of a run, with strace around it.
        private func resume(
            _ prepared: DiskRun, _ call: String, _ number: Int
        ) throws -> (run: DiskRun, launch: Launch, log: String) {
            let run = try DiskRun(.alone)
            try FileManager.default.copyItem(
                atPath: prepared.run.directory, toPath: run.run.directory)
            let log = run.run.folder.file("strace")
            let words =
                ["--seccomp-bpf"] + Injection.words(call, number, log: log)
                + [try Program("murmur").path] + run.words(["--resume"])
            let program = Program(path: Injection.program ?? "strace")
            return (run, try program.run(words), log)
        }

        /// Numbers of the calls, thread by thread, that read a checkpoint in an undisturbed resume.
        private func numbers(_ prepared: DiskRun, _ call: String) throws -> [Int] {
            let (run, launch, log) = try resume(prepared, call, 65_535)
            try #require(launch.exitCode == 0, "\(launch.summary)")
            var counts: [Substring: Int] = [:]
            var numbers: Set<Int> = []
            // Not the saves after it, whose threads read too.
            let reads = Injection.calls(in: log).prefix { !$0.contains("/.tmp-") }
            for line in reads where line.contains(" \(call)(") {
                let thread = line.prefix { $0 != " " }
                counts[thread, default: 0] += 1
                let isRead = line.contains("/step-000000000") || line.contains("/step-0000000012")
                if isRead, line.contains(run.checkpointFolder) { numbers.insert(counts[thread]!) }
            }
            return numbers.sorted()
        }

        @Test(arguments: ["pread64", "openat"])
        func aReadThatFailsIsNeverAnotherState(call: String) throws {
            let prepared = try prepared()
            let all = try numbers(prepared, call)
            try #require(!all.isEmpty, "no \(call) of a checkpoint in an undisturbed resume")
            var draws = Draws(seed: 5)
            let chosen = Chaos.isLong ? Array(all.shuffled(using: &draws).prefix(60)) : [all[0]]
            var (passedOver, refused) = (0, 0)
            for number in chosen.sorted() {
                let (run, launch, log) = try resume(prepared, call, number)
                let hits = Injection.hits(in: log).map(\.line)
                let trial = "\(call) number \(number): \(hits.joined(separator: " | "))"
                try run.expectIntact(launch, trial)
                switch launch.exitCode {
                case 0:
                    let isTold = launch.errors.contains(
                        "warning: passed over: \(run.run.directory)")
                    let isNewest = launch.errors.contains("resuming at step 12")
                    #expect(isTold != isNewest, "\(trial): \(launch.summary)")
                    if isTold {
                        passedOver += 1
                        #expect(launch.errors.contains("resuming at step 8"), "\(trial)")
                    }
                case 4, 5:
                    refused += 1
                    DiskRun.expectOneError(launch, naming: [run.run.folder.path], trial)
                default:
                    // The system's loader has met the fault before there was a program.
                    #expect(
                        hits.contains { !$0.contains(run.run.folder.path) },
                        "\(trial): \(launch.summary)")
                }
            }
            #expect(passedOver + refused > 0, "no read was made to fail")
            Chaos.report(
                "I/O errors of \(call) at resume: \(chosen.count); passed over \(passedOver), refused "
                    + "\(refused); never another state")
        }
    }
}
