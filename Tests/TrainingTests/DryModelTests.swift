import Communication
import Kernels
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import TestSupport
import Testing
import Training

/// A model without memory asks for what the model in training asks for.
@Suite struct DryModelTests {
    /// Layout, storage and recomputation of a model with dropout and smoothed labels.
    struct Run: Sendable, CustomTestStringConvertible {
        var family = Family.gpt
        var tensor = 1
        var scattersTokens = false
        var storage = "float32"
        var recompute = "none"
        var packing = "windows"

        var testDescription: String {
            "\(family.rawValue), 1 x \(tensor)\(scattersTokens ? ", scattered" : ""),  \(storage), \(recompute), \(packing)"
        }

        /// Rows of several documents too, where there are such.
        static let all =
            windows
            + windows.filter {
                [.gpt, .llama, .neox].contains($0.family) && $0.storage == "float32"
            }
            .map {
                var run = $0
                run.packing = "documents"
                return run
            }

        private static let windows = Family.allCases.flatMap { family in
            [(1, false), (2, false), (2, true)].flatMap { tensor, scattersTokens in
                ["float32", "float16", "bfloat16"].flatMap { storage in
                    ["none", "attention", "block"].map {
                        Run(
                            family: family, tensor: tensor, scattersTokens: scattersTokens,
                            storage: storage, recompute: $0)
                    }
                }
            }
        }

        static let vocabulary = 67
        static let sequences = 3

        var configuration: RunConfiguration {
            get throws {
                try RunConfiguration.parse(
                    yaml: family == .vit ? imageConfiguration : completeConfiguration,
                    overrides: own + [
                        "model.family=\(family.rawValue)", "model.layers=2", "model.width=24",
                        "model.feed_forward=53",
                        "precision.storage=\(storage)", "precision.loss_scale=none",
                        "memory.recompute=\(recompute)",
                        "parallelism.tensor=\(tensor)",
                        "parallelism.sequence=\(scattersTokens)",
                    ] + (packing == "windows" ? [] : ["data.packing=\(packing)"]))
            }
        }

        /// Sizes that only some families have.
        private var own: [String] {
            let texts = ["model.context_length=13", "model.vocabulary=\(Run.vocabulary)"]
            return switch family {
            case .gpt, .llama, .bert, .transformer: texts
            case .neox: texts + ["model.rotary_fraction=0.34"]
            case .vit: ["model.classes=\(Run.vocabulary)"]
            }
        }

        /// Of a training micro-batch without memory.
        func dry() throws -> WorkLog {
            let model = DryModel(
                try configuration, vocabulary: Run.vocabulary, tensor: tensor)
            return model.train(sequences: Run.sequences, threads: 1).log
        }

        /// Of the same in a replica. Its neighbours are not there: what it computes is nothing, but it computes.
        func real() throws -> WorkLog {
            let configuration = try configuration
            let mesh = Mesh(dryTensor: tensor)
            let model = configuration.makeModel(symbols: Run.vocabulary)
            let group = parallelize(model, on: mesh, scattersTokens: scattersTokens)
            let replica = try Replica(
                model, objective: configuration.makeObjective(), optimizer: AdamW(), mesh: mesh,
                tensorGroup: group, bucketBytes: 1 << 16,
                storage: DType(rawValue: storage)!)
            try replica.initialize(seed: 1)
            try replica.beginStep()
            replica.beginGroup()
            let source = configuration.syntheticBatches(symbols: Run.vocabulary)
            let batch = try source.trainingBatch(position: 0, microBatch: 0)
            precondition(batch.sequences == Run.sequences)
            let log = WorkLog(isDry: false)
            try log.record {
                _ = try replica.accumulate(
                    batch.modelInput,
                    randomness: Pass.Randomness(seed: 1, step: 1, firstSequence: 0),
                    scale: 1, isLast: false)
            }
            return log
        }
    }

