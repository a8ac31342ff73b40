import ArgumentParser
import Datasets
import Preparation
import Training

struct PrepareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prepare",
        abstract: "Turns raw files, or the text of a run's configuration, into token shards.",
        discussion: """
            A configuration with the sections `input` and `output` says how files are read, cleaned, \
            freed of duplicates, split and tokenised; the folder that it makes is named in \
            data.sources. Ranks under mpirun share the work, and a run that was killed goes on.

            Of a run's configuration the shards of data.text are made: without --output in the \
            cache, where `murmur train` finds them; with it, name them as data.train and \
            data.validation.
            """)

    @OptionGroup var arguments: ConfigurationArguments

    @Option(
        help: ArgumentHelp("The folder to make of a run's text.", valueName: "dir"),
        transform: path)
    var output: String?

    @Flag(help: "Replaces a prepared folder of other content.")
    var replace = false

    @Option(
        help: ArgumentHelp("Threads of each rank; without it all cores.", valueName: "n"),
        transform: wholeNumber)
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError(
                "--threads: expected a number from 1 to 1024, found \(threads)")
        }
    }

    func run() throws {
        guard try describesPreparation() else { return try prepareText() }
        guard output == nil else {
            throw RunError(
                .usage,
                "--output: expected output.directory in \(arguments.file), or --set output.directory=…, "
                    + "found the option")
        }
        let preparation: PreparationConfiguration
        do {
            preparation = try PreparationConfiguration.load(
                file: arguments.file, overrides: arguments.overrides.assignments)
        } catch {
            throw RunError(error)
        }
        let timeout = RunConfiguration.Run(directory: "", steps: 1).communicationTimeout
        let options = [
            SharedValue("command", "prepare"), SharedValue("configuration", preparation.text),
            SharedValue("--replace", String(replace)),
        ]
        try withWorld(timeout: timeout, options: options) { world throws(RunError) in
            let lines = try preparation.prepare(
                world: world, replaces: replace, threads: threads
            ) { Report.table([$0]) }
            if world.isFirst { for line in lines { print(line) } }
        }
    }

    private func describesPreparation() throws(RunError) -> Bool {
        do throws(ConfigurationError) {
            return try PreparationConfiguration.describes(file: arguments.file)
        } catch {
            throw RunError(error)
        }
    }

    private func prepareText() throws(RunError) {
        guard Launch.isFirst else { return }
        let data = try arguments.load().data
        guard !data.text.isEmpty else {
            throw RunError(
                .usage, "\(arguments.file): data.text: expected text files, found none")
        }
        let dataset = try prepare(data)
        print("train       \(dataset.train.count) tokens")
        for path in dataset.train.paths { print("            \(path)") }
        if let validation = dataset.validation {
            print("validation  \(validation.count) tokens")
            for path in validation.paths { print("            \(path)") }
        }
        print("vocabulary  \(dataset.tokenizer.vocabularySize)")
    }

    private func prepare(
        _ data: RunConfiguration.DataSource
    ) throws(RunError) -> PreparedDataset {
        do throws(DatasetError) {
            guard let output else {
                return try DatasetCache.dataset(
                    text: data.text, tokenizer: data.tokenizer,
                    validationFraction: data.validationFraction, cache: data.cache)
            }
            return try DatasetBuilder.build(
                text: data.text, tokenizer: data.tokenizer,
                validationFraction: data.validationFraction, output: output)
        } catch {
            throw RunError(error)
        }
    }
}
