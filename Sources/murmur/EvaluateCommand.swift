import ArgumentParser
import Foundation
import Training

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Prints the loss of a checkpoint over the whole validation split.",
        discussion: "The same figure on any number of ranks. --set data.… names other data.")

    @Option(
        help: ArgumentHelp("A checkpoint, or a run: its newest one.", valueName: "dir"),
        transform: path)
    var checkpoint: String

    @OptionGroup var overrides: OverrideArguments

    func run() throws {
        let timeout = RunConfiguration.Run(directory: "", steps: 1).communicationTimeout
        let options = [
            SharedValue("command", "evaluate"), SharedValue("--checkpoint", checkpoint),
            SharedValue("--set", overrides.assignments.joined(separator: ", ")),
        ]
        try withWorld(timeout: timeout, options: options) { world throws(RunError) in
            let trained = try TrainedModel(
                path: checkpoint, overrides: overrides.assignments, world: world)
            Report.warn(trained.passedOver.map { "passed over: \($0)" })
            let result = try trained.evaluate(world: world)
            guard world.isFirst else { return }
            let target = trained.targetName
            let figures =
                ["validation loss \(Console.number("%.6f", result.loss)) nats a \(target)"]
                + result.metrics.map { "\($0.name) \(Console.number("%.6g", $0.value))" }
            print(
                "step \(trained.step)  \(figures.joined(separator: "  "))  "
                    + "over \(Console.number("%.0f", result.targets)) \(target)s")
        }
    }
}
