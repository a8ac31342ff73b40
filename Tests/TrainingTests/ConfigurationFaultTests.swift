import Foundation
import TestSupport
import Testing
import Training

private func problems(
    _ yaml: String, _ overrides: [String] = []
) -> [ConfigurationError.Problem] {
    do {
        _ = try RunConfiguration.parse(yaml: yaml, overrides: overrides)
        return []
    } catch { return error.problems }
}

/// Values of each key that are of its type and not allowed, or of a type that looks like it.
private let outOfBounds: [String: [String]] = [
    "run.directory": ["\"\"", "~"],
    "run.seed": ["-1", "1.5", "99999999999999999999", "\"7\""],
    "run.steps": ["0", "-5", "1e3", "1e300", "9223372036854775808", "soon"],
    "run.threads": ["0", "-1", "1025", "2.0", "all"],
    "run.communication_timeout": ["0", "-1", "1e300", ".inf", ".nan", "1 s"],
    "run.trace_steps": ["3", "[0]", "[1.5]", "[-1, 2]", "[[1]]", "~", "auto"],
    "model.family": ["alpaca", "\"\"", "3"],
    "model.layers": ["0", "-1", "10001", "0x4", "4_", "four"],
    "model.heads": ["0", "-4", "1e300", "true"],
    "model.width": ["0", "-128", "1048577", "128.0"],
    "model.context_length": ["0", "-64", "1e300"],
    "model.dropout": ["1", "0.99999999", "-0.1", "1e300", ".nan", "nan", "inf", "0x1p-1"],
    "model.vocabulary": ["0", "-65", "1e300"],
    "model.activation": ["sigmoid", "GELU_TANH"], "model.norm_position": ["middle", "PRE"],
    "model.feed_forward": ["0", "-1", "1e300"],
    "data.text": ["[1, [2]]", "[\"\"]", "~"],
    "data.tokenizer": ["~", "[byte]"],
    "data.validation_fraction": ["0", "1", "-0.5", "1e300", "10%"],
    "data.train": ["[~]", "[{a: b}]"],
    "data.validation": ["[~]", "\"\""],
    "data.cache": ["~", "\"\""],
    "data.sources": ["[~]", "\"\""], "data.weights": ["1", "[-1]", "[0]", "[~]"],
    "data.curriculum": ["1", "[1]", "[\"0: 1\"]", "[\"5 1\"]"],
    "data.packing": ["~", "document", "[windows]"],
    "batch.sequences": ["0", "-12", "1e300", "12.5"],
    "batch.micro_batch": ["0", "-3", "1e300"],
    "numerics.slices": ["0", "3", "-4", "512"],
    "numerics.groups": ["0", "3", "-2", "2097152"],
    "objective.label_smoothing": ["1", "-0.1", "1e300", ".nan", "10%", "0.99999999", "1e-50"],
    "optimizer.name": ["adam", "~"],
    "optimizer.learning_rate": ["0", "-0.001", "1e300", ".inf", "1e", "\"0.1\"", "1e-50"],
    "optimizer.beta1": ["1", "-0.1", "1e300", "0.99999998"],
    "optimizer.beta2": ["1", "1.01", "-1", "0.999999999"],
    "optimizer.epsilon": ["0", "-1e-8", "1e300", "1e-60", "1e-40"],
    "optimizer.momentum": ["1", "-0.1", "1e300", "0.99999998"],
    "optimizer.nesterov": ["1", "yes", "~"],
    "optimizer.weight_decay": ["-0.1", "1e300", ".nan", "1e-46"],
    "optimizer.clip_norm": ["-1", "1e300", "1e-50"],
    "schedule.warmup_steps": ["-1", "0.5", "1e300"],
    "schedule.decay": ["polynomial", "1"],
    "schedule.decay_steps": ["0", "-1", "1e300"],
    "schedule.final_ratio": ["-0.1", "1.1", "1e300", "1e-50"],
    "precision.storage": ["half", "float8", "16"],
    "precision.loss_scale": ["fixed", "65536"],
    "precision.static_scale": ["0", "65535", "33554432", "auto"],
    "parallelism.tensor": ["0", "-1", "3", "512", "1e300"],
    "parallelism.sequence": ["1", "yes", "True", "\"true\"", "~"],
    "parallelism.bucket_bytes": ["0", "-1", "1e300", "25 MiB"],
    "parallelism.reduce_dtype": ["bfloat16", "float64", "16"],
    "memory.recompute": ["feed_forward", "true", "1"],
    "evaluation.every": ["-1", "0.5", "1e300"],
    "evaluation.micro_batch": ["0", "-1", "1e300"],
    "checkpoint.every": ["-1", "1e300", "10m"],
    "checkpoint.keep": ["0", "-1", "1e300"],
    "checkpoint.copy": ["true", "sometimes", "1"],
]

