import ArgumentParser
import Foundation
import Training

struct ScoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "score",
        abstract:
            "Compares texts with references: BLEU and chrF as sacrebleu, ROUGE as rouge-score.",
        discussion: "Each metric on a line, with its signature.")

    @Argument(
        help: ArgumentHelp("A file of texts, one a line; - is standard input.", valueName: "texts"),
        transform: path)
    var texts: String

    @Argument(
        help: ArgumentHelp(
            "Files of references, one a line, each as long as the texts.", valueName: "references"),
        transform: path)
    var references: [String]

    @Option(
        help: ArgumentHelp(
            "Of bleu, chrf, chrf++, rouge1, rouge2 and rougeL, by commas. (default: bleu,chrf)",
            valueName: "metrics"),
        transform: metricNames)
    var metrics: [TextMetric] = [.bleu, .chrF]

    func run() throws {
        guard Launch.isFirst else { return }
        let given = try TextFile(texts, option: "texts", key: "text", isPlain: true).texts
        var columns: [[String]] = []
        for name in references {
            let lines = try TextFile(name, option: "references", key: "text", isPlain: true)
                .texts
            guard lines.count == given.count else {
                throw RunError(
                    .usage,
                    "references: \(name): expected \(given.count) lines as in \(texts), found "
                        + "\(lines.count)")
            }
            columns.append(lines)
        }
        let rows = given.indices.map { row in columns.map { $0[row] } }
        for metric in metrics { print(metric.score(given, references: rows).line) }
    }
}

/// Names by commas.
func metricNames(_ text: String) throws -> [TextMetric] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map { name in
        guard let metric = TextMetric(rawValue: String(name)) else {
            let known = TextMetric.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("expected some of \(known) by commas, found \(name)")
        }
        return metric
    }
}
