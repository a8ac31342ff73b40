import ArgumentParser
import Foundation
import Models
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
    }

    func run() throws {
        guard Launch.isFirst else { return }
        let sampling = Sampling(temperature: temperature, topK: topK, topP: topP, seed: seed)
        let trained = try TrainedModel(path: checkpoint)
        Report.warn(trained.passedOver.map { "passed over: \($0)" })
        // Nothing is printed before checkpoint and prompt are known to be good.
        try trained.requireText(prompt)
        try Self.write(prompt)
        try trained.generate(prompt: prompt, tokens: tokens, sampling: sampling) {
            text throws(RunError) in try Self.write(text)
        }
        try Self.write("\n")
    }

    private static func write(_ text: String) throws(RunError) {
        do {
            try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
        } catch {
            throw RunError(.inputOutput, "standard output: expected to write, found \(error)")
        }
    }
}
