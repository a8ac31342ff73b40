import Foundation
import TestSupport
import Testing

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

    /// A checkpoint that came from elsewhere names folders of its own: nothing is made in them.
    @Test func evaluationWritesNowhere() throws {
        let folder = try TemporaryFolder()
        let text = "\(packageRoot)/\(RunFolder.configuration.replacing(".yaml", with: ".txt"))"
        let own = try RunFolder()
        let moved = own.folder.file("cache")
        let launch = try own.train(settings: ["run.steps=1", "data.text=[\(text)]"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        try FileManager.default.removeItem(atPath: moved)
        let before = try own.folder.names()
        let evaluated = try Program("murmur").run(
            ["evaluate", "--checkpoint", own.directory], in: folder.path)
        #expect(evaluated.exitCode == 0 && evaluated.output.contains("validation loss"))
        #expect(try own.folder.names() == before && folder.names() == [])
        // The control: where somebody names a cache, it is made there.
        let named = try Program("murmur").run(
            [
                "evaluate", "--checkpoint", own.directory, "--set",
                "data.cache=\(folder.file("named"))",
            ], in: folder.path)
        #expect(named.output == evaluated.output)
        #expect(try folder.names() == ["named"])
    }

    private func expectFigure(of run: RunFolder, ranks: Int?) throws {
        let launch = try murmur(["evaluate", "--checkpoint", run.directory], ranks: ranks)
        let row = try #require(run.metrics.last)
        let value = try #require(
            row.firstMatch(of: /"validation_loss": ([0-9.]+)/).flatMap { Double($0.1) })
        let loss = String(format: "%.6f", value)
        #expect(launch.exitCode == 0 && launch.errors == "", "\(launch.summary)")
        #expect(
            launch.output == "step 10  validation loss \(loss) nats a token  over 2049 tokens\n")
    }
}
