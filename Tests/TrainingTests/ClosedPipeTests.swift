import Foundation
import TestSupport
import Testing

@Suite(.serialized) struct ClosedPipeTests {
    /// Who reads a text no further ends `generate`, by the signal that is there for it and without a word.
    @Test func generateEndsQuietlyWhereNobodyReads() throws {
        let run = try RunFolder()
        let trained = try run.train(settings: ["run.steps=1"])
        #expect(trained.exitCode == 0, "\(trained.summary)")
        let program = try Program("murmur")
        /// The end of the first of two programs, the second of which reads its output.
        func end(reader: String, tokens: Int) throws -> (code: String, errors: String) {
            let code = run.folder.file("code")
            let launch = try Program(path: "/bin/sh").run([
                "-c",
                "{ \"$0\" generate --checkpoint \"$1\" --tokens \(tokens); echo $? >\"$2\"; } | \(reader)",
                program.path, run.directory, code,
            ])
            let text = try String(contentsOfFile: code, encoding: .utf8)
            return (text.trimmingCharacters(in: .whitespacesAndNewlines), launch.errors)
        }
        let closed = try end(reader: "head -c 1", tokens: 5000)
        #expect(closed.code == "141" && closed.errors == "", "\(closed)")
        let read = try end(reader: "cat", tokens: 50)
        #expect(read.code == "0" && read.errors == "", "control: \(read)")
    }
}
