import Foundation
import TestSupport
import Testing

/// A fault in what a person gives, and what they are told of it.
struct BadInput: Sendable, CustomTestStringConvertible {
    let name: String
    let exitCode: Int32
    /// One line of error each: what it must contain, with `@` for the test's folder.
    let lines: [[String]]
    /// It shows after the first step only.
    var isInMidRun = false
    /// Prepares the fault and returns the arguments of `murmur`.
    let arguments: @Sendable (RunFolder) throws -> [String]

    var testDescription: String { name }

    init(
        _ name: String, _ exitCode: Int32, _ lines: [[String]], isInMidRun: Bool = false,
        _ arguments: @escaping @Sendable (RunFolder) throws -> [String]
    ) {
        (self.name, self.exitCode, self.lines) = (name, exitCode, lines)
        (self.isInMidRun, self.arguments) = (isInMidRun, arguments)
    }

    static let all = configurations + texts + shards + directories + checkpoints

    private static func train(_ run: RunFolder, _ settings: [String] = []) -> [String] {
        ["train", RunFolder.configuration] + run.settings(settings)
    }

    // MARK: Configuration

    private static let configurations = [
        BadInput(
            "unknown and ill-typed keys", 2,
            [
                ["@/bad.yaml:8: run.steps: expected", "found many"],
                ["bad.yaml:13: optimizer.beta3: expected a known key, found beta3; the nearest is"],
                ["bad.yaml:14: schedule.warmup_steps: expected", "found true"],
            ]
        ) { run in
            let text = try String(
                contentsOfFile: "\(packageRoot)/\(RunFolder.configuration)", encoding: .utf8
            ).replacing("steps: 50, threads", with: "steps: many, threads")
                .replacing("beta1:", with: "beta3:")
                .replacing("warmup_steps: 5", with: "warmup_steps: true")
            return ["train", try run.folder.write("bad.yaml", text)] + run.settings()
        },
        BadInput(
            "a pipe for a configuration", 2,
            [["@/pipe: expected a regular file, found a named pipe"]]
        ) {
            ["train", try $0.folder.pipe("pipe")] + $0.settings()
        },
        BadInput(
            "a name of several lines", 2,
            [["@/no\\n\\u{1b}[2Jne.yaml: expected", "No such file"]]
        ) { ["train", $0.folder.file("no\n\u{1B}[2Jne.yaml")] + $0.settings() },
        BadInput("no configuration", 2, [["@/none.yaml: expected", "No such file"]]) { run in
            ["train", run.folder.file("none.yaml")] + run.settings()
        },
        BadInput(
            "more tokens than dropout has random numbers for", 2,
            [
                [
                    "model.context_length: expected at most 1048576 tokens with dropout",
                    "found 1048577",
                ]
            ]
        ) { train($0, ["model.context_length=1048577"]) },
        BadInput(
            "a micro-batch that does not divide", 2,
            [["batch.sequences: expected a multiple of batch.micro_batch (5), found 24"]]
        ) { train($0, ["batch.micro_batch=5"]) },
        BadInput(
            "a tensor degree that divides neither slices nor heads", 2,
            [
                [
                    "parallelism.tensor: expected a divisor of numerics.slices (4) and model.heads (4), "
                        + "found 8; use 1, 2, 4"
                ]
            ]
        ) { train($0, ["parallelism.tensor=8"]) },
        BadInput(
            "fewer ranks than a copy of the model takes", 2,
            [
                [
                    "parallelism.tensor: expected a divisor of the number of ranks (",
                    "), found 4; use 4, 8, 16, 32 ranks or change the degree",
                ]
            ]
        ) { train($0, ["parallelism.tensor=4"]) },
        BadInput(
            "a vocabulary below the tokenizer's", 2,
            [["model.vocabulary: expected at least the tokenizer's 45, found 20"]]
        ) { train($0, ["model.vocabulary=20"]) },
    ]

    // MARK: Text and shards

    private static let texts = [
        BadInput("no text", 3, [["@/none.txt: expected this file, found none"]]) { run in
            train(run, ["data.text=[\(run.folder.file("none.txt"))]"])
        },
        BadInput("a text of several lines", 3, [["@/no\\nne.txt: expected this file, found none"]])
        {
            run in train(run, ["data.text=[\"\(run.folder.file("no\\nne.txt"))\"]"])
        },
        BadInput(
            "a text smaller than a step", 3,
            [["training tokens: expected at least one step, 24 samples", "found"]]
        ) { run in
            let text = String(repeating: "the flock turns. ", count: 20)
            return train(run, ["data.text=[\(try run.folder.write("small.txt", text))]"])
        },
        BadInput("an empty text", 3, [["@/empty.txt: expected text, found an empty file"]]) { run in
            train(run, ["data.text=[\(try run.folder.write("empty.txt", ""))]"])
        },
    ]

