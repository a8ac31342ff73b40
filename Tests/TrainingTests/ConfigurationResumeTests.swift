import Configuration
import Testing
import Training

@Suite struct ConfigurationResumeTests {
    /// For every key another value that is valid by itself.
    private static let changes: [String: String] = [
        "run.directory": "elsewhere", "run.seed": "8", "run.steps": "2001", "run.threads": "1",
        "run.communication_timeout": "11", "run.trace_steps": "[]", "model.layers": "5",
        "model.heads": "2",
        "model.width": "64", "model.context_length": "32", "model.dropout": "0",
        "model.vocabulary": "66", "model.activation": "gelu_tanh", "model.norm_position": "post",
        "model.feed_forward": "512",
        "data.text": "[c.txt]", "data.tokenizer": "byte", "data.validation_fraction": "0.3",
        "data.cache": "here", "data.packing": "documents", "batch.sequences": "24",
        "batch.micro_batch": "6",
        "numerics.slices": "4", "numerics.groups": "4", "objective.label_smoothing": "0",
        "optimizer.learning_rate": "0.002",
        "optimizer.beta1": "0.9", "optimizer.beta2": "0.95", "optimizer.epsilon": "1e-8",
        "optimizer.weight_decay": "0", "optimizer.clip_norm": "1", "schedule.warmup_steps": "10",
        "schedule.decay": "linear", "schedule.decay_steps": "1800", "schedule.final_ratio": "0",
        "precision.loss_scale": "none", "precision.static_scale": "1024",
        "parallelism.tensor": "2", "parallelism.sequence": "false",
        "parallelism.bucket_bytes": "2048", "parallelism.reduce_dtype": "float32",
        "memory.recompute": "block",
        "evaluation.every": "51", "evaluation.micro_batch": "5", "checkpoint.every": "61",
        "checkpoint.keep": "6", "checkpoint.copy": "always",
    ]
    /// These have one value in this version, or none beside `data.text` or beside AdamW.
    private static let fixed: Set = [
        "model.family", "optimizer.name", "optimizer.momentum", "optimizer.nesterov",
        "precision.storage", "data.train", "data.validation", "data.sources", "data.weights",
        "data.curriculum",
    ]

