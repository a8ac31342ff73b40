import ArgumentParser
import Datasets
import Foundation
import Preparation
import Training

struct LanguageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "language", abstract: "Tells in which language texts are.",
        subcommands: [TrainLanguageCommand.self, IdentifyLanguageCommand.self])
}

struct TrainLanguageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Makes a model of languages from files whose languages are known.",
        discussion: """
            Files are plain texts or gettext catalogues, packed or not: \
            de=/usr/share/locale/de/LC_MESSAGES/*.mo 'de=/usr/share/man/de/man1/*.gz'.
            """)

    @Option(help: ArgumentHelp("The file to make.", valueName: "file"), transform: path)
    var output: String

    @Argument(
        help: ArgumentHelp(
            "A language and its files; may be repeated.", valueName: "language=files"))
    var languages: [String]

    func run() throws {
        guard Launch.isFirst else { return }
        var files: [(language: String, patterns: [String])] = []
        for text in languages {
            let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2 else {
                throw RunError(
                    .usage, "language train: expected LANGUAGE=FILES, found \"\(text)\"")
            }
            files.append((parts[0], [try path(parts[1])]))
        }
        do throws(DatasetError) {
            let model = try LanguageModel.train(files: files)
            try model.save(to: output)
            print("languages   \(model.languages.joined(separator: " "))")
        } catch {
            throw RunError(error)
        }
    }
}

struct IdentifyLanguageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "identify",
        abstract: "Prints language and confidence of each line of standard input.")

    @Option(help: ArgumentHelp("A model of `language train`.", valueName: "file"), transform: path)
    var model: String

    func run() throws {
        guard Launch.isFirst else { return }
        let found: LanguageModel
        do throws(DatasetError) {
            found = try LanguageModel(path: model)
        } catch {
            throw RunError(error)
        }
        while let line = readLine() {
            let guess = found.identify(Array(line.utf8))
            print(guess.map { "\($0.language) \(Console.number("%.3f", $0.confidence))" } ?? "- 0")
        }
    }
}
