import ArgumentParser
import Foundation
import Training

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Prints the loss of a checkpoint over the validation split.",
        discussion: "The same figure on any number of ranks. --set data.… names other data.")

    @Option(
        help: ArgumentHelp("A checkpoint, or a run: its newest one.", valueName: "dir"),
        transform: path)
    var checkpoint: String

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Not the whole split, but micro-batches from its start of so many tokens at least.",
            valueName: "n"),
        transform: wholeNumber)
    var tokens: Int?

    @OptionGroup var overrides: OverrideArguments

    func validate() throws {
        if let tokens, tokens < 1 {
            throw ValidationError("--tokens: expected a number from 1, found \(tokens)")
        }
    }

    func run() throws {
        let timeout = RunConfiguration.Run(directory: "", steps: 1).communicationTimeout
        let options = [
            SharedValue("command", "evaluate"), SharedValue("--checkpoint", checkpoint),
            SharedValue("--tokens", tokens.map(String.init) ?? ""),
            SharedValue("--set", overrides.assignments.joined(separator: ", ")),
        ]
        try withWorld(timeout: timeout, options: options) { world throws(RunError) in
            let trained = try TrainedModel(
                path: checkpoint, overrides: overrides.assignments, world: world)
            Report.warn(trained.passedOver.map { "passed over: \($0)" })
            let result = try trained.evaluate(world: world, positions: tokens)
            guard world.isFirst else { return }
            let target = trained.targetName
            let article = "aeiou".contains(target.prefix(1)) ? "an" : "a"
            let figures =
                ["validation loss \(Console.number("%.6f", result.loss)) nats \(article) \(target)"]
                + result.metrics.map { "\($0.name) \(Console.number("%.6g", $0.value))" }
            print(
                "step \(trained.step)  \(figures.joined(separator: "  "))  "
                    + "over \(Console.number("%.0f", result.targets)) \(target)s")
        }
    }
}