    @Test func everyKeyIsTried() {
        #expect(
            Set(Self.changes.keys).union(Self.fixed)
                == Set(ConfigurationKey.ofGPT.map(\.path)))
    }

    @Test(arguments: ConfigurationKey.ofGPT.filter { !fixed.contains($0.path) }.map(\.path))
    func changesFollowTheRuleOfTheirKey(path: String) throws {
        let key = try #require(ConfigurationKey.ofGPT.first { $0.path == path })
        let saved = try RunConfiguration.parse(yaml: completeConfiguration)
        let value = try #require(Self.changes[path])
        let given = try RunConfiguration.parse(
            yaml: completeConfiguration, overrides: ["\(path)=\(value)"])
        let differences = given.differences(from: saved)
        #expect(differences.map(\.key) == [path])
        #expect(differences.map(\.rule) == [key.rule])
        switch key.rule {
        case .free:
            #expect(try given.checkResume(from: saved, overrides: []) == differences)
        case .override:
            #expect(throws: ConfigurationError.self) {
                try given.checkResume(from: saved, overrides: [])
            }
            #expect(try given.checkResume(from: saved, overrides: [path]) == differences)
            let section = String(path.prefix { $0 != "." })
            #expect(try given.checkResume(from: saved, overrides: [section]) == differences)
        case .never:
            #expect(throws: ConfigurationError.self) {
                try given.checkResume(from: saved, overrides: [path])
            }
        }
    }

    @Test func rulesAreThoseOfTheDesign() {
        let rules: [String: ResumeRule] = [
            "run": .free, "checkpoint": .free, "evaluation": .free, "parallelism": .free,
            "precision": .free, "memory": .free, "data": .override, "batch": .override,
            "schedule": .override,
            "objective": .override, "optimizer": .override, "numerics": .override, "model": .never,
        ]
        let exceptions: [String: ResumeRule] = ["data.tokenizer": .never, "data.cache": .free]
        for key in ConfigurationKey.ofGPT {
            let section = String(key.path.prefix { $0 != "." })
            #expect(key.rule == exceptions[key.path] ?? rules[section], "\(key.path)")
        }
    }

    @Test func refusalsNameKeySavedAndGiven() throws {
        let saved = try RunConfiguration.parse(yaml: completeConfiguration)
        let given = try RunConfiguration.parse(
            yaml: completeConfiguration,
            overrides: ["model.layers=5", "optimizer.beta2=0.9", "run.threads=1"])
        do {
            _ = try given.checkResume(from: saved, overrides: ["optimizer.bta2"])
            Issue.record("a resume with another model was let through")
        } catch {
            #expect(
                error.problems.map { "\($0.key): \($0.message)" } == [
                    "--override: expected a known key, found optimizer.bta2; "
                        + "the nearest is optimizer.beta2",
                    "model.layers: expected 4 as the checkpoint has it, found 5; "
                        + "a run keeps its model and its tokens; start a new run directory",
                    "optimizer.beta2: expected 0.99 as the checkpoint has it, found 0.9; "
                        + "add --override optimizer.beta2 to change it on purpose",
                ])
        }
    }

    /// Keys that `auto` may be said of.
    private static let automatic: Set = [
        "run.threads", "model.vocabulary", "model.feed_forward", "numerics.groups",
        "optimizer.beta2",
        "schedule.decay_steps", "precision.loss_scale", "evaluation.micro_batch",
        "checkpoint.copy",
    ]

    @Test func theAutomaticKeysAreKnown() {
        let accepted = ConfigurationKey.ofGPT.map(\.path).filter { path in
            (try? RunConfiguration.parse(
                yaml: minimalConfiguration, overrides: ["\(path)=auto"])) != nil
        }
        // Texts take any word.
        #expect(
            Set(accepted).subtracting([
                "run.directory", "data.text", "data.tokenizer", "data.cache", "data.sources",
            ])
                == Self.automatic)
    }

    /// `auto` by name is the default by silence: before a resume and after, whatever else changes with it.
    @Test(
        arguments: automatic.sorted(),
        [
            [], ["run.steps=60", "schedule.decay=cosine"], ["precision.storage=float16"],
            ["batch.sequences=24"],
        ])
    func autoIsTheDefaultOnResume(key: String, changes: [String]) throws {
        func parse(_ overrides: [String]) throws -> RunConfiguration {
            try RunConfiguration.parse(yaml: minimalConfiguration, overrides: overrides)
        }
        let (silent, named) = (try parse([]), try parse(["\(key)=auto"]))
        let (later, laterNamed) = (try parse(changes), try parse(changes + ["\(key)=auto"]))
        #expect(silent == named && later == laterNamed)
        #expect(named.differences(from: silent) == [] && silent.differences(from: named) == [])
        let expected = later.differences(from: silent)
        #expect(laterNamed.differences(from: silent) == expected)
        #expect(laterNamed.differences(from: named) == expected)
        // What a checkpoint keeps is the resolved text.
        let saved = try RunConfiguration.parse(yaml: named.yaml)
        #expect(laterNamed.differences(from: saved) == expected)
    }

    /// A control of the above: another value than the automatic one does differ.
    @Test func aValueUnlikeTheAutomaticOneDiffers() throws {
        let saved = try RunConfiguration.parse(yaml: minimalConfiguration)
        for (key, value) in [
            ("model.feed_forward", "500"), ("numerics.groups", "2"),
            ("precision.loss_scale", "dynamic"), ("evaluation.micro_batch", "5"),
        ] {
            let given = try RunConfiguration.parse(
                yaml: minimalConfiguration, overrides: ["\(key)=\(value)"])
            #expect(given.differences(from: saved).map(\.key) == [key])
        }
    }

    @Test func automaticValuesDifferFromNothing() throws {
        let saved = try RunConfiguration.parse(yaml: completeConfiguration)
        let given = try RunConfiguration.parse(
            yaml: completeConfiguration,
            overrides: ["model.vocabulary=auto", "run.threads=auto"])
        #expect(given.differences(from: saved) == [])
        #expect(saved.differences(from: given) == [])
    }
}
