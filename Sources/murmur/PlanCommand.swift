import ArgumentParser
import Training

struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Says what a run will take: parameters, memory, time.",
        discussion: """
            Arithmetic on the configuration; nothing is allocated, and MPI is not entered. The ranks are \
            taken to share this machine. Exit code 9, with the figures, where they do not fit into its \
            memory.
            """)

    @OptionGroup var arguments: ConfigurationArguments

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Ranks, all on this machine. (default: 1)", valueName: "n"),
        transform: wholeNumber)
    var ranks = 1

    @Flag(help: "Prints one line of JSON.")
    var json = false

    func validate() throws {
        if ranks < 1 { throw ValidationError("--ranks: expected a number from 1, found \(ranks)") }
    }

    func run() throws {
        guard Launch.isFirst else { return }
        let configuration = try arguments.load()
        if let warning = configuration.decayWarning() { Report.warn([warning]) }
        let report = try PlanReport(configuration, ranks: ranks)
        print(json ? try report.json : report.text)
        try report.requireMemory()
    }
}
