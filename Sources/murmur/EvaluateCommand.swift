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

    @Option(
        help: ArgumentHelp(
            "Of a model of pairs: writes targets for the split's sources by a search of 4 beams, and compares them with its targets: bleu, chrf, chrf++, rouge1, rouge2, rougeL, by commas.",
            valueName: "metrics"),
        transform: metricNames)
    var metrics: [TextMetric] = []

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("With --metrics: hypotheses side by side. (default: 4)", valueName: "n"),
        transform: wholeNumber)
    var beams = 4

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "With --metrics: not the whole split, but so many pairs from its start.",
            valueName: "n"),
        transform: wholeNumber)
    var pairs: Int?

    @OptionGroup var overrides: OverrideArguments

    func validate() throws {
        if let tokens, tokens < 1 {
            throw ValidationError("--tokens: expected a number from 1, found \(tokens)")
        }
        if beams < 1 { throw ValidationError("--beams: expected a number from 1, found \(beams)") }
        if let pairs, pairs < 1 {
            throw ValidationError("--pairs: expected a number from 1, found \(pairs)")
        }
    }

    func run() throws {
        let timeout = RunConfiguration.Run(directory: "", steps: 1).communicationTimeout
        let options = [
            SharedValue("command", "evaluate"), SharedValue("--checkpoint", checkpoint),
            SharedValue("--tokens", tokens.map(String.init) ?? ""),
            SharedValue(
                "--metrics",
                "\(metrics.map(\.rawValue)) \(beams) \(pairs.map(String.init) ?? "")"),
            SharedValue("--set", overrides.assignments.joined(separator: ", ")),
        ]
        try withWorld(timeout: timeout, options: options) { world throws(RunError) in
            let trained = try TrainedModel(
                path: checkpoint, overrides: overrides.assignments, world: world)
            Report.warn(trained.passedOver.map { "passed over: \($0)" })
            let result = try trained.evaluate(world: world, positions: tokens)
            var search = TranslationOptions()
            search.beams = beams
            let scores =
                metrics.isEmpty
                ? [] : try trained.score(metrics, limit: pairs, search, world: world)
            guard world.isFirst else { return }
            let target = trained.targetName
            let article = "aeiou".contains(target.prefix(1)) ? "an" : "a"
            let figures =
                ["validation loss \(Console.number("%.6f", result.loss)) nats \(article) \(target)"]
                + result.metrics.map { "\($0.name) \(Console.number("%.6g", $0.value))" }
            print(
                "step \(trained.step)  \(figures.joined(separator: "  "))  "
                    + "over \(Console.number("%.0f", result.targets)) \(target)s")
            for score in scores { print(score.line) }
        }
    }
}
