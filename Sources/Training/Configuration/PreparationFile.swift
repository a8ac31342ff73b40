// The file of a preparation, read as that of a run is: strictly, and with every problem at once.

import Configuration
import Preparation

extension PreparationConfiguration {
    private typealias K = Key<PreparationConfiguration>

    /// Whether a file is that of a preparation: it has a section that only those have.
    package static func describes(file path: String) throws(ConfigurationError) -> Bool {
        let text = try ConfigurationDocument.contents(of: path)
        let document = ConfigurationDocument(yaml: text, sections: ["input", "output"]) { _, _ in ""
        }
        return document.sectionLines["input"] != nil || document.sectionLines["output"] != nil
    }

    /// Reads the file, applies `--set` overrides and checks the whole.
    package static func load(
        file path: String, overrides: [String] = []
    ) throws(ConfigurationError) -> PreparationConfiguration {
        try parse(
            yaml: ConfigurationDocument.contents(of: path), file: path, overrides: overrides)
    }

    /// The same from a text; `file` is its name in errors.
    package static func parse(
        yaml text: String, file: String = "configuration", overrides: [String] = []
    ) throws(ConfigurationError) -> PreparationConfiguration {
        var document = ConfigurationDocument(yaml: text, sections: sections) { name, _ in
            hint(name.near(in: sections))
        }
        for assignment in overrides { document.override(assignment) }
        var problems = document.problems
        var configuration = PreparationConfiguration()
        guard document.isParsed else {
            throw ConfigurationError(file: file, problems: problems.all)
        }
        let keys = Dictionary(uniqueKeysWithValues: K.all.map { ($0.path, $0) })
        var refused: Set<String> = []
        for entry in document.entries {
            guard let message = problem(of: entry, keys[entry.key], &configuration) else {
                continue
            }
            problems.append(
                .init(
                    line: entry.line, key: entry.key, message: message,
                    isOverride: entry.isOverride))
            refused.insert(entry.key)
        }
        for key in K.all {
            guard case .required = key.standard,
                !document.entries.contains(where: { $0.key == key.path })
            else { continue }
            problems.append(
                .init(
                    line: document.sectionLines[String(key.section)], key: key.path,
                    message: "expected \(key.expected), found nothing"))
            refused.insert(key.path)
        }
        for check in KeyCheck<PreparationConfiguration>.all
        where refused.isDisjoint(with: check.keys) {
            guard let message = check.complaint(configuration) else { continue }
            let entry = document.entries.first { check.keys.contains($0.key) }
            problems.append(
                .init(
                    line: entry?.line, key: check.keys[0], message: message,
                    isOverride: entry?.isOverride ?? false))
        }
        guard problems.isEmpty else {
            throw ConfigurationError(file: file, problems: problems.all)
        }
        return configuration
    }

    /// Takes an entry; what is wrong with it.
    private static func problem(
        of entry: ConfigurationDocument.Entry, _ key: Key<PreparationConfiguration>?,
        _ configuration: inout PreparationConfiguration
    ) -> String? {
        guard let key else {
            if sections.contains(entry.key) {
                return "expected a section with its keys, found \(entry.value.found)"
            }
            let name = entry.key.drop { $0 != "." }.dropFirst()
            let found = name.isEmpty ? entry.key : String(name)
            return "expected a known key, found \(found.shortened)"
                + hint(entry.key.near(in: K.all.map(\.path)))
        }
        if key.read(entry.value, &configuration) { return nil }
        let remark = key.remark(entry.value).map { ", \($0)" } ?? ""
        return "expected \(key.expected), found \(entry.value.found)\(remark)"
    }

    private static func hint(_ nearest: String?) -> String {
        nearest.map { "; the nearest is \($0)" } ?? ""
    }

    private static let sections: [String] = K.all.reduce(into: []) { sections, key in
        if sections.last != String(key.section) { sections.append(String(key.section)) }
    }

    /// The table of keys for the documentation, in Markdown.
    package static var documentation: String {
        let initial = PreparationConfiguration()
        let rows = K.all.map { key in
            "| `\(key.path)` | \(key.expected) | \(key.standardText(of: initial)) | \(key.summary) |\n"
        }
        return "| key | expects | default | meaning |\n| --- | --- | --- | --- |\n" + rows.joined()
    }
}
