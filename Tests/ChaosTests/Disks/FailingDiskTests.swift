import Foundation
import Glibc
import TestSupport
import Testing

extension Chaos {
    /// A disk that answers with an I/O error: every call of a save, on every rank, once.
    @Suite(.serialized, .enabled(if: Injection.isPossible, "\(Injection.requirement)"))
    struct FailingDiskTests {
        static let writing = [
            "mkdir", "openat", "fallocate", "ftruncate", "write", "pwrite64", "fsync", "fdatasync",
            "close", "rename", "pread64",
        ]

        /// Which rank's calls fail.
        struct Place: Sendable, CustomTestStringConvertible {
            let layout: DiskRun.Layout
            let rank: Int

            var testDescription: String { "rank \(rank) of \(layout.rawValue)" }

            static let all = DiskRun.Layout.allCases.flatMap { layout in
                (0..<layout.rankCount).map { Place(layout: layout, rank: $0) }
            }
        }

        /// What has become of one trial.
        struct Outcome {
            let run: DiskRun
            let launch: Launch
            let hits: [Injection.Hit]
            let trial: String

            /// Those in the folder of checkpoints.
            var ofCheckpoints: [Injection.Hit] {
                hits.filter { $0.line.contains(run.checkpointFolder) }
            }

            /// Those in nothing that is the run's: a message to another rank, or a library's own file.
            var elsewhere: [Injection.Hit] {
                hits.filter { !$0.line.contains(run.run.directory) }
            }
        }

        /// Runs, and from row `row` on lets the `number`-th `call` of each of the rank's threads fail, until one of
        /// the checkpoints' has.
        static func fail(
            _ call: String, _ number: Int, _ place: Place, fromRow row: Int,
            settings: [String] = []
        ) throws -> Outcome {
            let run = try DiskRun(place.layout)
            let log = run.run.folder.file("strace")
            var injection: Injection?
            var failure: (any Error)?
            let launch = try run.train(settings: settings) { _ in
                guard let injection else {
                    guard run.run.metrics.count >= row, failure == nil else { return false }
                    let ranks = run.run.ranks
                    guard ranks.count == place.layout.rankCount else { return true }
                    do {
                        injection = try Injection(into: ranks[place.rank], call, number, log: log)
                    } catch { failure = error }
                    return false
                }
                let isHit = injection.hits.contains { $0.line.contains(run.checkpointFolder) }
                if isHit { injection.end() }
                return isHit
            }
            injection?.end()
            if let failure { throw failure }
            return Outcome(
                run: run, launch: launch, hits: Injection.hits(in: log),
                trial: "\(call) number \(number) after row \(row), \(place.testDescription): "
                    + Injection.hits(in: log).map(\.line).joined(separator: " | "))
        }

        /// Numbers of one call until one is no longer reached, or those of a short form.
        private func numbers(of call: String) -> [Int] {
            Chaos.isLong ? Array(1...40) : [1]
        }

        @Test(arguments: Place.all)
        func aCallThatFailsCostsOneSave(place: Place) throws {
            guard Chaos.isLong || place.layout == .data else { return }
            var (trials, given) = (0, 0)
            let short = place.rank == 0 ? ["rename"] : ["fsync"]
            // With ranks, `write` is the message library's, which hangs where its own wake-up fails; no file of a
            // save is written by it.
            let long = FailingDiskTests.writing.filter { $0 != "write" || place.layout == .alone }
            for call in Chaos.isLong ? long : short {
                var missed = 0
                for number in numbers(of: call) where missed < 1 {
                    let outcome = try FailingDiskTests.fail(
                        call, number, place, fromRow: 2 * DiskRun.interval - 1)
                    if outcome.ofCheckpoints.isEmpty { missed += 1 } else { trials += 1 }
                    try check(outcome)
                    given += outcome.launch.savesGivenUp.count
                }
            }
            #expect(trials > 0 && given > 0, "no call of a save was made to fail")
            Chaos.report(
                "I/O errors, \(place.testDescription): \(trials) calls of a save failed, one a run; "
                    + "\(given) saves given up, all other checkpoints sound, all runs ended whole")
        }