@Suite struct ConfigurationFaultTests {
    /// The complete configuration with a key a line, and the number of the line of `key`.
    private static func file(replacing key: String, with line: String) throws -> (String, Int) {
        let isOfSGD = ["optimizer.momentum", "optimizer.nesterov"].contains(key)
        let configuration = try RunConfiguration.parse(
            yaml: isOfSGD ? sgdConfiguration : completeConfiguration)
        var lines = configuration.yaml.split(separator: "\n").map(String.init)
        let (section, name) = (key.prefix { $0 != "." }, key.drop { $0 != "." }.dropFirst())
        let start = try #require(lines.firstIndex(of: "\(section):"))
        let index = try #require(lines[start...].firstIndex { $0.hasPrefix("  \(name): ") })
        lines[index] = "  \(line)"
        return (lines.joined(separator: "\n"), index + 1)
    }

    private static func name(of key: String) -> String {
        String(key.drop { $0 != "." }.dropFirst())
    }

    @Test func everyKeyHasValuesToRefuse() {
        #expect(Set(outOfBounds.keys) == Set(ConfigurationKey.ofGPT.map(\.path)))
    }

    @Test(arguments: ConfigurationKey.ofGPT.map(\.path))
    func wrongTypesAndBoundsAreNamedWithTheirLine(key: String) throws {
        for value in ["{ a: 1 }", "[[1]]"] + (outOfBounds[key] ?? []) {
            let (text, line) = try Self.file(
                replacing: key, with: "\(Self.name(of: key)): \(value)")
            let found = problems(text)
            #expect(found.count == 1, "\(key): \(value): \(found)")
            #expect(found.first?.key == key)
            #expect(found.first?.line == line)
            #expect(found.first?.message.contains(/^expected .+, found .+/) == true)
        }
        for value in ["{ a: 1 }", "[[1]]"] + (outOfBounds[key] ?? []) {
            let found = problems(completeConfiguration, ["\(key)=\(value)"])
            #expect(found.count == 1, "--set \(key)=\(value): \(found)")
            #expect(found.first?.key == key)
            #expect(found.first?.isOverride == true)
        }
    }

