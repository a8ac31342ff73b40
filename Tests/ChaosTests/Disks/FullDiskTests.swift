import Foundation
import Glibc
import TestSupport
import Testing

extension Chaos {
    /// Disks on which a run's checkpoints do not all have room, of random sizes.
    @Suite(
        .serialized, .enabled(if: SmallDisk.isPossible, "a tmpfs cannot be mounted here"))
    struct FullDiskTests {
        private static let seed: UInt64 = 20_250_517

        /// A trial: room for so many saves, less some bytes.
        private struct Trial: CustomStringConvertible {
            let number: Int
            let layout: DiskRun.Layout
            let saves: Int
            let missing: Int
            let checkpointBytes: Int

            init(_ number: Int, most: Int) throws {
                var draws = Draws(seed: FullDiskTests.seed &+ UInt64(number))
                self.number = number
                layout = DiskRun.Layout.allCases[number % 3]
                checkpointBytes = try DiskRun.reference(layout).checkpointBytes
                saves = Int.random(in: 1...most, using: &draws)
                // Half of the trials lack little, so that the last and smallest file is met too.
                let isClose = Bool.random(using: &draws)
                missing = Int.random(in: 1...(isClose ? 60_000 : checkpointBytes), using: &draws)
            }

            /// Whole pages, as the file system counts.
            var kibibytes: Int { (saves * checkpointBytes - missing) / 4096 * 4 }

            var description: String {
                "trial \(number) of seed \(FullDiskTests.seed), \(layout.rawValue): "
                    + "\(saves) × \(checkpointBytes) − \(missing) bytes"
            }
        }

        /// Where the whole run lies on the disk, its metrics share the space; else it has its checkpoints alone.
        @Test(arguments: [false, true])
        func aFullDiskCostsSavesAndNothingElse(holdsMetrics: Bool) throws {
            var given = 0
            let count = Chaos.trials(20, short: 1)
            for number in 0..<count {
                let trial = try Trial(number + (holdsMetrics ? 100 : 0), most: 5)
                let run = try DiskRun(trial.layout)
                let disk = try SmallDisk(
                    at: holdsMetrics ? run.run.directory : run.checkpointFolder,
                    kibibytes: trial.kibibytes)
                // A folder of checkpoints that is there already is an earlier run's.
                let launch = try run.train([holdsMetrics ? [] : ["--resume"]].flatMap { $0 })
                try run.expectIntact(launch, "\(trial)")
                expectSaves(of: run, launch, trial, room: disk.kibibytes << 10)
                given += launch.savesGivenUp.count
            }
            Chaos.report(
                "full disks (\(holdsMetrics ? "with metrics" : "checkpoints alone")): \(count) of "
                    + "random sizes; all earlier checkpoints sound, all losses those of the "
                    + "undisturbed run; \(given) saves given up and borne")
        }

        /// The first saves are there, and three in a row that failed, or the last, have ended the run.
        private func expectSaves(of run: DiskRun, _ launch: Launch, _ trial: Trial, room: Int) {
            let saved = run.run.checkpoints
            let fit = room / trial.checkpointBytes
            let (interval, all) = (DiskRun.interval, DiskRun.lastStep / DiskRun.interval)
            #expect(
                saved == (0..<saved.count).map { ($0 + 1) * interval } && saved.count <= fit
                    && saved.count >= fit - 1, "\(trial): \(saved)\n\(launch.summary)")
            let end = min(saved.count + 3, all) * interval
            #expect(launch.exitCode == 5, "\(trial): \(launch.summary)")
            #expect(
                launch.savesGivenUp.count == end / interval - saved.count - 1,
                "\(trial): \(launch.summary)")
            DiskRun.expectOneError(
                launch, naming: ["error: step \(end): checkpoint not saved: "], "\(trial)")
            let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
            for line in launch.savesGivenUp + errors { expectContract(line, run, trial) }
            let names = try? FileManager.default.contentsOfDirectory(atPath: run.checkpointFolder)
            #expect(
                names?.allSatisfy { $0.hasPrefix("step-") } == true,
                "\(trial): \(names ?? [])")
        }

        /// Path, bytes wanted, bytes free, and a hint.
        private func expectContract(_ line: String, _ run: DiskRun, _ trial: Trial) {
            let form =
                #/(\S+): expected room for (\d+) more bytes, found (\d+) bytes free; free space or keep/#
            guard let found = line.firstMatch(of: form) else {
                Issue.record("\(trial): expected path, bytes wanted and free, found \(line)")
                return
            }
            #expect(found.1.hasPrefix("\(run.checkpointFolder)/.tmp-step-"), "\(trial): \(line)")
            let (wanted, free) = (Int(found.2) ?? 0, Int(found.3) ?? .max)
            #expect(
                wanted > 0 && wanted <= trial.checkpointBytes && free <= trial.kibibytes << 10,
                "\(trial): \(line)")
        }

        /// Somebody frees space while the run is going on: it ends as if nothing had been.
        @Test func spaceThatIsFreedIsUsed() throws {
            let count = Chaos.trials(9, short: 1)
            for number in 0..<count {
                let trial = try Trial(200 + number, most: 3)
                let run = try DiskRun(trial.layout)
                let whole = 7 * trial.checkpointBytes >> 10
                let disk = try SmallDisk(at: run.checkpointFolder, kibibytes: whole)
                let ballast = "\(disk.path)/ballast"
                try Data(count: (whole - trial.kibibytes) << 10).write(
                    to: URL(fileURLWithPath: ballast))
                let freeing = trial.saves * DiskRun.interval + 2
                let launch = try run.train(["--resume"]) { _ in
                    run.run.metrics.count >= freeing && unlink(ballast) == 0
                }
                #expect(launch.exitCode == 0, "\(trial): \(launch.summary)")
                try run.expectIntact(launch, "\(trial)")
                #expect(
                    (1...2).contains(launch.savesGivenUp.count), "\(trial): \(launch.summary)")
                #expect(
                    run.run.checkpoints.count
                        == DiskRun.lastStep / DiskRun.interval - launch.savesGivenUp.count,
                    "\(trial): \(run.run.checkpoints)")
            }
            Chaos.report("full disks: space freed meanwhile \(count) times, all runs ended whole")
        }
    }
}
