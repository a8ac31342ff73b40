import Configuration

extension RunConfiguration {
    /// Reads a configuration file, applies `--set` overrides (`key=value`), fills in defaults and checks
    /// the whole.
    ///
    /// Throws every problem at once, each with its line.
    public static func load(
        file path: String, overrides: [String] = []
    ) throws(ConfigurationError) -> RunConfiguration {
        let text = try ConfigurationDocument.contents(of: path)
        return try parse(yaml: text, file: path, overrides: overrides)
    }

    /// The same from a text; `file` is its name in errors.
    public static func parse(
        yaml text: String, file: String = "configuration", overrides: [String] = []
    ) throws(ConfigurationError) -> RunConfiguration {
        var document = ConfigurationDocument(yaml: text)
        for assignment in overrides { document.override(assignment) }
        var loader = ConfigurationLoader(document)
        // What a file that is no YAML leaves out is not worth a complaint.
        if document.isParsed { loader.load() }
        guard loader.problems.isEmpty else {
            throw ConfigurationError(file: file, problems: loader.problems.all)
        }
        return loader.configuration
    }

    /// Every key that family and optimizer have, with its value, in one order: `parse(yaml: x.yaml) == x`. Equal
    /// configurations give the same bytes, so that a digest of it stands for the configuration.
    public var yaml: String {
        let all = ConfigurationKey.all(of: model.family).filter { has($0.path) }
        return ConfigurationKey.sections.map { section in
            let keys = all.filter { $0.section == section }
            return "\(section):\n" + keys.map { "  \($0.name): \($0.text(self))\n" }.joined()
        }.joined()
    }
}

extension RunConfiguration {
    /// Before a file is read: required keys have no value.
    static let placeholder = RunConfiguration(
        run: .init(directory: "", steps: 1), model: .init(Family.allCases[0].shape.init()),
        batch: .init(sequences: 0, microBatch: 0), optimizer: .init(learningRate: 0))
}

extension Key<RunConfiguration> {
    /// What a file is asked for whose family is not known: the keys that every family has.
    fileprivate static let ofAllFamilies = all.filter { key in
        key.section != familyKey.section || key.path == familyKey.path
            || families(having: key.path).count == Family.allCases.count
    }

    fileprivate static func families(having path: String) -> [Family] { owners[path] ?? [] }

    /// The families that have a key of section `model`.
    private static let owners = Family.allCases.reduce(into: [String: [Family]]()) {
        owners, family in
        for key in shapeKeys(of: family) { owners[key.path, default: []].append(family) }
    }
}

/// Brings a document and the table of keys together.
private struct ConfigurationLoader {
    private let document: ConfigurationDocument
    private(set) var problems: ConfigurationProblems
    private(set) var configuration = RunConfiguration.placeholder
    /// The keys of a model of this family; those that all families ask for, where it is not known.
    private let keys: [String: ConfigurationKey]
    private let orderedKeys: [ConfigurationKey]
    private let family: Family?
    /// What the command line names.
    private let chosenOptimizer: RunConfiguration.Optimizer.Name?
    /// Keys whose value is not to be relied on.
    private var refused: Set<String> = []

    init(_ document: ConfigurationDocument) {
        self.document = document
        problems = document.problems
        // The family comes first: it says what the section has.
        let named = document.entries.first { $0.key == ConfigurationKey.familyKey.path }
        var first = RunConfiguration.placeholder
        let isKnown = named.map { ConfigurationKey.familyKey.read($0.value, &first) } ?? false
        let family = isKnown ? first.model.family : nil
        let keys = family.map { ConfigurationKey.all(of: $0) } ?? ConfigurationKey.ofAllFamilies
        (self.family, orderedKeys, configuration.model) = (family, keys, first.model)
        let table = Dictionary(uniqueKeysWithValues: keys.map { ($0.path, $0) })
        self.keys = table
        let name = document.entries.first { $0.key == "optimizer.name" && $0.isOverride }
        let isRead = name.flatMap { table[$0.key]?.read($0.value, &first) } ?? false
        chosenOptimizer = isRead ? first.optimizer.name : nil
    }