    @Test(arguments: ConfigurationKey.ofGPT.map(\.path))
    func unknownNeighboursNameTheNearestKey(key: String) throws {
        let (text, line) = try Self.file(
            replacing: key, with: "\(Self.name(of: key))x: 1")
        let found = problems(text)
        let unknown = try #require(found.first { $0.key == "\(key)x" })
        #expect(unknown.line == line)
        #expect(
            unknown.message
                == "expected a known key, found \(Self.name(of: key))x; the nearest is \(key)")
        let overridden = problems(completeConfiguration, ["\(key)x=1"])
        #expect(overridden.map(\.message) == [unknown.message])
        #expect(overridden.map(\.isOverride) == [true])
    }

    /// A name of another program, a bare name, the beginning of one.
    @Test(arguments: [
        ("optimizer.lr", "lr", "optimizer.learning_rate"), ("lr", "lr", "optimizer.learning_rate"),
        ("learning_rate", "learning_rate", "optimizer.learning_rate"),
        ("block_size", "block_size", "model.context_length"),
        ("model.n_layer", "n_layer", "model.layers"), ("n_layr", "n_layr", "model.layers"),
        ("train.max-iters", "train.max-iters", "run.steps"),
        ("micro", "micro", "batch.micro_batch"), ("steps", "steps", "run.steps"),
    ])
    func whatOtherProgramsCallAKeyIsKnown(key: String, found: String, nearest: String) {
        let message = "expected a known key, found \(found); the nearest is \(nearest)"
        #expect(problems(completeConfiguration, ["\(key)=1"]).map(\.message) == [message])
    }

    @Test func keysWithoutTheirSectionAreNamedWithIt() {
        for (name, nearest) in [
            ("n_layer", "the key model.layers"),
            ("learning_rate", "the key optimizer.learning_rate"),
            ("shedule", "schedule"), ("optim", "the key optimizer.name"), ("modle", "model"),
        ] {
            #expect(
                problems("\(name): 3\n" + completeConfiguration).map(\.message) == [
                    "expected a known section, found \(name); the nearest is \(nearest)"
                ])
        }
    }

    /// Nothing is near that differs in half of its characters.
    @Test(arguments: ["zzz", "bias", "compile", "eval_iters", "model.zzz", "run.x", "a.b"])
    func whatIsNearNothingNamesNone(key: String) {
        let found = problems(completeConfiguration, ["\(key)=1"]).map(\.message)
        #expect(found.count == 1 && found[0].hasPrefix("expected a known key, found "), "\(found)")
        #expect(found.first?.contains("the nearest is") == false, "\(found)")
    }

    /// A name with keys below it is a section's.
    @Test(arguments: [
        ("optim", "optimizer"), ("optimiser", "optimizer"), ("eval", "evaluation"),
        ("dataset", "data"), ("modle", "model"),
    ])
    func aMappingIsTakenForASection(name: String, nearest: String) {
        #expect(
            problems("\(name): { lr: 1 }\n" + completeConfiguration).map(\.message) == [
                "expected a known section, found \(name); the nearest is \(nearest)"
            ])
    }

    /// The first ones are told, the others counted.
    @Test func manyProblemsAreCounted() {
        let few = problems("run:\n" + (0..<10).map { "  k\($0): 1\n" }.joined())
        #expect(few.count == 19, "the control, with the nine required keys")
        let many = problems("run:\n" + (0..<2000).map { "  k\($0): 1\n" }.joined())
        #expect(many.count == 21 && many.last?.message == "and 1989 more problems")
        let large = problems(String(repeating: "#", count: (1 << 20) + 1))
        #expect(large.map(\.message) == ["expected at most 1 MiB of YAML, found more"])
    }

    /// Names from a file do not break lines, and do not fill them.
    @Test func linesAreOneLineEach() throws {
        let mark = String(repeating: "\u{301}", count: 200_000)
        for name in ["a\\nb\\e[2J", "e\(mark)"] {
            for text in [
                "run: { \"\(name)\": 1 }", "\"\(name)\": 1", "run: { steps: \"\(name)\" }",
            ] {
                let found = ConfigurationError(file: "x\ny.yaml", problems: problems(text)).lines
                #expect(!found.isEmpty)
                for line in found {
                    #expect(line.utf8.count < 400, "\(line.utf8.count) bytes")
                    #expect(line.hasPrefix("x\\ny.yaml"), "\(line)")
                    #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 }, "\(line)")
                }
            }
        }
    }

    @Test func anElementOfAListIsNamed() {
        #expect(
            problems(completeConfiguration, ["data.text=[a, 3, ~]", "run.trace_steps=[1, 0]"])
                .map(\.message) == [
                    "expected a list of paths, found a list, of which element 3 is nothing",
                    "expected a list of whole numbers from 1 to 1000000000000, found a list, of which "
                        + "element 2 is 0",
                ])
    }

    @Test func requiredKeysAreAskedFor() {
        let found = problems("run: { seed: 1 }")
        #expect(
            found.map(\.key) == [
                "run.directory", "run.steps", "model.family", "model.layers", "model.heads",
                "model.width", "batch.sequences", "batch.micro_batch",
                "optimizer.learning_rate",
            ])
        #expect(found.map(\.line) == [1, 1] + Array(repeating: nil, count: 7))
        #expect(problems("").count == 9)
    }

    @Test func everyProblemIsReportedAtOnce() {
        let text = """
            run: { directory: runs/x, steps: 0 }
            model: { family: gpt, layers: 4, heads: 3, width: 128, context_length: 64 }
            batch: { sequences: 10, micro_batch: 4, size: 3 }
            optimizer:
              learning_rate: fast
              dropout: 0.1
            shedule: { warmup_steps: 3 }
            """
        let found = problems(text, ["checkpoint.keep=0", "evaluation.evry=3", "nonsense"])
        let lines = ConfigurationError(file: "x.yaml", problems: found).description
        #expect(
            lines == """
                x.yaml:1: run.steps: expected a whole number from 1 to 9999999999, found 0
                x.yaml:2: model.width: expected a multiple of model.heads (3), found 128
                x.yaml:3: batch.size: expected a known key, found size
                x.yaml:3: batch.sequences: expected a multiple of batch.micro_batch (4), found 10
                x.yaml:5: optimizer.learning_rate: expected a number above 0 and at most 100, found fast
                x.yaml:6: optimizer.dropout: expected a known key, found dropout; the nearest is model.dropout
                x.yaml:7: expected a known section, found shedule; the nearest is schedule
                --set: expected key=value, found "nonsense"
                --set: checkpoint.keep: expected a whole number from 1 to 1000000, found 0
                --set: evaluation.evry: expected a known key, found evry; the nearest is evaluation.every
                """)
    }

    /// Each case breaks one condition between keys.
    @Test(arguments: [
        ("model.width", ["model.width=130"]),
        ("batch.sequences", ["batch.micro_batch=5", "numerics.groups=1"]),
        ("numerics.groups", ["numerics.groups=8"]),
        ("run.trace_steps", ["run.trace_steps=[1, 2001]"]),
        ("schedule.warmup_steps", ["schedule.warmup_steps=1901"]),
        ("schedule.final_ratio", ["schedule.decay=exponential", "schedule.final_ratio=0"]),
        ("data.text", ["data.train=[a]", "data.validation=[b]"]),
        ("data.train", ["data.text=[]", "data.train=[a]"]),
        ("parallelism.tensor", ["parallelism.tensor=8"]),
        ("parallelism.tensor", ["parallelism.tensor=4", "numerics.slices=2"]),
        ("parallelism.tensor", ["parallelism.tensor=4", "model.feed_forward=3"]),
        ("parallelism.tensor", ["parallelism.tensor=4", "model.vocabulary=3"]),
    ])
    func conditionsBetweenKeys(key: String, overrides: [String]) {
        #expect(problems(completeConfiguration, overrides).map(\.key) == [key])
    }

    /// Four heads, eight slices.
    @Test(arguments: [
        (["parallelism.tensor=1"], nil), (["parallelism.tensor=4"], nil),
        (["parallelism.tensor=1", "parallelism.sequence=true"], nil),
        (["parallelism.tensor=8"], "expected a divisor of model.heads (4), found 8; use 1, 2, 4"),
        (
            ["parallelism.tensor=4", "model.heads=6", "model.width=126"],
            "expected a divisor of model.heads (6), found 4; use 1, 2"
        ),
        (
            ["parallelism.tensor=4", "numerics.slices=2"],
            "expected a divisor of numerics.slices (2), found 4; use 1, 2"
        ),
        (
            ["parallelism.tensor=16"],
            "expected a divisor of numerics.slices (8) and model.heads (4), found 16; use 1, 2, 4"
        ),
        (
            ["parallelism.tensor=4", "model.feed_forward=3"],
            "expected at most model.feed_forward (3), found 4"
        ),
        (
            ["parallelism.tensor=4", "model.vocabulary=3"],
            "expected at most model.vocabulary (3), found 4"
        ),
    ])
    func tensorDegreesSayWhatFits(overrides: [String], message: String?) {
        let found = problems(completeConfiguration, overrides)
        #expect(found.map(\.message) == [message].compactMap(\.self))
    }

    @Test(arguments: [
        ("duplicate keys", "run: { steps: 3, steps: 4 }", 1, "several of steps"),
        ("duplicate sections", "a: 1\nrun: {}\nrun: {}", 2, "several of run"),
        ("anchor", "run:\n  directory: &here runs", 2, "no anchors"),
        ("alias", "run: { directory: x }\ndata: { text: [*.txt] }", 2, "no aliases"),
        ("merge key", "run:\n  <<: { steps: 3 }", 2, "no merge keys"),
        ("tag", "run: { steps: !!int 3 }", 1, "no tags"),
        ("quoted tag", "run:\n  directory: !!str \"a\"", 2, "no tags"),
        ("block scalar", "run:\n  directory: |\n    x", 2, "found a block scalar"),
        ("two documents", "run: {}\n---\nrun: {}", 2, "another document"),
        ("open bracket", "run: { steps: 3\nmodel: {}", 2, "expected YAML"),
        ("tab", "run:\n\tsteps: 3", 2, "expected YAML"),
        ("a list", "- run", 1, "expected sections"),
        ("a word", "run", 1, "expected sections"),
        ("a section that is a number", "run: 3", 1, "expected a section with its keys, found 3"),
        ("a section that is a list", "run: [3]", 1, "expected a section with its keys"),
        ("deep", String(repeating: "[", count: 100), 1, "at most 32 levels"),
        ("separator", "run: {} # \u{2028} &a", 1, "U+2028"),
    ])
    func structure(what: String, text: String, line: Int, message: String) {
        let found = problems(text)
        #expect(found.contains { $0.line == line && $0.message.contains(message) }, "\(found)")
    }

    @Test(arguments: [
        "a & b.txt", "a*b", "it's", "x#y", "\"*.txt\"", "'*''s &c'", "\"\\\"&\"", "!notatag".quoted,
        "x: y".quoted, "-&", "a!b",
    ])
    func whatOnlyLooksLikeAnAnchorIsText(value: String) throws {
        for text in ["run:\n  directory: \(value) # &c *d !e [", "run: { directory: \(value) }"] {
            let found = problems(text)
            #expect(!found.contains { $0.key.isEmpty || $0.key == "run.directory" }, "\(found)")
        }
    }

    /// Time is bounded by an order of magnitude more than it takes, for busy machines.
    @Test(arguments: hostileFiles.keys.sorted()) func hostileFilesAreRefusedAtOnce(name: String) {
        let text = Self.hostileFiles[name]!
        // Of the processor, for this thread: other programs do not count.
        let start = threadSeconds()
        #expect(!problems(text).isEmpty)
        #expect(threadSeconds() - start < 5)
    }

    private static let hostileFiles = [
        "aliases that multiply": "a: &a [x, x, x, x, x, x, x, x, x]\n"
            + zip("bcdefghi", "abcdefgh").map { name, previous in
                "\(name): &\(name) ["
                    + Array(repeating: "*\(previous)", count: 9)
                    .joined(separator: ", ") + "]\n"
            }.joined() + "? *i\n: 1\n",
        "lists": String(repeating: "[", count: 1 << 20),
        "list items": String(repeating: "- ", count: 1 << 19),
        "maps": String(repeating: "{a: ", count: 1 << 18),
        "quotes": String(repeating: "'", count: 1 << 20),
        "keys": String(repeating: "? ", count: 1 << 19),
        "the same key": String(repeating: "a: {}\n", count: 100),
    ]

    @Test func overridesAreReadAsStrictlyAsTheFile() {
        for value in ["&a 1", "*a", "!!int 3", "[1", "1\n---\n2"] {
            let found = problems(completeConfiguration, ["run.steps=\(value)"])
            #expect(found.map(\.key) == ["run.steps"], "\(value): \(found)")
            #expect(found.map(\.isOverride) == [true])
        }
        #expect(problems(completeConfiguration, ["run={ steps: 3 }"]).map(\.key) == ["run"])
        #expect(problems(completeConfiguration, ["run.steps="]).map(\.key) == ["run.steps"])
        #expect(problems(completeConfiguration, ["=3"]).count == 1)
    }

    @Test func unreadableFilesAreNamed() throws {
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "configuration-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func message(_ name: String, _ bytes: Data?) throws -> String {
            let path = folder.appending(path: name)
            try bytes?.write(to: path)
            do {
                _ = try RunConfiguration.load(file: path.path)
                return "read"
            } catch { return error.description }
        }
        #expect(try message("missing.yaml", nil).contains("No such file"))
        let large = Data(repeating: UInt8(ascii: "#"), count: (1 << 20) + 1)
        #expect(try message("large.yaml", large).contains("at most 1 MiB"))
        #expect(try message("full.yaml", large.dropLast()).contains("run.steps"))
        #expect(
            try message("latin.yaml", Data([0x61, 0xe9])).contains(
                "byte offset 1: expected YAML in UTF-8, found byte 0xe9"))
        let wide = try #require("run: {}".data(using: .utf16))
        #expect(try message("wide.yaml", wide).contains("iconv -f UTF-16 -t UTF-8"))
        let marked = Data("\u{FEFF}\(completeConfiguration)".utf8)
        #expect(try message("marked.yaml", marked) == "read")
        #expect(mkfifo(folder.appending(path: "pipe").path, 0o600) == 0)
        #expect(try message("pipe", nil).contains("expected a regular file, found a named pipe"))
        #expect(try message("good.yaml", Data(completeConfiguration.utf8)) == "read")
        #expect(try message(".", nil).contains("expected a regular file, found a folder"))
    }
}

extension String {
    fileprivate var quoted: String { "\"\(self)\"" }
}
