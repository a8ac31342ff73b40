import ArgumentParser
import Training

/// The mean of several checkpoints' weights.
struct CheckpointAverage: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "average",
        abstract: "Makes a run of the mean of several checkpoints' weights.",
        discussion: """
            Of a run the newest --last checkpoints, or those that are named. Its optimizer starts anew. \
            checkpoint.keep says how many a run leaves.
            """)

    @Argument(
        help: ArgumentHelp("A run, or several checkpoints.", valueName: "dir"), transform: path)
    var checkpoints: [String]

    @Option(
        name: [.short, .long],
        help: ArgumentHelp("The run to make.", valueName: "dir"), transform: path)
    var output: String

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "So many of a run's checkpoints, the newest. (default: all)", valueName: "n"),
        transform: wholeNumber)
    var last: Int?

    func validate() throws {
        if let last, last < 2 {
            throw ValidationError("--last: expected a number from 2, found \(last)")
        }
        if last != nil, checkpoints.count > 1 {
            throw ValidationError(
                "--last: expected one run, found \(checkpoints.count) checkpoints")
        }
    }

    func run() throws {
        guard Launch.isFirst else { return }
        let made = try averageCheckpoints(checkpoints, newest: last, into: output)
        Report.table(made.sources.map { "averaged \($0)" })
        print(made.path)
    }
}