    mutating func load() {
        for entry in document.entries where !isPassedOver(entry) { read(entry) }
        refuseKeysOfOthers()
        fillIn()
        let checks = ConfigurationCheck.all(of: family)
        for check in checks where refused.isDisjoint(with: check.keys) {
            guard let message = check.complaint(configuration) else { continue }
            let entry = check.keys.compactMap({ self.entry(of: $0) }).first
            let key = entry?.key ?? check.keys[0]
            problems.append(
                .init(
                    line: entry?.line, key: check.keys[0], message: message,
                    isOverride: entry?.isOverride ?? false))
            refused.insert(key)
        }
    }

    private func entry(of key: String) -> ConfigurationDocument.Entry? {
        document.entries.first { $0.key == key }
    }

    private mutating func read(_ entry: ConfigurationDocument.Entry) {
        guard let key = keys[entry.key] else { return refuseUnknown(entry) }
        if case .derived = key.standard, entry.value == .plain("auto") { return }
        if !key.read(entry.value, &configuration) {
            let found = entry.value.found + (key.remark(entry.value).map { ", \($0)" } ?? "")
            refuse(entry, "expected \(key.expected), found \(found)")
        }
    }

    /// Whether the command line has chosen another optimizer than the file has keys of.
    private func isPassedOver(_ entry: ConfigurationDocument.Entry) -> Bool {
        guard !entry.isOverride, let chosenOptimizer else { return false }
        return keys[entry.key] != nil && !chosenOptimizer.has(entry.key)
    }

    /// A key of another optimizer, or of another objective, would have no effect.
    private mutating func refuseKeysOfOthers() {
        if !refused.contains("optimizer.name") {
            let name = configuration.optimizer.name
            refuseKeys("with optimizer.name \(name.rawValue)", unless: name.has)
        }
        if family != nil {
            let objective = configuration.model.shape.objective
            refuseKeys("where the model is made for \(objective.name)", unless: objective.has)
        }
    }

    private mutating func refuseKeys(_ reason: String, unless has: (String) -> Bool) {
        for entry in document.entries
        where !has(entry.key) && !refused.contains(entry.key) && !isPassedOver(entry) {
            let name = entry.key.drop { $0 != "." }.dropFirst()
            refuse(entry, "expected no \(name) \(reason), found \(entry.value.found)")
        }
    }

    private mutating func fillIn() {
        for key in orderedKeys {
            let entry = entry(of: key.path)
            switch key.standard {
            case .required where entry == nil:
                let line = document.sectionLines[String(key.section)]
                problems.append(
                    .init(
                        line: line, key: key.path,
                        message: "expected \(key.expected), found nothing"))
                refused.insert(key.path)
            case .derived(_, let derive) where entry == nil || entry?.value == .plain("auto"):
                derive(&configuration)
            case .required, .derived, .value: break
            }
        }
    }

    private mutating func refuse(
        _ entry: ConfigurationDocument.Entry, _ message: @autoclosure () -> String
    ) {
        problems.append(
            .init(
                line: entry.line, key: entry.key, message: message(), isOverride: entry.isOverride))
        refused.insert(entry.key)
    }

    private mutating func refuseUnknown(_ entry: ConfigurationDocument.Entry) {
        let section = String(entry.key.prefix { $0 != "." })
        if ConfigurationKey.sections.contains(entry.key) {
            return refuse(entry, "expected a section with its keys, found \(entry.value.found)")
        }
        let others = ConfigurationKey.families(having: entry.key)
        if !others.isEmpty {
            // Of an unknown family nobody can tell.
            guard let family else { return }
            return refuse(
                entry,
                "expected a key of the family \(family.rawValue), found one that only "
                    + "\(others.map(\.rawValue).joined(separator: " and ")) has")
        }
        let isSectioned = ConfigurationKey.sections.contains(section)
        let found = isSectioned ? String(entry.key.dropFirst(section.count + 1)) : entry.key
        refuse(
            entry,
            "expected a known key, found \(found.shortened)"
                + ConfigurationKey.hint(nearestTo: entry.key))
    }
}
