import Checkpointing
import Communication
import Foundation
import Layers
import TestSupport
import Testing
import Training

/// `generate` and `evaluate` on a run of their own.
@Suite(.serialized) struct GenerationTests {
    private static let run = Result { try makeRun("float32") }
    private static let halfRun = Result { try makeRun("float16") }

    /// Two ranks that hold one copy of the model together.
    private static let splitRun = Result {
        try makeRun("float32", ranks: 2, settings: ["parallelism.tensor=2"])
    }

    private static func makeRun(
        _ storage: String, ranks: Int? = nil, settings: [String] = []
    ) throws -> RunFolder {
        let run = try RunFolder()
        let launch = try run.train(
            ranks: ranks,
            settings: ["run.steps=10", "precision.storage=\(storage)"] + settings)
        #expect(launch.exitCode == 0, "\(launch.summary)")
        return run
    }

    private func generate(_ arguments: [String], ranks: Int? = nil) throws -> String {
        let directory = try Self.run.get().directory
        let launch = try murmur(["generate", "--checkpoint", directory] + arguments, ranks: ranks)
        #expect(launch.exitCode == 0 && launch.errors == "", "\(launch.summary)")
        return launch.output
    }

    @Test(arguments: [[], ["--prompt", ""]])
    func anEmptyPromptStartsANewText(prompt: [String]) throws {
        let text = try generate(prompt + ["--tokens", "60"])
        #expect(text.count == 61 && text.hasSuffix("\n"), "\(text)")
        #expect(try text == generate(["--tokens", "60"]))
    }

    /// Longer than the context of 33 tokens.
    @Test func aPromptIsContinued() throws {
        let prompt = "the flock turns as one, and every bird watches the seven nearest"
        let text = try generate(["--prompt", prompt, "--tokens", "40", "--seed", "3"])
        #expect(text.hasPrefix(prompt) && text.count == prompt.count + 41)
        #expect(try text == generate(["--prompt", prompt, "--tokens", "40", "--seed", "3"]))
        #expect(try text != generate(["--prompt", prompt, "--tokens", "40", "--seed", "4"]))
    }

    @Test func theMostProbableTokensNeedNoSeed() throws {
        let greedy = try generate(["--temperature", "0", "--tokens", "30", "--seed", "1"])
        #expect(try greedy == generate(["--top-k", "1", "--tokens", "30", "--seed", "2"]))
        #expect(try greedy == generate(["--top-p", "1e-9", "--tokens", "30", "--seed", "3"]))
        #expect(try greedy != generate(["--tokens", "30", "--temperature", "2"]), "control")
    }

    @Test func oneRankSpeaks() throws {
        #expect(try generate(["--tokens", "5"], ranks: 2) == generate(["--tokens", "5"]))
    }

