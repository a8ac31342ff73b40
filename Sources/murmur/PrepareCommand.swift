import ArgumentParser
import Datasets
import Training

struct PrepareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prepare",
        abstract: "Turns the text of a configuration into token shards.",
        discussion: """
            Without --output the shards go to the cache, where `murmur train` finds them; with it, \
            name them in the configuration as data.train and data.validation.
            """)

    @OptionGroup var arguments: ConfigurationArguments

    @Option(help: ArgumentHelp("The folder to make.", valueName: "dir"), transform: path)
    var output: String?

    func run() throws {
        guard Launch.isFirst else { return }
        let data = try arguments.load().data
        guard !data.text.isEmpty else {
            throw RunError(.usage, "\(arguments.file): data.text: expected text files, found none")
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
