import ArgumentParser
import BeamSearch
import Foundation
import Training

struct TranslateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "translate",
        abstract: "Makes one line of another with a checkpoint's encoder–decoder.",
        discussion:
            "Lines in, lines out, in their order. Under mpirun the ranks share the lines, each with the whole model."
    )

    @Option(
        help: ArgumentHelp("A checkpoint, or a run: its newest one.", valueName: "dir"),
        transform: path)
    var checkpoint: String

    @Option(
        help: ArgumentHelp(
            "A file of sources, one a line, or a .jsonl with a key source; - is standard input. (default: -)",
            valueName: "file"),
        transform: path)
    var sources = "-"

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Hypotheses that are followed side by side; 1 always takes the most probable token. (default: 4)",
            valueName: "n"),
        transform: wholeNumber)
    var beams = 4

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Targets of each source, the best first. (default: 1)", valueName: "n"),
        transform: wholeNumber)
    var nbest = 1

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Scores are log-probabilities over length to this power; above 0 favours long targets. (default: 1)",
            valueName: "a"),
        transform: number)
    var lengthPenalty = 1.0

    @Flag(help: "The length penalty of Wu et al. 2016, ((5 + length) / 6)^a, instead.")
    var wu = false

    @Option(
        help: ArgumentHelp(
            "When a search ends: with as many finished targets as beams (true), when the best going on is no better (false), or when none can become better (never). (default: false)",
            valueName: "true|false|never"))
    var earlyStopping = "false"

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Tokens of a target, at least. (default: 0)", valueName: "n"),
        transform: wholeNumber)
    var minLength = 0

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Tokens of a target, at most, its end among them. (default: twice the source's and 10)",
            valueName: "n"),
        transform: wholeNumber)
    var maxLength: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "No so many tokens come twice in a target; 0 lets them. (default: 0)", valueName: "n"),
        transform: wholeNumber)
    var noRepeatNgram = 0

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Makes tokens that the target has already less probable. (default: 1)", valueName: "r"),
        transform: number)
    var repetitionPenalty = 1.0

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Groups of beams of which each avoids what those before it wrote. (default: 1)",
            valueName: "n"),
        transform: wholeNumber)
    var groups = 1

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "What a token of an earlier group costs, in nats. (default: 0)", valueName: "c"),
        transform: number)
    var diversityPenalty = 0.0

    @Option(help: ArgumentHelp("What every target begins with.", valueName: "text"))
    var prefix = ""

    @Flag(help: "JSON Lines: source, rank, text, score, log_probability and tokens.")
    var json = false

    func validate() throws {
        if EarlyStopping(rawValue: earlyStopping) == nil {
            throw ValidationError(
                "--early-stopping: expected true, false or never, found \(earlyStopping)")
        }
        for (name, value, least) in [
            ("beams", beams, 1), ("nbest", nbest, 1), ("groups", groups, 1),
            ("min-length", minLength, 0), ("max-length", maxLength ?? 1, 1),
            ("no-repeat-ngram", noRepeatNgram, 0),
        ] where value < least {
            throw ValidationError("--\(name): expected a number from \(least), found \(value)")
        }
        if nbest > beams {
            throw ValidationError("--nbest: expected at most --beams (\(beams)), found \(nbest)")
        }
        if !beams.isMultiple(of: groups) {
            throw ValidationError(
                "--groups: expected a divisor of \(beams) (--beams), found \(groups)")
        }
    }

    func run() throws {
        guard let ranks = Launch.size, ranks > 1 else {
            if Launch.isFirst { try translate(given(), world: nil) }
            return
        }
        let timeout = RunConfiguration.Run(directory: "", steps: 1).communicationTimeout
        let options = [
            SharedValue("command", "translate"), SharedValue("--checkpoint", checkpoint),
            SharedValue("options", "\(self.options)"),
        ]
        try withWorld(timeout: timeout, options: options) { world throws(RunError) in
            try translate(world.sharing { () throws(RunError) in try given() }, world: world)
        }
    }

    private func given() throws(RunError) -> [String] {
        try TextFile(sources, option: "--sources", key: "source", isPlain: true).texts
    }

    private var options: TranslationOptions {
        var options = TranslationOptions()
        (options.beams, options.results) = (beams, nbest)
        (options.lengthPenalty, options.isWu) = (lengthPenalty, wu)
        options.earlyStopping = EarlyStopping(rawValue: earlyStopping) ?? .heuristic
        (options.minimumLength, options.maximumLength) = (minLength, maxLength)
        (options.noRepeatNgram, options.repetitionPenalty) = (noRepeatNgram, repetitionPenalty)
        (options.groups, options.diversityPenalty) = (groups, diversityPenalty)
        options.prefix = prefix
        return options
    }

    /// Collective over `world`; the first rank writes.
    private func translate(_ lines: [String], world: World?) throws(RunError) {
        let trained = try TrainedModel(path: checkpoint, world: world)
        Report.warn(trained.passedOver.map { "passed over: \($0)" })
        let found = try trained.translate(lines, options, world: world)
        guard world?.isFirst ?? true else { return }
        let cut = found.count { $0.first?.isCut == true }
        if cut > 0 { Report.warn(["\(cut) sources are longer than the model takes, and were cut"]) }
        for translations in found {
            for translation in translations {
                if json {
                    try Output.write(line: translation)
                } else {
                    try Output.write(translation.text.replacing("\n", with: " ") + "\n")
                }
            }
            if translations.isEmpty, !json { try Output.write("\n") }
        }
    }
}
