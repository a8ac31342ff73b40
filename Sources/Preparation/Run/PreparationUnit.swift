// A unit of a preparation: files that are done at once, and the names of what is kept of their work.

import Datasets
import Files
import Foundation

struct PreparationUnit: Sendable, Equatable {
    struct File: Sendable, Equatable {
        let path: String
        /// The file whose lines are the translations of this one's.
        let target: String?
    }

    let files: [File]
    let byteCount: Int
    /// What names its cleaned texts: everything that decides what they are.
    let cleaningKey: String

    /// The units of a configuration's files, in order; throws where there are none.
    static func all(of configuration: PreparationConfiguration) throws(DatasetError) -> [Self] {
        let files = try InputFiles.files(configuration.input.files).filter {
            !configuration.makes($0.path)
        }
        guard !files.isEmpty else {
            throw DatasetError(
                .missing,
                "input.files: expected files to prepare, found none beside those that preparations made"
            )
        }
        let about = try cleaningDigest(of: configuration)
        guard !configuration.input.targets.isEmpty else {
            return InputFiles.units(of: files).map { unit in
                PreparationUnit(
                    files: unit.files.map { File(path: $0.path, target: nil) },
                    states: unit.files, about: about)
            }
        }
        let targets = try InputFiles.files(configuration.input.targets)
        guard targets.count == files.count else {
            throw DatasetError(
                .mismatch,
                "input.targets: expected \(files.count) files as input.files has, found \(targets.count)"
            )
        }
        return zip(files, targets).map { source, target in
            PreparationUnit(
                files: [File(path: source.path, target: target.path)], states: [source, target],
                about: about)
        }
    }

    private init(files: [File], states: [InputFile], about: String) {
        self.files = files
        byteCount = states.reduce(0) { $0 + $1.byteCount }
        var hash = SHA256()
        hash.update(Array("murmuration cleaned unit 1\n\(about)\n".utf8))
        for state in states {
            hash.update(
                Array(
                    "\(state.byteCount) \(state.modificationNanoseconds) \(state.path.utf8.count) \(state.path)\n"
                        .utf8))
        }
        cleaningKey = String(hash.digest().hexadecimal.prefix(32))
    }

    /// Of all keys that decide what a document becomes, and the files that they name.
    private static func cleaningDigest(
        of configuration: PreparationConfiguration
    ) throws(DatasetError) -> String {
        var about = configuration
        about.input.files = []
        about.input.targets = []
        about.output = .init()
        let signed = configuration.duplicates
        about.duplicates.threshold = signed.near ? signed.threshold : 1
        var texts = [about.text]
        let cleaning = configuration.cleaning
        let named =
            cleaning.blockedWords + cleaning.blockedDomains
            + (cleaning.languageModel.map { [$0] } ?? [])
        let patterns = named + configuration.contamination.texts
        for file in patterns.isEmpty ? [] : try InputFiles.files(patterns) {
            texts.append("\(file.path) \(file.byteCount) \(file.modificationNanoseconds)")
        }
        return SHA256.digest(of: Array(texts.joined(separator: "\n").utf8)).hexadecimal
    }

    /// What names the shards that become of its texts.
    func tokenKey(
        dropped: [DroppedDocument], tokenizer: Tokenizer, _ output: PreparationConfiguration.Output
    ) -> String {
        var hash = SHA256()
        hash.update(
            Array(
                """
                murmuration token unit 1
                \(cleaningKey) \(tokenizer.digest) \(output.validationFraction.bitPattern) \
                \(output.testFraction.bitPattern) \(output.shardTokens)

                """.utf8))
        for document in dropped {
            hash.update(Array("\(document.number) \(document.reason == .exact ? "=" : "~")\n".utf8))
        }
        return String(hash.digest().hexadecimal.prefix(32))
    }
}

extension PreparationConfiguration {
    /// Whether a file lies in a folder that this preparation writes: its own results are no texts.
    fileprivate func makes(_ path: String) -> Bool {
        let file = URL(fileURLWithPath: path).standardizedFileURL.path
        return [output.directory, workFolder].contains { folder in
            file.hasPrefix(URL(fileURLWithPath: folder).standardizedFileURL.path + "/")
        }
    }
}
