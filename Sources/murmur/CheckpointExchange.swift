// `murmur checkpoint export` and `import`: checkpoints and Hugging Face's folders.

import ArgumentParser
import Training

struct CheckpointExport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Writes the weights for Hugging Face's transformers.",
        discussion: """
            Makes the folder OUT with model.safetensors (in several files and an index where it is \
            large), config.json and tokenizer files: GPT2LMHeadModel.from_pretrained(OUT) and \
            AutoTokenizer.from_pretrained(OUT) load it. An existing folder is refused.
            """)

    @Argument(
        help: ArgumentHelp("A checkpoint, or a run: its newest one.", valueName: "dir"),
        transform: path)
    var directory: String

    @Argument(help: ArgumentHelp("The folder to make.", valueName: "out"), transform: path)
    var output: String

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of weights a file has at most. (default: 5000000000)", valueName: "bytes"),
        transform: wholeNumber)
    var maxShardSize = 5_000_000_000

    func validate() throws {
        if maxShardSize < 1 {
            throw ValidationError(
                "--max-shard-size: expected a number from 1, found \(maxShardSize)")
        }
    }

    func run() throws {
        guard Launch.isFirst else { return }
        let export = try exportCheckpoint(directory, to: output, shardLimit: maxShardSize)
        Report.table(export.notes.map { "note: \($0)" })
        for name in export.files { print("\(output)/\(name)") }
    }
}

struct CheckpointImport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Makes a run at step 0 from a Hugging Face GPT-2 folder.",
        discussion: """
            Reads config.json and model.safetensors (or its index). With --config the run is ready for \
            `murmur train FILE --resume`: the model must agree, and the data are opened. Without it, a \
            configuration is made from config.json.
            """)

    @Argument(
        help: ArgumentHelp("A folder with config.json and weights.", valueName: "folder"),
        transform: path)
    var folder: String

    @Argument(
        help: ArgumentHelp("The run directory to make; it holds no run.", valueName: "run"),
        transform: path)
    var directory: String

    @Option(
        name: .customLong("config"),
        help: ArgumentHelp("The configuration of the training to come.", valueName: "file"),
        transform: path)
    var file: String?

    @OptionGroup var overrides: OverrideArguments

    func validate() throws {
        if file == nil, !overrides.assignments.isEmpty {
            throw ValidationError("--set: expected --config with it, found none")
        }
    }

    func run() throws {
        guard Launch.isFirst else { return }
        let imported = try importCheckpoint(folder, into: directory, configuration: load())
        Report.table(imported.notes.map { "note: \($0)" })
        print("\(imported.path): \(imported.parameterCount) parameters")
    }

    private func load() throws(RunError) -> RunConfiguration? {
        guard let file else { return nil }
        return try overrides.load(file)
    }
}