    /// What is given back between two takings, in the order of the blocks' numbers: it makes no difference.
    private func ordered(_ events: [WorkLog.Event]) -> [WorkLog.Event] {
        var result: [WorkLog.Event] = []
        var given: [Int] = []
        func flush() {
            result += given.sorted().map { .give(block: $0) }
            given.removeAll()
        }
        for event in events {
            if case .give(let block) = event {
                given.append(block)
            } else {
                flush()
                result.append(event)
            }
        }
        flush()
        return result
    }

    @Test(arguments: Run.all) func asksForWhatAReplicaAsksFor(run: Run) throws {
        let (dry, real) = (try run.dry(), try run.real())
        let events = ordered(dry.events)
        #expect(events == ordered(real.events))
        #expect(dry.operations == real.operations && dry.logitsBytes == real.logitsBytes)
        // Everything comes back.
        var live = Set<Int>()
        var count = 0
        for event in events {
            switch event {
            case .take:
                live.insert(count)
                count += 1
            case .give(let block): #expect(live.remove(block) != nil)
            }
        }
        #expect(live.isEmpty && count > 50)
        // The control: another recomputation asks for something else.
        var other = run
        other.recompute = run.recompute == "none" ? "block" : "none"
        #expect(try ordered(other.dry().events) != events)
    }

    @Test func operationsAreThoseOfTheShapes() throws {
        let (rows, width, inner, vocabulary) = (3.0 * 13, 24.0, 53.0, Double(Run.vocabulary))
        let block = 4 * width * width + 2 * width * inner
        let whole = try Run().dry().operations
        #expect(whole.products == 6 * rows * (2 * block + vocabulary * width))
        #expect(whole.extentWeighted == whole.products * width && whole.repeated == 0)
        #expect(whole.attention == 2 * 4 * rows * 13 * width)
        let again = try Run(recompute: "block").dry().operations
        #expect(again.products == whole.products && again.attention == whole.attention)
        #expect(again.repeated == 2 * (2 * rows * block + 4 * rows * 13 * width))
        let half = try Run(recompute: "attention").dry().operations
        #expect(half.repeated == 2 * (8 * rows * width * width + 4 * rows * 13 * width))
    }

    /// FLOPs of a token, all of them and again, and the ratio that the products lead to expect.
    @Test func aTokensWorkIsThatOfPaLM() throws {
        let configuration = try RunConfiguration.parse(
            yaml: completeConfiguration,
            overrides: ["model.vocabulary=5000", "memory.recompute=block"])
        let plan = Plan(configuration, vocabulary: 5000, ranks: 1, threads: 1)
        let scores = 4.0 * 64 * 128
        #expect(plan.flopsPerToken == 6 * Double(plan.parameters.total) + 12 * scores)
        let weights = 4.0 * (4 * 128 * 128 + 2 * 128 * 500)
        #expect(plan.repeatedFlopsPerToken == 2 * weights + 4 * scores)
        #expect(plan.productWidth == 128)
    }

    /// Eighty layers of width 8192 on 64 ranks are planned in the memory of a small process.
    @Test func aLargeModelIsPlannedWithoutItsMemory() throws {
        let settings = [
            "model.layers=80", "model.width=8192", "model.heads=64", "model.feed_forward=28672",
            "model.vocabulary=32000", "model.context_length=4096", "batch.sequences=64",
            "batch.micro_batch=1", "numerics.slices=8", "numerics.groups=64",
            "parallelism.tensor=8", "parallelism.sequence=true", "precision.storage=float16",
            "memory.recompute=block", "checkpoint.copy=never",
        ]
        let run = try MeasuredRun(
            Program("murmur"),
            ["plan", RunFolder.configuration, "--ranks", "64"]
                + settings.flatMap { ["--set", $0] })
        #expect(!run.timedOut && run.text.contains("59359707136"), "\(run.text)")
        #expect(run.peakBytes < 256 << 20, "\(run.peakBytes)")
    }
}
