import Foundation
import TestSupport
import Testing

/// A tokenizer from its training to a run, and on to an export and back.
@Suite(.serialized) struct TokenizerRunTests {
    private static let text = "configs/tests/same-bits.txt"

    /// A run on tokens of a tokenizer that was trained for it.
    private static let trained = Result { () throws -> RunFolder in
        let run = try RunFolder()
        let tokenizer = run.folder.file("tokenizer.json")
        let training = try murmur([
            "tokenizer", "train", "--kind", "byte-level", "--vocabulary", "300", "--output",
            tokenizer, text,
        ])
        #expect(training.exitCode == 0, "\(training.summary)")
        let launch = try run.train(settings: ["run.steps=20", "data.tokenizer=\(tokenizer)"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        return run
    }

    private func generated(_ directory: String) throws -> String {
        let launch = try murmur([
            "generate", "--checkpoint", directory, "--prompt", "The ", "--tokens", "24",
            "--temperature", "0",
        ])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        return launch.output
    }

    @Test func aRunGoesOnWithItsTokenizer() throws {
        let run = try Self.trained.get()
        let tokenizer = run.folder.file("tokenizer.json")
        let settings = ["run.steps=24", "data.tokenizer=\(tokenizer)"]
        let resumed = try run.train(ranks: 2, settings: settings, ["--resume"])
        #expect(resumed.exitCode == 0, "\(resumed.summary)")
        let evaluated = try murmur(["evaluate", "--checkpoint", run.directory])
        #expect(
            evaluated.exitCode == 0 && evaluated.output.contains("loss"), "\(evaluated.summary)")
        // Another file of this name is another tokenizer.
        let other = run.folder.file("other.json")
        let training = try murmur([
            "tokenizer", "train", "--kind", "byte-level", "--vocabulary", "290", "--output", other,
            Self.text,
        ])
        #expect(training.exitCode == 0, "\(training.summary)")
        let refused = try run.train(
            settings: ["run.steps=26", "data.tokenizer=\(other)"], ["--resume"])
        #expect(refused.exitCode == 4, "\(refused.summary)")
        #expect(refused.errors.contains("data.tokenizer"), "\(refused.errors)")
    }

    @Test func anExportBringsItBack() throws {
        let run = try Self.trained.get()
        let (output, back) = (run.folder.file("out"), run.folder.file("back"))
        let exported = try murmur(["checkpoint", "export", run.directory, output])
        #expect(exported.exitCode == 0, "\(exported.summary)")
        let imported = try murmur(["checkpoint", "import", output, back])
        #expect(imported.exitCode == 0, "\(imported.summary)")
        let text = try generated(run.directory)
        #expect(try generated(back) == text)
        #expect(text.count > 4)
    }

    @Test(
        .enabled(if: Python.hasTransformers, "needs a Python with torch and transformers"))
    func transformersContinuesThePromptWithTheSameTokens() throws {
        let run = try Self.trained.get()
        let output = run.folder.file("peer")
        let exported = try murmur(["checkpoint", "export", run.directory, output])
        #expect(exported.exitCode == 0, "\(exported.summary)")
        let file = try run.folder.write("prompt", "The ")
        let ids = try Python.run([Python.fixture, "encode", output, file])
        #expect(ids.exitCode == 0)
        let prompt = ids.output.split(whereSeparator: \.isWhitespace).map(String.init)
        let own = try murmur([
            "tokenizer", "encode", "--tokenizer", output, file,
        ])
        #expect(own.output.split(whereSeparator: \.isWhitespace).map(String.init) == prompt)
        let theirs = try Python.run([Python.fixture, "continue", output, file, "24"])
        #expect(theirs.exitCode == 0)
        #expect(theirs.output == (try generated(run.directory)))
    }

    @Test(arguments: [
        ("nothing.json", "expected"), ("text.txt", "expected"),
    ])
    func whatIsNoTokenizerIsOneError(name: String, message: String) throws {
        let run = try RunFolder()
        _ = try run.folder.write("text.txt", "no tokenizer")
        let launch = try run.train(
            ranks: 2, settings: ["data.tokenizer=\(run.folder.file(name))"])
        #expect(launch.exitCode == 3, "\(launch.summary)")
        #expect(launch.errorLines.count == 1 && launch.errors.contains(message), "\(launch.errors)")
        #expect(run.metrics.isEmpty)
    }
}