    private static func damaged(
        _ run: RunFolder, _ damage: (ShardFiles) throws -> Void
    ) throws -> [String] {
        let shards = try ShardFiles(run)
        try damage(shards)
        return train(run, shards.settings)
    }

    private static let shards = [
        BadInput(
            "an empty shard", 3,
            [["@/shards/train-00000.tokens: size: expected at least 128 bytes, found 0"]]
        ) { try damaged($0) { try $0.write([]) } },
        BadInput(
            "a truncated shard", 3,
            [["@/shards/train-00000.tokens: size: expected", "found 5000"]]
        ) { try damaged($0) { try $0.write(Array($0.bytes().prefix(5000))) } },
        BadInput(
            "a corrupt header", 3, [["@/shards/train-00000.tokens: header checksum: expected"]]
        ) { run in
            try damaged(run) { shards in
                var bytes = try shards.bytes()
                bytes[20] ^= 1
                try shards.write(bytes)
            }
        },
        BadInput(
            "no shard", 3, [["@/none-*.tokens: expected"]]
        ) { run in
            let shards = try ShardFiles(run)
            return train(
                run, shards.settings + ["data.train=[\(run.folder.file("none-*.tokens"))]"])
        },
        BadInput(
            "a shard of another vocabulary", 3,
            [["@/shards/train-00000.tokens: tokenizer: expected", "45 tokens", "300 tokens"]]
        ) { run in
            try damaged(run) { try $0.rewrite($0.tokens() + [299], vocabulary: 300) }
        },
        BadInput(
            "a corrupt block", 3,
            [
                [
                    "step ",
                    "@/shards/train-00000.tokens: checksum of block 150 (64 bytes at offset 9728)",
                ]
            ],
            isInMidRun: true
        ) { run in
            try damaged(run) { shards in
                try shards.rewrite(shards.tokens())
                var bytes = try shards.bytes()
                bytes[ShardFiles.headerByteCount + 64 * 150 + 3] ^= 1
                try shards.write(bytes)
            }
        },
        BadInput(
            "a token beyond the vocabulary", 3,
            [
                [
                    "step ",
                    "@/shards/train-00000.tokens: token 777 at offset 905: expected an id below the vocabulary",
                    "of 45, found 200",
                ]
            ],
            isInMidRun: true
        ) { run in
            try damaged(run) { shards in
                var tokens = try shards.tokens()
                tokens[777] = 200
                try shards.rewrite(tokens, vocabulary: 256)
                try shards.forgeVocabulary()
            }
        },
    ]

    // MARK: Folders

    private static let directories = [
        BadInput(
            "a file in place of the run directory", 5,
            [
                [
                    "@/run: expected a folder to write to, found a regular file; move it, or name another"
                ]
            ]
        ) { run in
            try run.folder.write("run", "a file")
            return train(run)
        },
        BadInput(
            "a pipe in place of the run directory", 5,
            [["@/run: expected a folder to write to, found a named pipe; move it, or name another"]]
        ) { run in
            _ = try run.folder.pipe("run")
            return train(run)
        },
        BadInput(
            "a link to nothing in place of the run directory", 5,
            [["@/run: expected a folder to write to, found a link to nothing that leads nowhere"]]
        ) { run in
            try FileManager.default.createSymbolicLink(
                atPath: run.directory, withDestinationPath: "nothing")
            return train(run)
        },
        BadInput(
            "a run directory below a file", 5,
            [["@/file/run: expected a folder to write to, found a regular file at @/file; move it"]]
        ) { run in
            try run.folder.write("file", "a file")
            return train(run, ["run.directory=\(run.folder.file("file/run"))"])
        },
        BadInput(
            "a run directory that nobody can make", 5,
            [["/proc/none: expected a folder to write to, found No such file or directory"]]
        ) { train($0, ["run.directory=/proc/none"]) },
        BadInput(
            "a run directory that holds a run", 2,
            [["@/run: expected no earlier run, found metrics.jsonl; go on with --resume"]]
        ) { run in
            try finished(run)
            return train(run)
        },
    ]

    // MARK: Checkpoints

    /// A run of two steps, with a checkpoint after each.
    private static func finished(_ run: RunFolder) throws {
        let launch = try run.train(settings: ["run.steps=2", "checkpoint.every=1"])
        guard launch.exitCode == 0 else { throw NotFound(description: launch.summary) }
    }

