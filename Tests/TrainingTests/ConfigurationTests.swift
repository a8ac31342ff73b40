import Configuration
import Foundation
import Testing
import Training

@Suite struct ConfigurationTests {
    @Test func readsEveryKey() throws {
        let configuration = try RunConfiguration.parse(yaml: completeConfiguration)
        var expected = RunConfiguration(
            run: .init(directory: "runs/example", steps: 2000),
            model: .init(layers: 4, heads: 4, width: 128, contextLength: 64),
            batch: .init(sequences: 12, microBatch: 3), optimizer: .init(learningRate: 1e-3))
        expected.run.seed = 7
        expected.run.threads = 2
        expected.run.communicationTimeout = 10.5
        expected.run.traceSteps = [3, 100]
        expected.model.gpt.dropout = 0.1
        expected.model.gpt.vocabulary = 65
        expected.model.gpt.activation = .geluErf
        expected.model.gpt.inner = 500
        expected.data.text = ["a *.txt", "b.txt"]
        expected.data.tokenizer = .character
        expected.data.validationFraction = 0.2
        expected.data.cache = "elsewhere"
        expected.numerics.slices = 8
        expected.numerics.groups = 2
        expected.objective.labelSmoothing = 0.1
        expected.optimizer.beta1 = 0.8
        expected.optimizer.beta2 = 0.99
        expected.optimizer.epsilon = 1e-7
        expected.optimizer.weightDecay = 0.2
        expected.optimizer.clipNorm = 0
        expected.schedule.warmupSteps = 100
        expected.schedule.decay = .cosine
        expected.schedule.decaySteps = 1900
        expected.schedule.finalRatio = 0.2
        expected.precision.lossScale = .dynamic
        expected.precision.staticScale = 2048
        expected.parallelism.sequence = true
        expected.parallelism.bucketBytes = 1_048_576
        expected.parallelism.reduceDType = .float16
        expected.evaluation.every = 50
        expected.evaluation.microBatch = 4
        expected.checkpoint.every = 60
        expected.checkpoint.keep = 5
        expected.checkpoint.copy = .never
        #expect(configuration == expected)
    }

    @Test func homeFoldersAreExpandedInEveryPath() throws {
        let home = "~".expandingHome
        let configuration = try RunConfiguration.parse(
            yaml: completeConfiguration,
            overrides: [
                "run.directory=~/a", "data.text=[~/b/*.txt, c~, ./~]", "data.cache=\"~\"",
            ])
        #expect(home.hasPrefix("/"))
        #expect(configuration.run.directory == "\(home)/a")
        #expect(configuration.data.text == ["\(home)/b/*.txt", "c~", "./~"])
        #expect(configuration.data.cache == home)
        #expect("~nobody-of-this-name/x".expandingHome == "~nobody-of-this-name/x")
    }

    @Test func fillsInDefaults() throws {
        let configuration = try RunConfiguration.parse(yaml: minimalConfiguration)
        let expected = RunConfiguration(
            run: .init(directory: "runs/example", steps: 30),
            model: .init(layers: 4, heads: 4, width: 128, contextLength: 64),
            batch: .init(sequences: 12, microBatch: 3), optimizer: .init(learningRate: 1e-3))
        #expect(configuration == expected)
        #expect(configuration.numerics.groups == 4)
        #expect(configuration.schedule.decaySteps == 30)
        #expect(configuration.model.gpt.inner == 512)
        #expect(configuration.evaluation.microBatch == 16)
        #expect(configuration.data.isEmpty)
    }

    @Test func survivesItsOwnYAML() throws {
        for text in [completeConfiguration, minimalConfiguration] {
            var configuration = try RunConfiguration.parse(yaml: text)
            configuration.run.directory = "it's \"odd\": # \\ é\u{1}\u{2028}[*]\t"
            let again = try RunConfiguration.parse(yaml: configuration.yaml)
            #expect(again == configuration)
            #expect(again.yaml == configuration.yaml)
        }
    }

    @Test func leavesOutWhatAutoStandsFor() throws {
        let overrides = ["schedule.decay_steps=auto", "numerics.groups=auto", "run.threads=auto"]
        let configuration = try RunConfiguration.parse(
            yaml: completeConfiguration, overrides: overrides)
        #expect(configuration.schedule.decaySteps == 2000)
        #expect(configuration.numerics.groups == 4)
        #expect(configuration.run.threads == nil)
    }

