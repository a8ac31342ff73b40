import Foundation
import Glibc
import TestSupport
import Testing
import Training

/// Two runs in one directory would take each other's rows and checkpoints for their own.
@Suite struct RunLockTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func oneAtATimeAndTheOtherIsToldOfIt() throws {
        var first: RunLock? = try RunLock(directory: folder.path)
        #expect(first?.warning == nil)
        let error = #expect(throws: RunError.self) { try RunLock(directory: folder.path) }
        #expect(error?.kind == .usage)
        let host = ProcessInfo.processInfo.hostName
        #expect(error?.message.contains("(host \(host), process \(getpid()))") == true)
        first = nil
        _ = try RunLock(directory: folder.path)
    }

    /// What a dead run has left in it holds nobody up; what is no lock's text is not shown.
    @Test(arguments: ["", "elsewhere 12345\n", "\u{1B}[2J\n1 2 3"])
    func whatLiesThereIsNoLock(text: String) throws {
        try folder.write(".lock", text)
        let lock = try RunLock(directory: folder.path)
        // As another program may have left it.
        try folder.write(".lock", text)
        let error = #expect(throws: RunError.self) { try RunLock(directory: folder.path) }
        #expect(error?.message.contains("\u{1B}") == false, "\(error?.message ?? "")")
        withExtendedLifetime(lock) {}
    }

    /// A link is neither followed nor emptied.
    @Test func aLinkIsRefused() throws {
        try folder.write("thesis", "years of work")
        try FileManager.default.createDirectory(
            atPath: folder.file("run"), withIntermediateDirectories: false)
        try FileManager.default.createSymbolicLink(
            atPath: folder.file("run/.lock"), withDestinationPath: folder.file("thesis"))
        let error = #expect(throws: RunError.self) { try RunLock(directory: folder.file("run")) }
        #expect(error?.kind == .inputOutput)
        #expect(error?.message.contains("/.lock: expected a regular file, found a link to") == true)
        #expect(try folder.bytes("thesis") == Array("years of work".utf8))
    }

    @Test func aPipeIsRefused() throws {
        #expect(mkfifo(folder.file(".lock"), 0o600) == 0)
        let error = #expect(throws: RunError.self) { try RunLock(directory: folder.path) }
        #expect(error?.kind == .inputOutput)
        #expect(
            error?.message
                == "\(folder.file(".lock")): expected a regular file, found a named pipe; move it away"
        )
    }

    /// As users meet it; and a run that was killed holds nothing.
    @Test func aSecondRunIsRefusedUntilTheFirstIsDead() throws {
        let run = try RunFolder()
        var second: Launch?
        let first = try run.train(settings: ["run.steps=100000", "checkpoint.every=0"]) { running in
            guard run.metrics.count > 0 else { return false }
            second = try? run.train(["--resume"])
            kill(running.process, SIGKILL)
            return true
        }
        #expect(first.exitCode == 137, "\(first.summary)")
        let refused = try #require(second)
        #expect(refused.exitCode == 2, "\(refused.summary)")
        #expect(refused.errors.contains("found one that is under way (host "), "\(refused.summary)")
        let third = try run.train(["--resume", "--restart", "--stop-at", "2"])
        #expect(third.exitCode == 0, "\(third.summary)")
    }
}
