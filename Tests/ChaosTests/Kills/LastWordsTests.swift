import Foundation
import TestSupport
import Testing

/// What ends all ranks is told, however late the rank is that tells it.
@Suite(.serialized, .enabled(if: Injection.isPossible, "\(Injection.requirement)"))
struct LastWordsTests {
    /// Each line of the first rank takes 3 seconds, while the other has nothing more to do.
    @Test func aSlowFirstRankIsWaitedFor() throws {
        let run = try RunFolder()
        let first = try run.train(["--stop-at", "1"])
        #expect(first.exitCode == 0, "\(first.summary)")
        let murmur = try Program("murmur").path
        let arguments = ["train", RunFolder.configuration] + run.settings()
        let lines = try run.folder.write("lines", "")
        let slow = [
            "-f", "-o", "/dev/null", "-P", lines, "-e", "inject=write:delay_enter=3000000",
            "/bin/sh", "-c", "exec \"$0\" \"$@\" 2>> '\(lines)'", murmur,
        ]
        let launch = try Program.run([
            .init(try #require(Injection.program), slow + arguments), .init(murmur, arguments),
        ])
        #expect(launch.exitCode == 2, "\(launch.summary)")
        let told = String(decoding: try run.folder.bytes("lines"), as: UTF8.self)
        #expect(told.hasPrefix("error: ") && told.contains("--resume"), "\(told)")
        #expect(!launch.errors.contains("error: "), "\(launch.summary)")
    }
}
