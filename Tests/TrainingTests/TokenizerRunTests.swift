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

/// `murmur tokenizer` on files of several blocks.
@Suite struct TokenizerCommandTests {
    private static let tokenizer = Result { () throws -> TemporaryFolder in
        let folder = try TemporaryFolder()
        let training = try murmur([
            "tokenizer", "train", "--kind", "byte-level", "--vocabulary", "300", "--output",
            folder.file("tokenizer.json"), "configs/tests/same-bits.txt",
        ])
        #expect(training.exitCode == 0, "\(training.summary)")
        return folder
    }

    private func run(_ verb: String, _ words: [String]) throws -> Launch {
        let folder = try Self.tokenizer.get()
        return try murmur(
            ["tokenizer", verb, "--tokenizer", folder.file("tokenizer.json")] + words)
    }

    /// More than two threads read at once, with lines of every length up to some hundred bytes.
    private func text() throws -> String {
        var lines: [String] = []
        for index in 0..<12_000 {
            lines.append("line \(index) " + String(repeating: "the ", count: index * index % 61))
        }
        return try Self.tokenizer.get().write(
            "text-\(UUID().uuidString)", lines.joined(separator: "\n"))
    }

    @Test func outputDoesNotDependOnThreads() throws {
        let text = try text()
        let one = try run("encode", ["--threads", "1", text])
        #expect(one.exitCode == 0, "\(one.summary)")
        let lines = one.output.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 12_001)
        for threads in ["2", "7"] {
            #expect(try run("encode", ["--threads", threads, text]).output == one.output)
        }
        let numbers = try Self.tokenizer.get().write("numbers", one.output)
        let decoded = try run("decode", ["--threads", "3", numbers])
        let given = try String(contentsOfFile: text, encoding: .utf8)
        #expect(decoded.output == given + "\n")
        let bench = try run("bench", ["--json", "--rounds", "1", text])
        #expect(bench.exitCode == 0, "\(bench.summary)")
        let tokens = lines.reduce(0) { $0 + $1.split(separator: " ").count }
        #expect(bench.output.contains("\"tokens\": \(tokens),"), "\(bench.output)")
        let aligned = try run("bench", ["--offsets", text])
        #expect(aligned.output.contains("MB/s"), "\(aligned.summary)")
    }

    @Test(arguments: ["1", "3"])
    func anErrorNamesTheLineAndEndsThere(threads: String) throws {
        var lines = [String](repeating: "\"fine\"", count: 300_000)
        lines[271_827] = "{\"no text\": 1}"
        let file = try Self.tokenizer.get().write("lines-\(threads)", lines.joined(separator: "\n"))
        let launch = try run("encode", ["--json-lines", "--threads", threads, file])
        #expect(launch.exitCode == 3, "\(launch.summary)")
        #expect(
            launch.errorLines.count == 1 && launch.errors.contains("line 271828"),
            "\(launch.errors)")
        #expect(launch.output.split(separator: "\n").count == 271_827)
    }

    @Test(arguments: [
        (["--rounds", "0"], "text", 2), ([String](), "none", 3), ([String](), "empty", 3),
    ])
    func whatCannotBeTimedIsOneError(words: [String], file: String, code: Int) throws {
        let folder = try Self.tokenizer.get()
        _ = try folder.write("text", "text")
        _ = try folder.write("empty", "")
        let launch = try run("bench", words + [folder.file(file)])
        #expect(launch.exitCode == Int32(code), "\(launch.summary)")
        #expect(
            launch.errorLines.count == 1 && launch.errors.contains("expected"), "\(launch.errors)")
    }

    @Test(arguments: [
        ["--kind", "wordpiece", "--pattern", "llama3"], ["--kind", "byte-level", "--cased"],
        ["--kind", "unigram", "--cased"], ["--kind", "byte-level", "--special", ""],
    ])
    func whatHasNoMeaningForTheKindIsRefused(words: [String]) throws {
        let output = try Self.tokenizer.get().file("refused.json")
        let launch = try murmur(
            ["tokenizer", "train", "--output", output, "configs/tests/same-bits.txt"] + words)
        #expect(launch.exitCode == 2, "\(launch.summary)")
        #expect(launch.errorLines.count == 1, "\(launch.errors)")
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    @Test func aMemberThatNobodyKnowsIsRefused() throws {
        let file = try Self.tokenizer.get().write("members", "{\"text\": \"a\", \"pairs\": \"b\"}")
        let launch = try run("encode", ["--json-lines", file])
        #expect(launch.exitCode == 3 && launch.errors.contains("pairs"), "\(launch.summary)")
    }
}
