import Foundation
import Glibc
import TestSupport
import Testing

/// The checkpoints of whole runs: what a disk does to them, and what the command line says of them.
@Suite(.serialized) struct CheckpointRunTests {
    /// A run whose folder of checkpoints is a link to where there is none: every save fails.
    private func brokenRun() throws -> RunFolder {
        let run = try RunFolder()
        try FileManager.default.createDirectory(
            atPath: run.directory, withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: "\(run.directory)/checkpoints", withDestinationPath: run.folder.file("disk"))
        return run
    }

    /// Losses are those of a run that was saved, as far as it came.
    @Test(arguments: [nil, 2], [(10, 30), (30, 50)])
    func aRunGoesOnWhereSavesFail(ranks: Int?, save: (every: Int, end: Int)) throws {
        let run = try brokenRun()
        let launch = try run.train(ranks: ranks, settings: ["checkpoint.every=\(save.every)"])
        #expect(launch.exitCode == 5, "\(launch.summary)")
        let warnings = launch.errorLines.filter { $0.hasPrefix("warning:") }
        #expect(warnings.count == (save.every == 10 ? 2 : 1), "\(launch.summary)")
        #expect(warnings[0].contains("\(run.directory)/checkpoints/"), "\(launch.summary)")
        let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
        #expect(errors.count == 1, "\(launch.summary)")
        #expect(errors.first?.hasPrefix("error: step \(save.end): checkpoint not saved: ") == true)
        #expect(run.lossBits == Array(try LayoutTests.reference.get().lossBits.prefix(save.end)))
    }

    @Test func aDiskThatIsMendedIsUsedAgain() throws {
        let run = try brokenRun()
        let launch = try run.train(ranks: 2, settings: ["checkpoint.every=20"]) { _ in
            guard run.metrics.count >= 20 else { return false }
            return mkdir(run.folder.file("disk"), 0o755) == 0
        }
        #expect(launch.exitCode == 0, "\(launch.summary)")
        #expect(run.checkpoints.last == 50)
        #expect(try RunOutcome(run) == LayoutTests.reference.get())
    }

    /// What a run saves while it waits is what it saves from a copy.
    @Test func savesWithoutACopyChangeNoBit() throws {
        let run = try RunFolder()
        let launch = try run.train(
            ranks: 2, settings: ["checkpoint.every=20", "checkpoint.copy=never"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        #expect(launch.errorLines.count { $0.hasPrefix("checkpoints: no copy of the state") } == 1)
        #expect(run.checkpoints == [20, 40, 50])
        #expect(try RunOutcome(run) == LayoutTests.reference.get())
    }

    // MARK: The command line

    @Test func listVerifyAndInspectSayWhatThereIs() throws {
        let run = try RunFolder()
        let launch = try run.train(ranks: 2, settings: ["checkpoint.every=20"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        let list = try murmur(["checkpoint", "list", run.directory])
        #expect(list.exitCode == 0 && list.output.split(separator: "\n").count == 3)
        #expect(list.output.hasPrefix("step-0000000050  "), "\(list.summary)")
        let inspect = try murmur(["checkpoint", "inspect", run.directory])
        #expect(inspect.output.contains("version     3\n"), "\(inspect.summary)")
        #expect(inspect.output.contains("shard-00001-of-00002.safetensors"))
        #expect(try murmur(["checkpoint", "verify", run.directory]).exitCode == 0)

        let shard = "\(run.checkpoint(40))/shard-00001-of-00002.safetensors"
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: shard))
        let end = try file.seekToEnd()
        try file.seek(toOffset: end - 5)
        let byte = try #require(try file.read(upToCount: 1)?.first)
        try file.seek(toOffset: end - 5)
        try file.write(contentsOf: Data([byte ^ 4]))
        try file.close()
        for path in [run.directory, run.checkpoint(40)] {
            let verify = try murmur(["checkpoint", "verify", path])
            #expect(verify.exitCode == 4, "\(verify.summary)")
            let form = /error: .*shard-00001-of-00002.safetensors: tensor \S+: expected xxh64:.*/
            #expect(verify.errorLines.count == 1)
            #expect(verify.errorLines.first?.wholeMatch(of: form) != nil, "\(verify.summary)")
        }
        #expect(try murmur(["checkpoint", "verify", run.checkpoint(50)]).exitCode == 0)
        #expect(try murmur(["checkpoint", "verify", run.folder.path]).exitCode == 4)
    }
}
