import Foundation
import TestSupport
import Testing
import Training

/// A run without data, of these shapes.
private struct PlannedShape: CustomTestStringConvertible {
    let name: String
    let settings: [String]
    var ranks: Int?

    var testDescription: String { name }

    /// Larger than the process, so that what tensors take is most of what is measured.
    static let wide = PlannedShape(
        name: "wide",
        settings: [
            "model.width=512", "model.heads=8", "model.feed_forward=2048", "model.layers=2",
            "model.context_length=64", "model.vocabulary=2048", "model.dropout=0",
            "batch.sequences=4", "batch.micro_batch=1", "numerics.groups=4",
        ])
    static let narrow = PlannedShape(
        name: "narrow, dropout, large micro-batch",
        settings: [
            "model.width=64", "model.heads=4", "model.feed_forward=256", "model.layers=8",
            "model.context_length=64", "model.vocabulary=300", "batch.sequences=24",
            "batch.micro_batch=24", "numerics.groups=1",
        ])
    static let twoRanks = PlannedShape(
        name: "wide on 2 ranks", settings: wide.settings + ["parallelism.bucket_bytes=4194304"],
        ranks: 2)

    /// Next to nothing beside the process.
    static let least = PlannedShape(
        name: "least",
        settings: [
            "model.width=4", "model.heads=4", "model.feed_forward=4", "model.layers=1",
            "model.context_length=4", "model.vocabulary=61", "batch.sequences=4",
            "batch.micro_batch=4", "numerics.groups=1",
        ])

    /// Mostly activations; of the vocabulary and the inner width a rank may have more than another.
    static let split = PlannedShape(
        name: "dropout, large micro-batch, odd vocabulary and inner width",
        settings: [
            "model.width=128", "model.heads=4", "model.feed_forward=511", "model.layers=4",
            "model.context_length=128", "model.vocabulary=1501", "batch.sequences=16",
            "batch.micro_batch=8", "numerics.groups=2",
        ])

    /// The same on so many ranks, `tensor` of which hold one copy.
    func on(ranks: Int, tensor: Int, sequence: Bool) -> PlannedShape {
        PlannedShape(
            name: "\(name), \(ranks / tensor) × \(tensor) ranks\(sequence ? ", tokens split" : "")",
            settings: settings + [
                "parallelism.tensor=\(tensor)", "parallelism.sequence=\(sequence)",
            ],
            ranks: ranks)
    }

    /// The configuration file with these settings.
    var arguments: [String] {
        [RunFolder.configuration]
            + (settings + ["run.threads=1"]).flatMap { ["--set", $0] }
    }

    func plan() throws -> [String: Any] {
        let launch = try murmur(["plan"] + arguments + ["--json", "--ranks", "\(ranks ?? 1)"])
        try #require(launch.exitCode == 0, "\(launch.summary)")
        return try #require(
            try JSONSerialization.jsonObject(with: Data(launch.output.utf8)) as? [String: Any])
    }
}

/// A shape, how it is stored and what is made again.
private struct PlannedRun: CustomTestStringConvertible {
    let shape: PlannedShape
    let storage: String
    let recompute: String

    var testDescription: String { "\(shape.name), \(storage), recompute \(recompute)" }

    static let all = [PlannedShape.wide, .narrow, .twoRanks].flatMap { shape in
        ["float32", "float16"].flatMap { storage in
            ["none", "attention", "block"].map {
                PlannedRun(shape: shape, storage: storage, recompute: $0)
            }
        }
    }

    /// Every tensor degree, with and without sequence parallelism, storage type and recomputation.
    static let split = [
        (PlannedShape.wide.on(ranks: 2, tensor: 2, sequence: false), "float16", "none"),
        (PlannedShape.split.on(ranks: 2, tensor: 2, sequence: false), "float32", "none"),
        (PlannedShape.split.on(ranks: 2, tensor: 2, sequence: true), "float32", "attention"),
        (PlannedShape.split.on(ranks: 4, tensor: 4, sequence: false), "float16", "block"),
        (PlannedShape.split.on(ranks: 4, tensor: 4, sequence: true), "float32", "none"),
        (PlannedShape.split.on(ranks: 4, tensor: 2, sequence: true), "float16", "none"),
    ].map { PlannedRun(shape: $0.0, storage: $0.1, recompute: $0.2) }

    var settings: [String] {
        shape.settings
            + ["precision.storage=\(storage)", "memory.recompute=\(recompute)", "run.threads=1"]
    }

    /// Bytes by which a process with its libraries is larger here than the plan takes it to be: these make buffers by
    /// the number of processors.
    private static let excess = Result {
        let least = PlannedRun(shape: .least, storage: "float32", recompute: "none")
        return try least.measured().total - least.planned(excess: 0).total
    }

