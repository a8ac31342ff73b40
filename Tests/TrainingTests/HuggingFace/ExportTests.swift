import Checkpointing
import Datasets
import Foundation
import TestSupport
import Testing
import Training

/// The Python that MURMUR_PYTHON names, or the one in the path, if it has transformers.
enum Python {
    static let path = ProcessInfo.processInfo.environment["MURMUR_PYTHON"] ?? "python3"
    static let hasTransformers = (try? run(["-c", "import torch, transformers"]))?.exitCode == 0
    static let fixture = "\(packageRoot)/Tests/Fixtures/hugging_face.py"

    static func run(_ arguments: [String]) throws -> (exitCode: Int32, output: String) {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [path] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }
}

/// `export` and `import` of a run that was trained for ten steps.
@Suite(.serialized) struct ExportTests {
    private static let trained = Result { () throws -> RunFolder in
        let run = try RunFolder()
        let launch = try run.train(settings: ["run.steps=10"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        return run
    }

    private func export(_ arguments: [String] = []) throws -> (run: RunFolder, output: String) {
        let run = try Self.trained.get()
        let output = run.folder.file("out-\(UInt64.random(in: 0...UInt64.max))")
        let launch = try murmur(["checkpoint", "export", run.directory, output] + arguments)
        #expect(launch.exitCode == 0 && launch.errors == "", "\(launch.summary)")
        return (run, output)
    }

    /// The weights are the same, bit for bit; evaluation gives the same figure; training goes on.
    @Test func anExportedRunIsImportedAndTrained() throws {
        let (run, output) = try export(["--max-shard-size", "20000"])
        let tuned = run.folder.file("tuned")
        let settings = run.settings(["run.directory=\(tuned)"])
        let imported = try murmur(
            ["checkpoint", "import", output, tuned, "--config", RunFolder.configuration] + settings)
        #expect(imported.exitCode == 0 && imported.errors == "", "\(imported.summary)")

        let before = try #require(try CheckpointReader.newest(in: run.directory)).reader
        let after = try #require(try CheckpointReader.newest(in: tuned)).reader
        #expect(before.manifest.tensors.map(\.name) == after.manifest.tensors.map(\.name))
        #expect(after.progress.step == 0 && after.progress.optimizerUpdates == 0)
        for name in before.manifest.tensors.map(\.name) {
            let (old, new) = (try before.loadTensor(name).array, try after.loadTensor(name).array)
            let isMoment = name.hasPrefix("optimizer.")
            #expect(isMoment ? new.allSatisfy { $0 == 0 } : old == new, "\(name)")
        }

        let losses = try [run.directory, tuned].map { directory in
            try murmur(["evaluate", "--checkpoint", directory]).output.split(separator: "loss").last
        }
        #expect(losses[0] != nil && losses[0] == losses[1])
        let resumed = try murmur(
            ["train", RunFolder.configuration] + settings + ["--resume", "--stop-at", "2"],
            ranks: 2)
        #expect(resumed.exitCode == 0, "\(resumed.summary)")
        #expect(resumed.errors.contains("resuming at step 0"), "\(resumed.summary)")
    }

    @Test func everyDifferenceOfTheModelIsNamed() throws {
        let (run, output) = try export()
        let target = run.folder.file("refused")
        let launch = try murmur(
            ["checkpoint", "import", output, target, "--config", RunFolder.configuration]
                + run.settings(["model.layers=3", "model.feed_forward=51"]))
        #expect(launch.exitCode == 2, "\(launch.summary)")
        #expect(launch.errorLines.count == 2, "\(launch.errors)")
        #expect(launch.errors.contains("model.layers: expected 4 as \(output)/config.json has it"))
        #expect(launch.errors.contains("model.feed_forward: expected 53"))
        #expect(!FileManager.default.fileExists(atPath: target))
    }

    @Test func nothingIsOverwritten() throws {
        let (run, output) = try export()
        let again = try murmur(["checkpoint", "export", run.directory, output])
        #expect(again.exitCode == 2, "\(again.summary)")
        #expect(again.errors.contains("\(output): expected no file or folder of this name"))
        let over = try murmur(["checkpoint", "import", output, run.directory])
        #expect(over.exitCode == 2, "\(over.summary)")
        #expect(over.errors.contains("\(run.directory): expected no earlier run"))
    }

    // MARK: Against transformers

    private static let reason = Comment(
        "needs a Python with torch and transformers: in the path, or named by MURMUR_PYTHON")

    @Test(.enabled(if: Python.hasTransformers, reason), arguments: [20_000, 5_000_000_000])
    func transformersGivesTheLogits(shardLimit: Int) throws {
        let (run, output) = try export(["--max-shard-size", "\(shardLimit)"])
        let tokens = (0..<33).map { Int32($0 * 7 % 44) }
        let file = run.folder.file("logits")
        let launch = try Python.run(
            [Python.fixture, "logits", output, file] + tokens.map(String.init))
        #expect(launch.exitCode == 0)
        let bytes = try run.folder.bytes("logits")
        let theirs = stride(from: 0, to: bytes.count, by: 4).map { start in
            Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << ($1 * 8) })
        }
        let ours = try logits(of: run.directory, tokens)
        #expect(largestDifference(ours, theirs) <= 1e-4)
        let control = try logits(of: run.directory, tokens.reversed())
        #expect(largestDifference(control, theirs) > 1e-2, "control")
    }