    private static let checkpoints = [
        BadInput(
            "a checkpoint of another model", 4,
            [["model.width: expected 20 as the checkpoint has it, found 24"]]
        ) { run in
            try finished(run)
            return train(run, ["model.width=24"]) + ["--resume"]
        },
        BadInput(
            "a resumed run with other data", 2,
            [["data.validation_fraction: expected 0.1", "found 0.2", "--override"]]
        ) { run in
            try finished(run)
            return train(run, ["data.validation_fraction=0.2"]) + ["--resume"]
        },
        BadInput(
            "a damaged newest checkpoint where no older one will do", 4,
            [["@/run/checkpoints/step-0000000002", "leave out --newest-only to go on from it"]]
        ) { run in
            try finished(run)
            try damage(run.checkpoint(2))
            return train(run) + ["--resume", "--newest-only"]
        },
        BadInput(
            "no checkpoint where no older one will do", 4,
            [["@/run: expected a checkpoint (--newest-only), found none"]]
        ) { train($0) + ["--resume", "--newest-only"] },
        BadInput(
            "no sound checkpoint", 4,
            [["@/run: expected a usable checkpoint, found none among 2"]]
        ) { run in
            try finished(run)
            for step in [1, 2] { try damage(run.checkpoint(step)) }
            return train(run, ["run.steps=5"]) + ["--resume"]
        },
        BadInput("evaluate: nothing there", 4, [["@/none: expected a checkpoint", "found none"]]) {
            ["evaluate", "--checkpoint", $0.folder.file("none")]
        },
        BadInput(
            "evaluate: a file", 4, [["@/file: expected a checkpoint", "found a regular file"]]
        ) {
            ["evaluate", "--checkpoint", try $0.folder.write("file", "a file")]
        },
        BadInput("generate: nothing there", 4, [["@/none: expected a checkpoint", "found none"]]) {
            ["generate", "--checkpoint", $0.folder.file("none")]
        },
        BadInput("generate: a folder", 4, [["@: expected a checkpoint", "found none"]]) {
            ["generate", "--checkpoint", $0.folder.path]
        },
        BadInput("generate: a prompt of unknown characters", 2, [["--prompt: ", "U+2603"]]) { run in
            try finished(run)
            return ["generate", "--checkpoint", run.directory, "--prompt", "the \u{2603}"]
        },
        BadInput("list: a file", 4, [["@/file: expected a checkpoint or", "found a regular file"]])
        {
            ["checkpoint", "list", try $0.folder.write("file", "a file")]
        },
        BadInput(
            "verify: a pipe", 4,
            [["@/pipe: expected a checkpoint or", "found a named pipe; write"]]
        ) { ["checkpoint", "verify", try $0.folder.pipe("pipe")] },
        BadInput(
            "inspect: a link to nothing", 4,
            [
                [
                    "@/link: expected a checkpoint",
                    "found a link to no\\nthing that leads nowhere; mend",
                ]
            ]
        ) { run in
            try FileManager.default.createSymbolicLink(
                atPath: run.folder.file("link"), withDestinationPath: "no\nthing")
            return ["checkpoint", "inspect", run.folder.file("link")]
        },
        BadInput(
            "verify: a pipe for a manifest", 4,
            [["@/manifest.json: expected a regular file, found a named pipe; write"]]
        ) { run in
            _ = try run.folder.pipe("manifest.json")
            return ["checkpoint", "verify", run.folder.path]
        },
        BadInput(
            "verify: a link for a manifest", 4,
            [["@/manifest.json: expected a file, found a link to other.json; mend"]]
        ) { run in
            try run.folder.write("other.json", "{}")
            try FileManager.default.createSymbolicLink(
                atPath: run.folder.file("manifest.json"), withDestinationPath: "other.json")
            return ["checkpoint", "verify", run.folder.path]
        },
        BadInput("digest: a damaged checkpoint", 4, [["@/run/checkpoints/step-0000000001"]]) {
            run in
            try finished(run)
            try damage(run.checkpoint(1))
            return ["checkpoint", "digest", run.checkpoint(1)]
        },
    ]

    /// Flips a bit of the last byte of a checkpoint's tensors.
    static func damage(_ checkpoint: String) throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: checkpoint).sorted()
        let name = try #require(names.first { $0.hasSuffix(".safetensors") })
        let url = URL(fileURLWithPath: "\(checkpoint)/\(name)")
        var data = try Data(contentsOf: url)
        data[data.count - 1] ^= 1
        try data.write(to: url)
    }
}
