import ArgumentParser
import Training

struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Shows what a run is fed.",
        subcommands: [InspectDataCommand.self])
}

struct InspectDataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Prints sources, epochs, padding and decoded samples of a run's data.")

    @OptionGroup var arguments: ConfigurationArguments

    @Option(help: ArgumentHelp("Samples to show.", valueName: "n"), transform: wholeNumber)
    var samples = 3

    @Option(
        help: ArgumentHelp("The first of them, counted over the whole run.", valueName: "n"),
        transform: wholeNumber)
    var first = 0

    func validate() throws {
        if !(0...10_000).contains(samples) {
            throw ValidationError(
                "--samples: expected a number from 0 to 10000, found \(samples)")
        }
        if !(0...(1 << 60)).contains(first) {
            throw ValidationError("--first: expected a number from 0 to 2^60, found \(first)")
        }
    }

    func run() throws {
        guard Launch.isFirst else { return }
        let configuration = try arguments.load(readsData: true)
        for line in try configuration.inspectData(first: first, samples: samples) { print(line) }
    }
}
