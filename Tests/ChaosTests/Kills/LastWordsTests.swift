import TestSupport
import Testing

/// What ends all ranks is told, however late the rank is that tells it.
@Suite(.serialized, .enabled(if: Injection.isPossible, "\(Injection.requirement)"))
struct LastWordsTests {
    /// Each write of the first rank takes 3 seconds, while the other has nothing more to do.
    @Test func aSlowFirstRankIsWaitedFor() throws {
        let run = try RunFolder()
        let first = try run.train(["--stop-at", "1"])
        #expect(first.exitCode == 0, "\(first.summary)")
        let murmur = try Program("murmur").path
        let arguments = ["train", RunFolder.configuration] + run.settings()
        let slow = ["-f", "-o", "/dev/null", "-e", "inject=write:delay_enter=3000000"]
        let launch = try Program.run([
            .init(try #require(Injection.program), slow + [murmur] + arguments),
            .init(murmur, arguments),
        ])
        #expect(launch.exitCode == 2, "\(launch.summary)")
        let errors = launch.errorLines.filter { $0.hasPrefix("error: ") }
        #expect(errors.count == 1 && errors[0].contains("--resume"), "\(launch.summary)")
    }
}
