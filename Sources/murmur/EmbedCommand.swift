import ArgumentParser
import Foundation
import Training

struct EmbedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "embed",
        abstract: "Prints vectors that stand for texts, from a checkpoint's encoder.",
        discussion: "JSON Lines: text, and embedding, of the model's width.")

    @Option(
        help: ArgumentHelp("A checkpoint, or a run: its newest one.", valueName: "dir"),
        transform: path)
    var checkpoint: String

    @Option(
        help: ArgumentHelp(
            "A file of texts, one a line, or JSON Lines with a key text; - is standard input.",
            valueName: "file"),
        transform: path)
    var texts: String

    @Option(
        help: ArgumentHelp(
            "What a vector is: the mean over the text's tokens, or that of the first. (default: mean)",
            valueName: "mean|first"),
        transform: { name in
            guard let pooling = Pooling(rawValue: name) else {
                throw ValidationError("expected mean or first, found \(name)")
            }
            return pooling
        })
    var pooling = Pooling.mean

    @Flag(help: "Vectors of length 1, whose products are cosines.")
    var normalize = false

    func run() throws {
        guard Launch.isFirst else { return }
        let given = try TextFile(texts, option: "--texts", key: "text").texts
        let trained = try TrainedModel(path: checkpoint)
        Report.warn(trained.passedOver.map { "passed over: \($0)" })
        let vectors = try trained.embed(given, pooling: pooling, isNormalised: normalize)
        for (text, vector) in zip(given, vectors) {
            try Output.write(line: Line(text: text, embedding: vector))
        }
    }

    private struct Line: Encodable {
        let text: String
        let embedding: [Float]
    }
}
