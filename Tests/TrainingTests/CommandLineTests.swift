import Foundation
import Testing
import Training

/// The program as a user runs it.
private struct Command {
    let status: Int32
    let output: String
    let errors: String
    let seconds: Double

    /// Runs `murmur` in the repository's root, under `mpirun` where `ranks` says so.
    init(_ arguments: [String], ranks: Int? = nil) throws {
        let source = URL(filePath: #filePath)
        let root = source.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let build = Bundle(for: Marker.self).bundleURL.deletingLastPathComponent()
        let candidates = [build, root.appending(path: ".build/release")]
            .map { $0.appending(path: "murmur").path }
        let program = try #require(
            candidates.first { FileManager.default.isExecutableFile(atPath: $0) })
        let launcher = ranks.map {
            ["mpirun", "-q", "--bind-to", "none", "--oversubscribe", "-n", "\($0)"]
        }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = (launcher ?? []) + [program] + arguments
        process.currentDirectoryURL = root
        process.environment = ProcessInfo.processInfo.environment.merging([
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        ]) { $1 }
        let (output, errors) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, errors)
        process.standardInput = FileHandle.nullDevice
        let start = ContinuousClock.now
        try process.run()
        // Neither fills its pipe in what is tested here.
        process.waitUntilExit()
        (seconds, status) =
            ((ContinuousClock.now - start) / .seconds(1), process.terminationStatus)
        self.output = String(
            decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        self.errors = String(
            decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    }

    private final class Marker {}
}

@Suite(.serialized) struct CommandLineTests {
    @Test(arguments: [
        (["--version"], ["murmur \(Training.version)\n"]),
        (["--help"], ["train ", "prepare ", "evaluate ", "generate ", "bench ", "doctor "]),
        (["train", "--help"], ["--set", "--resume", "--stop-at", "--override"]),
    ])
    func helpEndsWell(arguments: [String], parts: [String]) throws {
        let command = try Command(arguments)
        #expect(command.status == 0)
        #expect(command.errors == "")
        for part in parts { #expect(command.output.contains(part)) }
    }

    @Test(arguments: [
        ["train"], ["fly"], ["train", "a.yaml", "--fast"], ["bench", "a.yaml", "--steps", "many"],
        ["train", "a.yaml", "--stop-at", "0"], ["train", "a.yaml", "--override", "optimizer"],
        ["generate"], ["generate", "--checkpoint", "x", "--top-p", "2"], ["checkpoint", "dig"],
        ["train", "missing.yaml"], ["train", "configs/quickstart.yaml", "--set", "run.steps"],
        ["train", "configs/gpt2-124m.yaml", "--set", "run.directory=/dev/null/x"],
    ])
    func misuseIsOneLineAndExitCodeTwo(arguments: [String]) throws {
        let command = try Command(arguments)
        #expect(command.status == 2 || command.status == 5, "\(command.errors)")
        #expect(command.output == "")
        #expect(command.errors.wholeMatch(of: /error: [^\n]+\n/) != nil, "\(command.errors)")
    }

    @Test func missingCheckpointIsCodeFour() throws {
        let command = try Command(["checkpoint", "digest", "configs"])
        #expect(command.status == 4)
        #expect(command.errors.wholeMatch(of: /error: configs: expected [^\n]+\n/) != nil)
    }

    @Test func aConfigurationWithProblemsIsRefusedOnceByAllRanks() throws {
        let command = try Command(
            [
                "train", "configs/tests/same-bits.yaml", "--set", "model.heads=3", "--set",
                "run.x=1",
            ],
            ranks: 2)
        #expect(command.status == 2)
        #expect(
            command.errors == """
                error: configs/tests/same-bits.yaml:9: model.width: expected a multiple of \
                model.heads (3), found 20
                error: --set: run.x: expected a known key, found x; the nearest is run.seed

                """)
        #expect(command.seconds < 10)
    }

    @Test func ranksThatDoNotDivideTheBatchAreRefusedOnce() throws {
        let command = try Command(["train", "configs/tests/same-bits.yaml"], ranks: 3)
        #expect(command.status == 2)
        #expect(
            command.errors.wholeMatch(
                of: /error: [^\n]+divides the 8 micro-batches[^\n]+found 3; use 1, 2, 4, 8[^\n]+\n/)
                != nil)
        #expect(command.seconds < 10)
    }
}
