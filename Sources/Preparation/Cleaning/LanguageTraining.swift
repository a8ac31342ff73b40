// Language models from files: catalogues of translated messages, manual pages, plain texts.

import Datasets

extension LanguageModel {
    /// A model of the texts that files hold; of a pair it is the target, which is in the language.
    ///
    /// - Parameter files: names or globs of each language's.
    package static func train(
        files: [(language: String, patterns: [String])]
    ) throws(DatasetError) -> LanguageModel {
        var samples: [(language: String, text: [UInt8])] = []
        var errors: [DatasetError] = []
        for (language, patterns) in files {
            do throws(DatasetError) {
                for file in try InputFiles.files(patterns) {
                    samples.append((language, try text(of: file.path)))
                }
            } catch {
                errors.append(error)
            }
        }
        if !errors.isEmpty { throw DatasetError(all: errors) }
        return try train(samples)
    }

    private static func text(of path: String) throws(DatasetError) -> [UInt8] {
        var options = ReadingOptions()
        options.invalid = .drop
        if options.format.resolved(for: path) == .gettext { options.fields.kind = .pairs }
        var reader = try DocumentReader(path: path, options: options)
        var text: [UInt8] = []
        while let document = try reader.next() {
            for part in document.parts where part.role != .source { text += part.text + [0x0A] }
        }
        return text
    }
}