    @Test func overridesWinInTheirOrder() throws {
        let configuration = try RunConfiguration.parse(
            yaml: minimalConfiguration,
            overrides: [
                "optimizer.learning_rate=3e-4", "data.text=[a.txt, \"b c.txt\"]", "run.steps=5",
                "run.steps=6", "run.directory=\"a=b\"",
            ])
        #expect(configuration.optimizer.learningRate == 3e-4)
        #expect(configuration.data.text == ["a.txt", "b c.txt"])
        #expect(configuration.run.steps == 6)
        #expect(configuration.schedule.decaySteps == 6)
        #expect(configuration.run.directory == "a=b")
    }

    /// The largest power of two up to 8 that divides the micro-batches.
    @Test(arguments: [(1, 1), (2, 2), (3, 1), (12, 4), (16, 8), (24, 8), (40, 8), (7, 1)])
    func groupsFollowFromTheBatch(sequences: Int, groups: Int) throws {
        let configuration = try RunConfiguration.parse(
            yaml: minimalConfiguration,
            overrides: ["batch.sequences=\(sequences)", "batch.micro_batch=1"])
        #expect(configuration.numerics.groups == groups)
    }

    @Test func ranksMustDivideTheMicroBatches() throws {
        var configuration = try RunConfiguration.parse(
            yaml: completeConfiguration, overrides: ["parallelism.reduce_dtype=float32"])
        #expect(try configuration.check(ranks: 1) == [])
        #expect(try configuration.check(ranks: 2) == [])
        let warnings = try configuration.check(ranks: 4)
        #expect(warnings.count == 1)
        #expect(warnings[0].contains("4 data-parallel ranks do not divide 2 groups"))
        for ranks in [3, 5, 8, 12] {
            #expect(throws: ConfigurationError.self) { try configuration.check(ranks: ranks) }
        }
        do {
            _ = try configuration.check(ranks: 3)
        } catch {
            #expect(
                error.problems[0].message
                    == "expected a number of ranks that divides the 4 micro-batches (12 sequences "
                    + "/ 3), found 3; use 1, 2, 4 ranks or change the batch")
        }
        configuration.data = .init()
        #expect(throws: ConfigurationError.self) { try configuration.check(ranks: 1) }
        #expect(try configuration.check(ranks: 1, readsData: false) == [])
    }

    /// Four micro-batches in two groups, two ranks for each copy of the model.
    @Test(arguments: [
        (2, nil), (4, nil), (8, nil),
        (
            3,
            "parallelism.tensor: expected a divisor of the number of ranks (3), found 2; "
                + "use 2, 4, 8 ranks or change the degree"
        ),
        (
            6,
            "batch.micro_batch: expected a number of data-parallel ranks that divides the 4 "
                + "micro-batches (12 sequences / 3), found 6 / 2 = 3; use 2, 4, 8 ranks or "
                + "change the batch"
        ),
    ])
    func ranksAreAsManyTensorRanksAsDivideTheMicroBatches(ranks: Int, problem: String?) throws {
        let configuration = try RunConfiguration.parse(
            yaml: completeConfiguration,
            overrides: ["parallelism.tensor=2", "parallelism.reduce_dtype=float32"])
        do {
            let warnings = try configuration.check(ranks: ranks)
            #expect(problem == nil)
            let warning = "4 data-parallel ranks do not divide 2 groups"
            #expect(warnings.map { $0.contains(warning) } == (ranks == 8 ? [true] : []))
        } catch {
            #expect(error.problems.map { "\($0.key): \($0.message)" } == [problem])
        }
    }

    @Test func aFloat16WireIsWarnedOf() throws {
        let configuration = try RunConfiguration.parse(yaml: completeConfiguration)
        #expect(try configuration.check(ranks: 1) == [])
        let warnings = try configuration.check(ranks: 2)
        #expect(warnings.count == 1)
        #expect(warnings[0].hasPrefix("parallelism.reduce_dtype: float16"))
        #expect(try configuration.check(ranks: 4).count == 2)
    }

    @Test func threadsAreSharedAmongRanksOfAHost() {
        let processors = AvailableProcessors.count
        #expect(processors >= 1 && processors <= AvailableProcessors.onMachine)
        #expect((1...processors).contains(ProcessorShare(ranks: 1).threads))
        #expect(ProcessorShare(ranks: 10_000).threads == 1)
    }
}