    /// A folder's eos, which is another than our tokenizer's, goes through an import and an export.
    @Test(.enabled(if: Python.hasTransformers, reason))
    func transformersStopsAtTheFoldersEnd() throws {
        let folder = try TemporaryFolder()
        let model = try HuggingFaceFixture.copy(into: folder)
        func generated(_ name: String) throws -> [Substring] {
            let arguments = ["generate", folder.file(name), "8", "5", "7", "9"]
            let launch = try Python.run([Python.fixture] + arguments)
            #expect(launch.exitCode == 0)
            return launch.output.split(whereSeparator: \.isWhitespace)
        }
        let free = try generated("model")
        try #require(free.count == 8, "the control stops at no end")
        for name in ["config.json", "generation_config.json"] {
            let text = try String(decoding: folder.bytes("model/\(name)"), as: UTF8.self)
            try folder.write(
                "model/\(name)",
                text.replacingOccurrences(
                    of: "\"eos_token_id\": 256", with: "\"eos_token_id\": \(free[2])"))
        }
        _ = try importCheckpoint(model, into: folder.file("run"))
        _ = try exportCheckpoint(folder.file("run"), to: folder.file("out"))
        let end = try #require(free.firstIndex(of: free[2]))
        #expect(try generated("out") == Array(free[...end]))
    }

    /// Characters from a run's text; bytes of any text from an import.
    @Test(.enabled(if: Python.hasTransformers, reason), arguments: [true, false])
    func autoTokenizerGivesTheIds(isCharacter: Bool) throws {
        let folder = try TemporaryFolder()
        var output = folder.file("out")
        if isCharacter {
            output = try export().output
        } else {
            _ = try importCheckpoint(HuggingFaceFixture.path, into: folder.file("run"))
            _ = try exportCheckpoint(folder.file("run"), to: output)
        }
        let text =
            isCharacter
            ? try String(
                contentsOfFile: "\(packageRoot)/configs/tests/same-bits.txt", encoding: .utf8)
            : "naïve  <x>\t\r\n\u{0}'re 日本 é e\u{301} Å \u{212B} 👩‍👩‍👧 the flock\n\n"
        let file = try folder.write("text", text)
        let launch = try Python.run([Python.fixture, "encode", output, file])
        #expect(launch.exitCode == 0)
        let tokenizer = try Tokenizer.load("\(output)/murmuration-tokenizer.json")
        let ids = try tokenizer.encode(text).map(String.init).joined(separator: " ")
        #expect(launch.output == ids + "\n")
    }
}