    func planned() throws -> (total: Double, pool: Double) {
        try planned(excess: PlannedRun.excess.get())
    }

    /// Without what evaluations and saves add: bench has neither.
    private func planned(excess: Double) throws -> (total: Double, pool: Double) {
        let configuration = try RunConfiguration.load(
            file: "\(packageRoot)/\(RunFolder.configuration)", overrides: settings)
        let plan = Plan(
            configuration, vocabulary: try #require(configuration.model.shape.vocabulary),
            ranks: shape.ranks ?? 1, threads: 1)
        #expect(plan.memory.parts.reduce(0) { $0 + $1.bytes } == plan.memoryTotal)
        let others = plan.memory.evaluation + plan.memory.checkpoint
        return (Double(plan.memoryTotal - others) + excess, Double(plan.poolPeakBytes))
    }

    /// The largest rank's peak, and the first one's pool.
    func measured() throws -> (total: Double, pool: Double) {
        let arguments = ["bench", RunFolder.configuration] + settings.flatMap { ["--set", $0] }
        let launch = try murmur(arguments + ["--json", "--steps", "1"], ranks: shape.ranks)
        try #require(launch.exitCode == 0, "\(launch.summary)")
        let figures = try #require(
            try JSONSerialization.jsonObject(with: Data(launch.output.utf8)) as? [String: Any])
        return (
            try #require(figures["peak_rss_bytes"] as? Double),
            try #require(figures["pool_peak_bytes"] as? Double)
        )
    }
}

/// `murmur plan`: what it says is what `murmur bench` then takes.
@Suite(.serialized) struct PlanTests {
    @Test(arguments: PlannedRun.all)
    private func memoryIsWithinTenPercentOfTheMeasuredPeak(run: PlannedRun) throws {
        let (plan, measured) = (try run.planned(), try run.measured())
        #expect(abs(plan.total / measured.total - 1) < 0.1, "\(plan), measured \(measured)")
        // Messages on their way between ranks lie in the pool too; how many at once is a matter of time.
        let tolerance = run.shape.ranks == nil ? 0.001 : 0.1
        #expect(abs(plan.pool / measured.pool - 1) < tolerance, "\(plan), measured \(measured)")
        // The control: another shape's plan does not fit.
        let isNarrow = run.shape.name == PlannedShape.narrow.name
        let other = try PlannedRun(
            shape: isNarrow ? .wide : .narrow, storage: run.storage, recompute: run.recompute
        ).planned()
        #expect(abs(other.total / measured.total - 1) > 0.1)
        #expect(abs(other.pool / measured.pool - 1) > 0.1)
    }

    @Test(arguments: PlannedRun.split)
    private func memoryOfRanksThatShareAModelIsWithinTenPercent(run: PlannedRun) throws {
        let (plan, measured) = (try run.planned(), try run.measured())
        #expect(abs(plan.total / measured.total - 1) < 0.1, "\(plan), measured \(measured)")
        // Messages between ranks lie in the pool too.
        #expect(abs(plan.pool / measured.pool - 1) < 0.1, "\(plan), measured \(measured)")
        // The controls: one rank alone, and tokens that are split where they are not and the reverse.
        func other(
            _ changes: [String], ranks: Int?
        ) throws -> (total: Double, pool: Double) {
            let shape = PlannedShape(
                name: "control", settings: run.shape.settings + changes, ranks: ranks)
            return try PlannedRun(shape: shape, storage: run.storage, recompute: run.recompute)
                .planned()
        }
        let alone = try other(["parallelism.tensor=1"], ranks: nil)
        #expect(alone.pool / measured.pool > 1.1, "\(alone)")
        if run.shape.name.hasPrefix(PlannedShape.split.name) && run.recompute == "none" {
            let isSplit = run.shape.settings.contains("parallelism.sequence=true")
            let reverse = try other(
                ["parallelism.sequence=\(!isSplit)"], ranks: run.shape.ranks)
            #expect(abs(reverse.pool / measured.pool - 1) > 0.1, "\(reverse)")
        }
    }

