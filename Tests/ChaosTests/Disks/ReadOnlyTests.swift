import Foundation
import Glibc
import TestSupport
import Testing

extension Chaos {
    /// Disks that are read-only, from the start or for a time.
    @Suite(
        .serialized, .enabled(if: SmallDisk.isPossible, "a tmpfs cannot be mounted here"))
    struct ReadOnlyTests {
        /// The run's folder, or the one that it would be made in.
        @Test(arguments: DiskRun.Layout.allCases, [true, false])
        func aReadOnlyDiskIsRefusedBeforeTheFirstStep(
            layout: DiskRun.Layout, isOwnFolder: Bool
        ) throws {
            guard Chaos.isLong || (layout == .data) == isOwnFolder else { return }
            let trial = "\(layout.rawValue), \(isOwnFolder ? "run folder" : "folder above it")"
            let run = try DiskRun(layout)
            let disk = try SmallDisk(at: run.run.folder.file("disk"), kibibytes: 4096)
            let directory = isOwnFolder ? disk.path : "\(disk.path)/run"
            try disk.remount(readOnly: true)
            let launch = try run.train(settings: ["run.directory=\(directory)"])
            #expect(launch.exitCode == 5 && !launch.timedOut, "\(trial): \(launch.summary)")
            DiskRun.expectOneError(launch, naming: [directory, "Read-only file system"], trial)
            #expect(!launch.errors.contains("step 1/"), "\(trial): \(launch.summary)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: disk.path) == [])
            Chaos.report(
                "read-only from the start (\(trial)): exit 5 after "
                    + String(format: "%.2f s, before the first step", launch.seconds))
        }

        /// The disk becomes read-only after a save, and stays so, or is mended a few steps later.
        @Test(arguments: DiskRun.Layout.allCases, [true, false])
        func aDiskThatBecomesReadOnly(layout: DiskRun.Layout, isMended: Bool) throws {
            guard Chaos.isLong || (layout == .tensor) == isMended else { return }
            let trial = "\(layout.rawValue), \(isMended ? "mended" : "not mended")"
            let run = try DiskRun(layout)
            let disk = try SmallDisk(at: run.checkpointFolder, kibibytes: 8192)
            var isReadOnly = false
            let launch = try run.train(["--resume"]) { _ in
                let rows = run.run.metrics.count
                if !isReadOnly {
                    // The kernel refuses while a file is being written: asked again at the next look.
                    isReadOnly =
                        run.run.checkpoints.contains(DiskRun.interval)
                        && (try? disk.remount(readOnly: true)) != nil
                    return isReadOnly && !isMended
                }
                // A few steps behind a save that must have failed.
                guard rows >= 2 * DiskRun.interval + 2 else { return false }
                return (try? disk.remount(readOnly: false)) != nil
            }
            #expect(isReadOnly, "\(trial): \(launch.summary)")
            try run.expectIntact(launch, trial)
            for line in launch.savesGivenUp {
                #expect(
                    line.contains("\(run.checkpointFolder)/") && line.contains("Read-only file"),
                    "\(trial): \(line)")
            }
            #expect(run.run.checkpoints.first == DiskRun.interval, "\(trial)")
            if isMended {
                #expect(launch.exitCode == 0, "\(trial): \(launch.summary)")
                #expect(
                    (1...2).contains(launch.savesGivenUp.count), "\(trial): \(launch.summary)")
            } else {
                #expect(launch.exitCode == 5, "\(trial): \(launch.summary)")
                #expect(launch.savesGivenUp.count == 2, "\(trial): \(launch.summary)")
                DiskRun.expectOneError(
                    launch,
                    naming: [run.checkpointFolder, "Read-only file", "3 saves in a row"], trial)
            }
            Chaos.report("read-only in the middle (\(trial)): exit \(launch.exitCode)")
        }
    }
}
