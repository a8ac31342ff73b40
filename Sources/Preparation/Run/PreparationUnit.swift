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
    static func all(
        of configuration: PreparationConfiguration, _ named: NamedFiles
    ) throws(DatasetError) -> [Self] {
        let about = cleaningDigest(of: configuration, named)
        guard configuration.input.targets.isEmpty else {
            return try pairs(of: configuration, about: about)
        }
        let files = try InputFiles.files(configuration.input.files).filter {
            !configuration.makes($0.path)
        }
        try requireAny(files)
        try requireFit(files, configuration)
        return InputFiles.units(of: files).map { unit in
            PreparationUnit(
                files: unit.files.map { File(path: $0.path, target: nil) },
                states: unit.files, about: about)
        }
    }

    /// A unit for each two files of which lines belong together, in the order of both lists.
    private static func pairs(
        of configuration: PreparationConfiguration, about: String
    ) throws(DatasetError) -> [Self] {
        var lists: [[InputFile]] = []
        for patterns in [configuration.input.files, configuration.input.targets] {
            let files = try InputFiles.files(inOrderOf: patterns).filter {
                !configuration.makes($0.path)
            }
            lists.append(files)
        }
        let (files, targets) = (lists[0], lists[1])
        try requireAny(files)
        guard targets.count == files.count else {
            throw DatasetError(
                .mismatch,
                "input.targets: expected \(files.count) files as input.files has, found \(targets.count)"
            )
        }
        try requireFit(files + targets, configuration)
        var names: Set<[UInt8]> = []
        return zip(files, targets).compactMap { source, target in
            // The same pair twice is one.
            let name = Array(source.path.utf8) + [0] + Array(target.path.utf8)
            guard names.insert(name).inserted else { return nil }
            return PreparationUnit(
                files: [File(path: source.path, target: target.path)], states: [source, target],
                about: about)
        }
    }

    private static func requireAny(_ files: [InputFile]) throws(DatasetError) {
        guard files.isEmpty else { return }
        throw DatasetError(
            .missing,
            "input.files: expected files to prepare, found none beside those that preparations made"
        )
    }

    /// Throws where what a file is by its name has no documents of the kind that is asked for.
    private static func requireFit(
        _ files: [InputFile], _ configuration: PreparationConfiguration
    ) throws(DatasetError) {
        let input = configuration.input
        var errors: [DatasetError] = []
        for file in files {
            let format = input.format.resolved(for: file.path)
            let path = file.path.printablePath
            if !input.targets.isEmpty {
                if format == .text { continue }
                errors.append(
                    DatasetError(
                        .mismatch,
                        "\(path): expected plain text, whose lines are those of input.targets, found "
                            + "\(format.rawValue); name input.format: text if lines are meant"))
            } else if format == .gettext, input.kind != .pairs {
                errors.append(
                    DatasetError(
                        .mismatch,
                        "\(path): expected input.kind: pairs for a gettext catalogue, found "
                            + input.kind.rawValue))
            } else if format == .text, input.kind != .text {
                errors.append(
                    DatasetError(
                        .mismatch,
                        "\(path): expected JSON Lines, a table or a catalogue for input.kind: "
                            + "\(input.kind.rawValue), found plain text; name input.format where the "
                            + "name does not tell"))
            }
        }
        if !errors.isEmpty { throw DatasetError(all: errors) }
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
        of configuration: PreparationConfiguration, _ named: NamedFiles
    ) -> String {
        var about = configuration
        about.input.files = []
        about.input.targets = []
        about.output = .init()
        let signed = configuration.duplicates
        about.duplicates.threshold = signed.near ? signed.threshold : 1
        let texts = [about.text] + named.about
        return SHA256.digest(of: Array(texts.joined(separator: "\n").utf8)).hexadecimal
    }

    /// What names the shards that become of its texts: everything that decides what they are.
    ///
    /// - Parameter classes: of labelled texts in all units, which decide how wide ids are; 0 for others.
    func tokenKey(
        dropped: [DroppedDocument], tokenizer: Tokenizer, classes: Int,
        _ output: PreparationConfiguration.Output
    ) -> String {
        var hash = SHA256()
        hash.update(
            Array(
                """
                murmuration token unit 1
                \(cleaningKey) \(tokenizer.digest) \(output.validationFraction.bitPattern) \
                \(output.testFraction.bitPattern) \(output.shardTokens)

                """.utf8))
        if classes > 0 { hash.update(Array("\(classes) classes\n".utf8)) }
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