    @Test func aPromptBeyondTheVocabularyIsNamed() throws {
        let directory = try Self.run.get().directory
        let launch = try murmur(["generate", "--checkpoint", directory, "--prompt", "naïve"])
        #expect(launch.exitCode == 2, "\(launch.summary)")
        #expect(
            launch.errors.wholeMatch(of: /error: --prompt: [^\n]+ï[^\n]*\n/) != nil,
            "\(launch.errors)")
    }

    /// The figure of the last metrics row, on any number of ranks.
    @Test(arguments: [nil, 2, 3], ["float32", "float16"])
    func evaluationGivesTheFigureOfTheRun(ranks: Int?, storage: String) throws {
        try expectFigure(of: (storage == "float16" ? Self.halfRun : Self.run).get(), ranks: ranks)
    }

    /// Ranks hold the model together as far as they divide it, and draw the same tokens as one.
    @Test(arguments: [2, 3, 4], ["float32", "float16"])
    func ranksContinueTheSameTexts(ranks: Int, storage: String) throws {
        let run = try (storage == "float16" ? Self.halfRun : Self.run).get()
        let file = run.folder.file("prompts-\(ranks)")
        try "the flock\n\nbirds\n".write(toFile: file, atomically: true, encoding: .utf8)
        let arguments = [
            "generate", "--checkpoint", run.directory, "--prompts", file, "--num", "2", "--json",
            "--tokens", "20",
        ]
        let (alone, together) = (try murmur(arguments), try murmur(arguments, ranks: ranks))
        #expect(alone.exitCode == 0 && together.exitCode == 0, "\(together.summary)")
        #expect(together.output == alone.output && together.errors == "")
        #expect(alone.output.split(separator: "\n").count == 6)
        let other = try murmur(arguments + ["--seed", "2"], ranks: ranks)
        #expect(other.output != alone.output, "control")
    }

    @Test func aPromptThatIsMissingEndsAllRanks() throws {
        let directory = try Self.run.get().directory
        let launch = try murmur(
            ["generate", "--checkpoint", directory, "--prompts", "/no/such/file"], ranks: 2)
        #expect(launch.exitCode == 2 && launch.output == "", "\(launch.summary)")
        #expect(launch.errors.contains("--prompts: /no/such/file: expected to read"))
    }

    /// A part of the split is whole micro-batches from its start, the same on any number of ranks.
    @Test func aPartOfTheSplitIsEnough() throws {
        let run = try Self.run.get()
        func evaluate(_ tokens: Int?, ranks: Int? = nil) throws -> String {
            let part = tokens.map { ["--tokens", "\($0)"] } ?? []
            let launch = try murmur(
                ["evaluate", "--checkpoint", run.directory, "--set", "evaluation.micro_batch=1"]
                    + part,
                ranks: ranks)
            #expect(launch.exitCode == 0, "\(launch.summary)")
            return launch.output
        }
        let (part, whole) = (try evaluate(34), try evaluate(nil))
        #expect(part.hasSuffix("over 66 tokens\n") && part.contains("perplexity"), "\(part)")
        #expect(part != whole)
        #expect(try evaluate(34, ranks: 2) == part)
        #expect(try evaluate(1 << 40) == whole)
    }

    /// Each process holds the whole model, however many ranks held it together while it learned.
    @Test(arguments: [nil, 1, 2])
    func aModelThatRanksHeldTogetherIsWholeHere(ranks: Int?) throws {
        let run = try Self.splitRun.get()
        try expectFigure(of: run, ranks: ranks)
        let text = try murmur(
            ["generate", "--checkpoint", run.directory, "--tokens", "5"], ranks: ranks)
        #expect(text.exitCode == 0 && text.errors == "", "\(text.summary)")
        #expect(try text.output == generate(["--tokens", "5"]))
    }

    /// `evaluate` in a folder of its own, with a folder of temporary files of its own.
    private func evaluate(
        _ run: RunFolder, in folder: TemporaryFolder, _ settings: [String] = [],
        temporary: String? = nil, whileRunning: (Program.Running) -> Bool = { _ in true }
    ) throws -> Launch {
        try Program(path: "/usr/bin/env").run(
            [
                "TMPDIR=\(temporary ?? folder.file("tmp"))", Program("murmur").path, "evaluate",
                "--checkpoint", run.directory,
            ] + settings.flatMap { ["--set", $0] }, in: folder.path, whileRunning: whileRunning)
    }

    private func workplace() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try FileManager.default.createDirectory(
            atPath: folder.file("tmp"), withIntermediateDirectories: false)
        return folder
    }

    private static let text =
        "\(packageRoot)/\(RunFolder.configuration.replacing(".yaml", with: ".txt"))"

    /// A run that may be made anew, of one step.
    private func shortRun() throws -> RunFolder {
        let run = try RunFolder()
        let launch = try run.train(settings: ["run.steps=1", "data.text=[\(Self.text)]"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        return run
    }

    /// A checkpoint that came from elsewhere names folders of its own: nothing is made in them, and none is left
    /// among the temporary ones.
    @Test func evaluationWritesNowhere() throws {
        let folder = try workplace()
        let own = try shortRun()
        try FileManager.default.removeItem(atPath: own.folder.file("cache"))
        let before = try own.folder.names()
        let evaluated = try evaluate(own, in: folder)
        #expect(evaluated.exitCode == 0 && evaluated.output.contains("validation loss"))
        #expect(try own.folder.names() == before && folder.names() == ["tmp"])
        #expect(try folder.names(in: "tmp") == [])
        // The control: where somebody names a cache, it is made there.
        let named = try evaluate(own, in: folder, ["data.cache=\(folder.file("named"))"])
        #expect(named.output == evaluated.output)
        #expect(try folder.names() == ["named", "tmp"])
    }

    @Test func aMissingFolderOfTemporaryFilesIsNotMade() throws {
        let folder = try workplace()
        let own = try shortRun()
        try FileManager.default.removeItem(atPath: own.folder.file("cache"))
        let launch = try evaluate(own, in: folder, temporary: folder.file("no/where"))
        #expect(launch.exitCode == 5 && launch.errorLines.count == 1, "\(launch.summary)")
        #expect(launch.errors.contains("TMPDIR: expected a folder"), "\(launch.summary)")
        #expect(try folder.names() == ["tmp"])
    }

    /// Text so long that it is not done when the signal comes. (A shell may have had SIGINT ignored.)
    @Test(arguments: [SIGTERM, SIGUSR1])
    func aSignalLeavesNoTemporaryFolder(number: Int32) throws {
        let folder = try workplace()
        let own = try shortRun()
        let text = try String(contentsOfFile: Self.text, encoding: .utf8)
        let long = try folder.write("long.txt", String(repeating: text, count: 400))
        let launch = try evaluate(own, in: folder, ["data.text=[\(long)]"]) { running in
            guard (try? folder.names(in: "tmp"))?.isEmpty == false else { return false }
            kill(running.process, number)
            return true
        }
        #expect(launch.exitCode == 128 + number && !launch.timedOut, "\(launch.summary)")
        #expect(try folder.names(in: "tmp") == [])
    }

    /// Its owner may mend it; the text is there.
    @Test func aDamagedCacheOfAnotherIsLeftAlone() throws {
        let folder = try workplace()
        let own = try shortRun()
        let sound = try evaluate(own, in: folder)
        let cache = own.folder.file("cache")
        let files =
            FileManager.default.enumerator(atPath: cache)?.compactMap { $0 as? String } ?? []
        let shard = try #require(files.first { $0.contains("validation-") })
        let path = "\(cache)/\(shard)"
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        for damaged in [Data(bytes.dropLast()), bytes.dropLast() + [bytes.last! ^ 1]] {
            try damaged.write(to: URL(fileURLWithPath: path))
            let launch = try evaluate(own, in: folder)
            #expect(launch.exitCode == 0 && launch.errors == "", "\(launch.summary)")
            #expect(launch.output == sound.output)
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == damaged)
        }
        #expect(try folder.names(in: "tmp") == [])
    }

    // MARK: Checkpoints that are not well

    @Test(arguments: ["evaluate", "generate"], [nil, 2])
    func aDamagedCheckpointIsNamedOnce(command: String, ranks: Int?) throws {
        let run = try RunFolder()
        let trained = try run.train(
            settings: ["checkpoint.every=1", "run.steps=2"])
        #expect(trained.exitCode == 0 && run.checkpoints == [1, 2], "\(trained.summary)")
        try BadInput.damage(run.checkpoint(2))
        let launch = try murmur([command, "--checkpoint", run.directory], ranks: ranks)
        #expect(launch.exitCode == 0 && launch.output != "", "\(launch.summary)")
        #expect(launch.errorLines.count == 1, "\(launch.summary)")
        #expect(
            launch.errors.hasPrefix("warning: passed over: ")
                && launch.errors.contains(run.checkpoint(2)), "\(launch.summary)")
    }

    /// Sound by its digests, and of no use.
    @Test(arguments: [("evaluate", nil), ("evaluate", 2), ("generate", nil)] as [(String, Int?)])
    func weightsThatAreNoNumbersAreNamed(command: String, ranks: Int?) throws {
        let run = try Self.run.get()
        let folder = try TemporaryFolder()
        let reader = try #require(try CheckpointReader.newest(in: run.directory)).reader
        let parameters = try TrainedModel(path: run.directory).model.parameters
        // In one piece, so that places in memory and in the tensor are the same.
        let spoiled = try #require(parameters.last { $0.spec.axis == nil && $0.count > 7 })
        func save(_ value: Float) throws {
            spoiled.leaf.value.buffer.floats[7] = value
            let state = parameters.map {
                StateTensor(
                    name: $0.name, spec: $0.spec,
                    pieces: [.init(range: 0..<$0.count, buffer: $0.leaf.value.buffer)])
            }
            try? FileManager.default.removeItem(atPath: folder.file("checkpoints"))
            try CheckpointWriter(runDirectory: folder.path, keep: 1)
                .save(state, progress: reader.progress, communicator: InProcess.alone())
        }
        for (value, name) in [(Float.nan, "nan"), (-.infinity, "-inf")] {
            try save(value)
            let launch = try murmur([command, "--checkpoint", folder.path], ranks: ranks)
            #expect(launch.exitCode == 4 && launch.output == "", "\(launch.summary)")
            #expect(launch.errorLines.count == 1, "\(launch.summary)")
            let part = "tensor \(spoiled.name): expected finite numbers, found \(name) at element 7"
            #expect(launch.errors.contains(part), "\(launch.summary)")
        }
        // The control.
        try save(0)
        let launch = try murmur([command, "--checkpoint", folder.path], ranks: ranks)
        #expect(launch.exitCode == 0 && launch.errors == "", "\(launch.summary)")
    }

    private func expectFigure(of run: RunFolder, ranks: Int?) throws {
        let launch = try murmur(["evaluate", "--checkpoint", run.directory], ranks: ranks)
        let row = try #require(run.metrics.last)
        let value = try #require(
            row.firstMatch(of: /"validation_loss": ([0-9.]+)/).flatMap { Double($0.1) })
        let perplexity = try #require(
            row.firstMatch(of: /"validation_perplexity": ([0-9.]+)/).flatMap { Double($0.1) })
        #expect(abs(perplexity - exp(value)) < 1e-6 * perplexity)
        let figures = String(
            format: "validation loss %.6f nats a token  perplexity %.6g", value, perplexity)
        #expect(launch.exitCode == 0 && launch.errors == "", "\(launch.summary)")
        #expect(launch.output == "step 10  \(figures)  over 2049 tokens\n")
    }
}
