import ArgumentParser
import Training

struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Trains: alone as one process, under mpirun as one rank each.",
        discussion: """
            Metrics, checkpoints and the resolved configuration go to run.directory. A folder that \
            holds a run is refused without --resume.
            """)

    @OptionGroup var arguments: ConfigurationArguments

    @Flag(
        help: """
            Goes on from the newest verified checkpoint, or starts at step 0 where there is neither a checkpoint \
            nor metrics (see --restart).
            """)
    var resume = false

    @Flag(
        help:
            "With --resume: refuses to go on from an older checkpoint where the newest is unusable."
    )
    var newestOnly = false

    @Flag(
        help:
            "With --resume: where there are metrics but no checkpoint, puts them aside and starts at step 0."
    )
    var restart = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Saves and leaves when so many steps are done.", valueName: "step"),
        transform: wholeNumber)
    var stopAt: Int?

    @Option(
        name: .customLong("override"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "A key that may differ from the checkpoint's. May be repeated.", valueName: "key"))
    var overriddenKeys: [String] = []

    func validate() throws {
        if let stopAt, stopAt < 1 {
            throw ValidationError("--stop-at: expected a step from 1, found \(stopAt)")
        }
        if newestOnly && !resume {
            throw ValidationError("--newest-only: expected --resume with it, found none")
        }
        if restart && !resume {
            throw ValidationError("--restart: expected --resume with it, found none")
        }
        if !overriddenKeys.isEmpty && !resume {
            throw ValidationError("--override: expected --resume with it, found none")
        }
    }

    func run() throws {
        let configuration = try arguments.load(readsData: true)
        let options = TrainOptions(
            resume: resume, newestOnly: newestOnly, restart: restart, stopAt: stopAt,
            overrides: overriddenKeys, launcher: Launch.launcher)
        StopSignal.install()
        try withWorld(
            timeout: configuration.run.communicationTimeout,
            options: [
                SharedValue("command", "train"), SharedValue("--resume", "\(resume)"),
                SharedValue("--newest-only", "\(newestOnly)"),
                SharedValue("--restart", "\(restart)"),
                SharedValue("--stop-at", stopAt.map { "\($0)" } ?? "none"),
                SharedValue("--override", overriddenKeys.joined(separator: ", ")),
            ], configuration: configuration
        ) { world throws(RunError) in
            try train(configuration, options: options, world: world)
        }
    }
}
