import Foundation
import Glibc
import TestSupport
import Testing

/// A terminal that goes away: a run saves and leaves, but for one that was started to outlive it.
@Suite(.serialized) struct HangUpTests {
    @Test func aRunUnderNohupGoesOn() throws {
        let run = try RunFolder()
        let arguments = try ["--ignore-signal=HUP", Program("murmur").path, "train"]
        let launch = try Program(path: "/usr/bin/env").run(
            arguments + [RunFolder.configuration] + run.settings()
        ) { running in
            guard run.metrics.count >= 5 else { return false }
            return kill(running.process, SIGHUP) == 0
        }
        #expect(launch.exitCode == 0, "\(launch.summary)")
        #expect(try RunOutcome(run) == LayoutTests.reference.get())
    }
}
