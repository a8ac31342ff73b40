import ArgumentParser
import Decoding
import Foundation
import Training

struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Continues a text with a checkpoint's model.")

    @Option(
        help: ArgumentHelp("A checkpoint, or a run: its newest one.", valueName: "dir"),
        transform: path)
    var checkpoint: String

    @Option(help: ArgumentHelp("What to continue; empty starts a new text.", valueName: "text"))
    var prompt = ""

    @Option(
        help: ArgumentHelp(
            "A file of prompts, one a line, or JSON Lines with a key prompt; - is standard input.",
            valueName: "file"),
        transform: path)
    var prompts: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Texts from each prompt. (default: 1)", valueName: "n"),
        transform: wholeNumber)
    var num = 1

    @Flag(help: "JSON Lines: prompt, sample, text, tokens and why it ends.")
    var json = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Tokens to add at most. (default: 200)", valueName: "n"),
        transform: wholeNumber)
    var tokens = 200

    @Option(
        parsing: .unconditional,
        help:
            "Above 1 bolder, below 1 safer; 0 always takes the most probable token. (default: 0.8)",
        transform: number)
    var temperature = 0.8

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Draws from the k most probable tokens.", valueName: "k"),
        transform: wholeNumber)
    var topK: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Draws from the fewest tokens whose probabilities reach p.", valueName: "p"),
        transform: number)
    var topP: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Draws from tokens at least p times as probable as the most probable one.",
            valueName: "p"),
        transform: number)
    var minP: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Makes tokens that the text has already less probable. (default: 1)", valueName: "r"),
        transform: number)
    var repetitionPenalty = 1.0

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Ends a text before this one; may be given several times.", valueName: "text"))
    var stop: [String] = []

    @Option(
        parsing: .unconditional, help: "The same seed gives the same text. (default: 1337)",
        transform: wholeNumber)
    var seed: UInt64 = 1337

    func validate() throws {
        if tokens < 1 {
            throw ValidationError("--tokens: expected a number from 1, found \(tokens)")
        }
        if !(temperature >= 0 && temperature.isFinite) {
            throw ValidationError(
                "--temperature: expected a number of at least 0, found \(temperature)")
        }
        if let topK, topK < 1 {
            throw ValidationError("--top-k: expected a number from 1, found \(topK)")
        }
        if let topP, !(topP > 0 && topP <= 1) {
            throw ValidationError(
                "--top-p: expected a number above 0 and at most 1, found \(topP)")
        }
        if let minP, !(minP > 0 && minP <= 1) {
            throw ValidationError(
                "--min-p: expected a number above 0 and at most 1, found \(minP)")
        }
        if !(repetitionPenalty > 0 && repetitionPenalty.isFinite) {
            throw ValidationError(
                "--repetition-penalty: expected a number above 0, found \(repetitionPenalty)")
        }
        if num < 1 { throw ValidationError("--num: expected a number from 1, found \(num)") }
        if stop.contains("") {
            throw ValidationError("--stop: expected a text, found an empty one")
        }
        if prompts != nil && !prompt.isEmpty {
            throw ValidationError("expected either --prompt or --prompts, found both")
        }
    }

    func run() throws {
        guard let ranks = Launch.size, ranks > 1 else {
            if Launch.isFirst { try generate(given(), world: nil) }
            return
        }
        let timeout = RunConfiguration.Run(directory: "", steps: 1).communicationTimeout
        let options = [
            SharedValue("command", "generate"), SharedValue("--checkpoint", checkpoint),
            SharedValue("options", "\(num) \(tokens) \(sampling) \(stop)"),
        ]
        try withWorld(timeout: timeout, options: options) { world throws(RunError) in
            try generate(world.sharing { () throws(RunError) in try given() }, world: world)
        }
    }

    /// The prompts that were given, in a file or by themselves.
    private func given() throws(RunError) -> [String] {
        guard let prompts else { return [prompt] }
        return try TextFile(prompts, option: "--prompts", key: "prompt").texts
    }

    private var sampling: Sampling {
        Sampling(
            temperature: temperature, topK: topK, topP: topP, minP: minP,
            repetitionPenalty: repetitionPenalty, seed: seed)
    }

    /// Collective over `world`, whose ranks hold the model together; the first one writes.
    private func generate(_ given: [String], world: World?) throws(RunError) {
        let trained = try TrainedModel(path: checkpoint, world: world, isShared: true)
        Report.warn(trained.passedOver.map { "passed over: \($0)" })
        // Nothing is printed before checkpoint and prompts are known to be good.
        try trained.requireTexts(given, world: world)
        let isFirst = world?.isFirst ?? true
        func write(_ text: String) throws(RunError) {
            if isFirst { try Output.write(text) }
        }
        let streams = prompts == nil && num == 1 && !json
        if streams { try write(prompt) }
        let texts = try trained.generate(
            prompts: given, samples: num, tokens: tokens, sampling: sampling, stops: stop
        ) { (_, text) throws(RunError) in
            if streams { try write(text) }
        }
        if streams { return try write("\n") }
        guard isFirst else { return }
        for text in texts {
            if json {
                try Output.write(line: text)
            } else {
                try Output.write("\(text.prompt)\(text.text)\n")
            }
        }
    }
}