    /// Of GPT-2's smallest model two ranks hold half, but for positions, norms and biases, which are whole.
    @Test(arguments: [(1, 2), (2, 2), (1, 4)])
    func ranksThatShareAModelHoldAPartOfIt(data: Int, tensor: Int) throws {
        func plan(_ ranks: Int, _ overrides: [String]) throws -> Plan {
            let configuration = try RunConfiguration.load(
                file: "\(packageRoot)/configs/gpt2-124m.yaml", overrides: overrides)
            return Plan(configuration, vocabulary: 50257, ranks: ranks, threads: 1)
        }
        let halves = ["batch.micro_batch=2", "precision.storage=float16"]
        let one = try plan(data, halves)
        let shared = try plan(data * tensor, halves + ["parallelism.tensor=\(tensor)"])
        let scattered = try plan(
            data * tensor,
            halves + ["parallelism.tensor=\(tensor)", "parallelism.sequence=true"])
        #expect(one.data == data && one.tensor == 1 && one.heldParameters == one.parameters)
        #expect(shared.data == data && shared.tensor == tensor && !shared.sequence)
        #expect(scattered.sequence)
        #expect(shared.parameters == one.parameters)
        let norms = ["h.*.ln_1", "h.*.ln_2", "ln_f"].reduce(0) { $0 + one.parameters[$1] }
        #expect(norms == 25 * 2 * 768)
        let whole = one.parameters["wpe"] + norms + 12 * 2 * 768
        let split = one.parameters.total - whole
        let held = whole + (split + tensor - 1) / tensor
        #expect(abs(shared.heldParameters.total - held) < 768 * tensor)
        let kinds: [KeyPath<Plan.Memory, Int>] = [\.weights, \.masters, \.moments, \.gradients]
        for kind in kinds {
            let ratio = Double(shared.memory[keyPath: kind]) / Double(one.memory[keyPath: kind])
            #expect(abs(ratio * Double(tensor) - 1) < 0.1, "\(kind): \(ratio)")
            #expect(shared.memory[keyPath: kind] == scattered.memory[keyPath: kind])
        }
        #expect(shared.memory.logits < one.memory.logits)
        #expect(scattered.memory.activations < shared.memory.activations)
        #expect(shared.memory.activations < one.memory.activations)
    }

    /// What storage and recomputation change, and what they do not.
    @Test(arguments: [1, 2]) func kindsFollowStorageAndRecomputation(ranks: Int) throws {
        func memory(_ settings: String...) throws -> Plan.Memory {
            let configuration = try RunConfiguration.parse(
                yaml: completeConfiguration,
                overrides: settings + ["model.width=512", "model.dropout=0"])
            return Plan(configuration, vocabulary: 5000, ranks: ranks, threads: 1).memory
        }
        let whole = try memory()
        let half = try memory("precision.storage=float16")
        func ratio(_ part: KeyPath<Plan.Memory, Int>) -> Double {
            Double(half[keyPath: part]) / Double(whole[keyPath: part])
        }
        #expect(whole.masters == 0)
        #expect(abs(Double(half.masters) / Double(half.moments) - 0.5) < 0.05)
        for part in [\.weights, \.activations, \.logits] as [KeyPath<Plan.Memory, Int>] {
            #expect(abs(ratio(part) - 0.5) < 0.06, "\(ratio(part))")
        }
        #expect(half.moments == whole.moments && half.gradients == whole.gradients)

        let attention = try memory("memory.recompute=attention")
        let block = try memory("memory.recompute=block")
        #expect(block.activations < attention.activations)
        #expect(attention.activations < whole.activations)
        #expect(block.weights == whole.weights && block.logits == whole.logits)
    }

    @Test func printsOneLineOfJSONWithParametersMemoryAndTime() throws {
        let report = try PlannedShape.wide.plan()
        let plan = try #require(report["plan"] as? [String: Any])
        let counts = try #require(plan["parameters"] as? [String: Any])
        let parameters = try #require(counts["parts"] as? [String: Double])
        let (width, inner, layers): (Double, Double, Double) = (512, 2048, 2)
        #expect(parameters["wte"] == 2048 * width)
        #expect(parameters["wpe"] == 64 * width)
        #expect(parameters["h.*.attn"] == layers * (4 * width * width + 4 * width))
        #expect(parameters["h.*.mlp"] == layers * (2 * width * inner + inner + width))
        for norm in ["h.*.ln_1", "h.*.ln_2"] {
            #expect(parameters[norm] == layers * 2 * width)
        }
        #expect(parameters["ln_f"] == 2 * width && parameters.count == 7)
        #expect(parameters.values.reduce(0, +) == counts["total"] as? Double)
        #expect(plan["product_width"] as? Double == width)
        #expect(plan["gradient_buffers"] as? Int == 3)
        #expect(plan["data"] as? Int == 1 && plan["tensor"] as? Int == 1)
        let held = try #require(plan["held_parameters"] as? [String: Any])
        #expect(held["parts"] as? [String: Double] == parameters)
        let memory = try #require(plan["memory"] as? [String: Double])
        for key in [
            "weights", "masters", "moments", "gradients", "activations", "logits", "backward",
            "evaluation", "checkpoint", "scratch", "communication", "process",
        ] {
            #expect(memory[key] != nil, "\(key)")
        }
        let speed = try #require(report["speed"] as? [String: Double])
        for key in ["peak_flops_per_second", "tokens_per_second", "step_seconds", "run_seconds"] {
            #expect(try #require(speed[key]) > 0, "\(key)")
        }
        #expect(report["limit_bytes"] as? Int ?? 1 > 0)
        #expect(report["vocabulary_source"] as? String == "model.vocabulary")
    }

