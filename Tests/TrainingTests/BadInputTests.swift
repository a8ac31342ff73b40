import Foundation
import TestSupport
import Testing

/// Whatever a person gives: one clear error, once, the right exit code under mpirun too, within
/// seconds, and everything that was there is still there.
@Suite(.serialized) struct BadInputTests {
    @Test(arguments: BadInput.all, [nil, 2])
    func badInputIsOneClearError(input: BadInput, ranks: Int?) throws {
        let run = try RunFolder()
        let arguments = try input.arguments(run)
        let before = try files(of: run)
        let launch = try murmur(arguments, ranks: ranks)

        #expect(launch.exitCode == input.exitCode, "\(launch.summary)")
        #expect(!launch.timedOut, "\(launch.summary)")
        let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
        #expect(errors.count == input.lines.count, "\(launch.summary)")
        if !input.isInMidRun {
            #expect(launch.errorLines == errors && launch.output == "", "\(launch.summary)")
        }
        for (line, parts) in zip(errors, input.lines) {
            for part in parts {
                #expect(line.contains(part.replacing("@", with: run.folder.path)), "\(line)")
            }
        }
        #expect(waitUntil { run.ranks.isEmpty }, "processes are left: \(run.ranks)")
        let after = try files(of: run)
        for (path, bytes) in before { #expect(after[path] == bytes, "\(path) has changed") }
    }

    /// Content by path, of everything in the test's folder but the lock, which names whoever held it last.
    private func files(of run: RunFolder) throws -> [String: Data] {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: run.folder.path)
        return Dictionary(
            uniqueKeysWithValues: paths.filter { !$0.hasSuffix("/.lock") }.compactMap { path in
                FileManager.default.contents(atPath: run.folder.file(path)).map { (path, $0) }
            })
    }
}