        /// One save is given up with a line that says so, or is there and sound.
        private func check(_ outcome: Outcome) throws {
            let (run, launch, trial) = (outcome.run, outcome.launch, outcome.trial)
            try run.expectIntact(launch, trial)
            // What fails outside of the run's own files is the message library's to answer for.
            guard outcome.elsewhere.isEmpty else { return }
            // A high number is reached in the last save only, and that one is not borne; nor is a third in a row.
            let end = launch.endedBySave
            let isBorne = end.map { $0.step < DiskRun.lastStep && $0.inARow < 3 } ?? false
            #expect(
                launch.exitCode == (end == nil ? 0 : 5) && !isBorne, "\(trial): \(launch.summary)")
            for line in launch.savesGivenUp {
                #expect(
                    line.contains(run.run.directory)
                        && line.contains(#/: expected .+, found/#), "\(trial): \(line)")
            }
            let all = stride(
                from: DiskRun.interval, through: end?.step ?? DiskRun.lastStep,
                by: DiskRun.interval)
            let missing = all.filter { !run.run.checkpoints.contains($0) }
            let told = launch.errorLines.compactMap { line in
                line.firstMatch(of: #/^(?:warning|error): step (\d+): checkpoint not saved/#)
                    .flatMap { Int($0.1) }
            }
            #expect(missing.allSatisfy(told.contains), "\(trial): \(missing)\n\(launch.summary)")
            // A checkpoint that is there all the same is one whose name may not outlast a power cut.
            let afterwards = outcome.ofCheckpoints.contains {
                $0.line.contains("\(run.checkpointFolder)>") || $0.line.contains("checkpoints\"")
            }
            #expect(
                told.allSatisfy(missing.contains) || afterwards,
                "\(trial): \(told) \(missing)\n\(launch.summary)")
        }

        /// A run whose last save fails has not done what it was asked for.
        @Test(arguments: Place.all)
        func theLastSaveThatFailsIsExitCode5(place: Place) throws {
            guard Chaos.isLong || place.layout == .tensor && place.rank == 1 else { return }
            var trials = 0
            for call in Chaos.isLong ? ["mkdir", "fsync", "rename", "openat"] : ["fsync"] {
                for number in Chaos.isLong ? 1...8 : 1...1 {
                    let outcome = try FailingDiskTests.fail(
                        call, number, place, fromRow: DiskRun.lastStep - 1)
                    let (launch, trial) = (outcome.launch, outcome.trial)
                    try outcome.run.expectIntact(launch, trial)
                    guard outcome.elsewhere.isEmpty else { continue }
                    // What is no longer part of a save is not told of by an exit code; the save before the last
                    // may be under way still, and is borne.
                    let isLost = launch.endedBySave?.step == DiskRun.lastStep
                    #expect(launch.exitCode == (isLost ? 5 : 0), "\(trial): \(launch.summary)")
                    if isLost { trials += 1 }
                    if !outcome.ofCheckpoints.isEmpty, call == "fsync" {
                        #expect(
                            isLost || !launch.savesGivenUp.isEmpty,
                            "\(trial): \(launch.summary)")
                    }
                }
            }
            #expect(trials > 0, "no last save was made to fail")
            Chaos.report(
                "I/O errors in the last save, \(place.testDescription): \(trials) × exit 5")
        }

        /// What cannot be removed stays, with a warning, and nothing else is lost.
        @Test func anOldCheckpointThatCannotBeRemovedStays() throws {
            guard Chaos.isLong else { return }
            var hits = 0
            for place in Place.all where place.rank == 0 {
                for (call, number) in [("unlink", 1), ("unlink", 3), ("rmdir", 1), ("rename", 2)] {
                    let outcome = try FailingDiskTests.fail(
                        call, number, place, fromRow: 3 * DiskRun.interval - 1,
                        settings: ["checkpoint.keep=2"])
                    try outcome.run.expectIntact(outcome.launch, outcome.trial)
                    #expect(
                        outcome.launch.exitCode == 0, "\(outcome.trial): \(outcome.launch.summary)")
                    hits += outcome.ofCheckpoints.count
                    let steps = outcome.run.run.checkpoints
                    #expect(steps.suffix(2) == [20, 24], "\(outcome.trial): \(steps)")
                }
            }
            #expect(hits > 0)
            Chaos.report("I/O errors while old checkpoints are removed: \(hits), nothing else lost")
        }
    }
}