    /// A plan's time follows from the peak and the extents of the products.
    @Test func timeFollowsFromThePeak() throws {
        let configuration = try RunConfiguration.parse(yaml: completeConfiguration)
        let plan = Plan(configuration, vocabulary: 5000, ranks: 1, threads: 1)
        let speed = plan.speed(peak: 1e11)
        let flops = plan.flopsPerToken + plan.repeatedFlopsPerToken
        #expect(speed.peakFlopsPerSecond == 1e11)
        #expect(abs(speed.tokensPerSecond * flops / (1e11 * speed.expectedRatio) - 1) < 1e-12)
        #expect(abs(speed.stepSeconds * speed.tokensPerSecond / plan.tokensPerStep - 1) < 1e-12)
        #expect(plan.speed(peak: 2e11).tokensPerSecond == 2 * speed.tokensPerSecond)
        // No width reaches the peak, and a larger one comes nearer.
        let ratios = try [4, 64, 128, 256, 768, 4096].map { width in
            let configuration = try RunConfiguration.parse(
                yaml: completeConfiguration, overrides: ["model.width=\(width)"])
            return Plan(configuration, vocabulary: 5000, ranks: 1, threads: 1).speed(peak: 1e11)
                .expectedRatio
        }
        #expect(ratios == ratios.sorted() && Set(ratios).count == ratios.count)
        #expect(ratios.allSatisfy { $0 > 0 && $0 < 1 })
    }

    @Test func momentsAreSharedByTheRanks() throws {
        let configuration = try RunConfiguration.parse(yaml: completeConfiguration)
        let plans = [1, 2].map {
            Plan(configuration, vocabulary: 5000, ranks: $0, threads: 1)
        }
        let memory = plans.map(\.memory)
        #expect(memory[1].weights > 0 && memory[1].weights <= memory[0].weights)
        #expect(memory[1].moments <= memory[0].moments)
        #expect(memory[0].communication == 0 && memory[1].communication > 0)
    }

    // MARK: What does not fit

    private let huge = [
        "model.width=65536", "model.heads=16", "model.feed_forward=262144", "model.layers=400",
    ]

    @Test func aPlanThatDoesNotFitIsPrintedAndRefused() throws {
        let launch = try murmur(
            ["plan", RunFolder.configuration]
                + (huge + ["model.vocabulary=50000"]).flatMap { ["--set", $0] })
        #expect(launch.exitCode == 9, "\(launch.summary)")
        #expect(launch.output.contains("parameters") && launch.errorLines.count == 1)
        let line = try #require(launch.errorLines.first)
        let form =
            /error: memory: expected at most \d+ MiB \(.+\), found \d+ MiB needed by 1 rank.*/
        #expect(line.wholeMatch(of: form) != nil, "\(line)")
    }

    @Test(
        arguments: [
            (nil, []), (2, ["memory.recompute=block"]),
            (nil, ["memory.recompute=attention", "precision.storage=float16"]),
        ] as [(Int?, [String])])
    func aRunThatDoesNotFitEndsBeforeItsFirstStep(ranks: Int?, settings: [String]) throws {
        let run = try RunFolder()
        let launch = try run.train(ranks: ranks, settings: huge + settings)
        #expect(launch.exitCode == 9, "\(launch.summary)")
        let lines = launch.errorLines.filter { $0.hasPrefix("error:") }
        #expect(lines.count == 1 && !launch.timedOut, "\(launch.summary)")
        #expect(lines.first?.contains("memory: expected at most") == true, "\(lines)")
        #expect(run.metrics.isEmpty)
    }

    /// No configuration, however large, overflows the arithmetic.
    @Test func theLargestShapesAreRefusedToo() throws {
        var configuration = try RunConfiguration.parse(yaml: completeConfiguration)
        configuration.model.gpt.width = 1 << 20
        configuration.model.gpt.contextLength = 1 << 24
        configuration.model.gpt.layers = 10_000
        configuration.model.gpt.inner = 1 << 24
        configuration.batch.microBatch = 1 << 30
        configuration.batch.sequences = 1 << 30
        let plan = Plan(configuration, vocabulary: 1 << 30, ranks: 1, threads: 1024)
        #expect(throws: RunError.self) { try plan.requireMemory(ranksHere: 1 << 20) }
    }

    @Test func ranksThatDoNotDivideTheBatchAreRefused() throws {
        let launch = try murmur(
            ["plan", RunFolder.configuration, "--ranks", "3", "--set", "model.vocabulary=50"])
        #expect(launch.exitCode == 2 && launch.errorLines.count == 1, "\(launch.summary)")
    }
}
