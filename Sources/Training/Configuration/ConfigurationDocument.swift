import Configuration
import Datasets
import Files
import Foundation
import Yams

/// The file as a flat list of keys and values with their lines; nothing is known yet of what keys mean.
struct ConfigurationDocument {
    struct Entry {
        let line: Int?
        /// Dotted path.
        let key: String
        let value: ConfigurationValue
        let isOverride: Bool
    }

    static let sizeLimit = 1 << 20

    /// Whether the file was YAML with sections.
    private(set) var isParsed = false
    private(set) var entries: [Entry] = []
    private(set) var sectionLines: [String: Int] = [:]
    private(set) var problems = ConfigurationProblems()

    /// The text of a file of at most `sizeLimit` bytes.
    static func contents(of path: String) throws(ConfigurationError) -> String {
        func refused(_ message: String) -> ConfigurationError {
            ConfigurationError(file: path, problems: [.init(key: "", message: message)])
        }
        let bytes: [UInt8]
        do throws(DatasetError) {
            bytes = try Folder.read(path, limit: sizeLimit)
        } catch {
            if error.kind == .corrupt {
                throw refused(Self.tooLarge)
            }
            let isMissing = error.kind == .missing && FileKind.unfit(path) == nil
            let isRelative = isMissing && !path.hasPrefix("/")
            let folder = FileManager.default.currentDirectoryPath
            throw refused(
                error.message.dropFirst("\(path): ".count)
                    + (isRelative ? "; paths are relative to \(folder)" : ""))
        }
        let head = bytes.prefix(TextEncoding.headByteCount)
        if let found = TextEncoding.unlikeUTF8(head: head) {
            throw refused("expected YAML in UTF-8, found \(found)")
        }
        if let fault = TextEncoding.firstFault(in: bytes) {
            throw refused(
                "byte offset \(fault.offset): expected YAML in UTF-8, found byte "
                    + "0x\(String(bytes[fault.offset], radix: 16)); "
                    + TextEncoding.advice(invalid: head, isUTF8Before: fault.isUTF8Before))
        }
        let mark = bytes.starts(with: TextEncoding.byteOrderMark) ? 3 : 0
        return String(decoding: bytes.dropFirst(mark), as: UTF8.self)
    }

    private static let tooLarge = "expected at most 1 MiB of YAML, found more"

    /// The sections that are known.
    private let sections: [String]
    /// What an error says of another one, `isMapping`: with keys below it.
    private let hint: (_ section: String, _ isMapping: Bool) -> String

    /// - Parameters:
    ///   - sections: the names of those that are known.
    ///   - hint: what an error says of another one.
    init(
        yaml text: String, sections: [String],
        hint: @escaping (_ section: String, _ isMapping: Bool) -> String
    ) {
        (self.sections, self.hint) = (sections, hint)
        guard let root = compose(text, key: "", isOverride: false),
            ConfigurationValue(root) != .nothing
        else {
            isParsed = problems.isEmpty
            return
        }
        guard case .mapping(let mapping) = root else {
            problems.append(
                .init(line: root.mark?.line, key: "", message: "expected sections, found a value"))
            return
        }
        isParsed = true
        for (name, content) in mapping { addSection(name, content) }
    }

    /// The document of a run's configuration.
    init(yaml text: String) {
        self.init(yaml: text, sections: ConfigurationKey.sections) {
            ConfigurationKey.hint(nearestToSection: $0, isMapping: $1)
        }
    }

    /// Adds `key=value` from the command line; it takes the place of what the file says.
    mutating func override(_ assignment: String) {
        let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else {
            return refuse(
                nil, "", "expected key=value, found \"\(assignment.shortened)\"", isOverride: true)
        }
        let key = String(parts[0])
        let before = problems.count
        guard let value = compose(String(parts[1]), key: key, isOverride: true) else {
            if problems.count == before {
                refuse(nil, key, "expected a value, found nothing", isOverride: true)
            }
            return
        }
        entries.removeAll { $0.key == key }
        entries.append(
            Entry(line: nil, key: key, value: ConfigurationValue(value), isOverride: true))
    }

    private mutating func addSection(_ name: Node, _ content: Node) {
        guard let section = name.scalar?.string else {
            return refuse(name.mark?.line, "", "expected the name of a section, found no text")
        }
        guard sections.contains(section) else {
            // Looked for where it is told alone: a hostile file has thousands.
            let (hint, isMapping) = (hint, content.mapping != nil)
            return refuse(
                name.mark?.line, "",
                "expected a known section, found \(section.shortened)"
                    + hint(section, isMapping))
        }
        sectionLines[section] = name.mark?.line
        switch content {
        case .mapping(let keys):
            for (key, value) in keys {
                guard let text = key.scalar?.string else {
                    refuse(key.mark?.line, section, "expected the name of a key, found no text")
                    continue
                }
                entries.append(
                    Entry(
                        line: key.mark?.line, key: "\(section).\(text)",
                        value: ConfigurationValue(value), isOverride: false))
            }
        case .scalar, .sequence, .alias:
            let value = ConfigurationValue(content)
            if value != .nothing {
                entries.append(
                    Entry(line: name.mark?.line, key: section, value: value, isOverride: false))
            }
        }
    }

    private mutating func compose(_ text: String, key: String, isOverride: Bool) -> Node? {
        guard text.utf8.count <= Self.sizeLimit else {
            refuse(nil, key, Self.tooLarge, isOverride: isOverride)
            return nil
        }
        let refused = YAMLGuard.problems(in: text)
        guard refused.isEmpty else {
            for problem in refused {
                refuse(
                    isOverride ? nil : problem.line, key, problem.message, isOverride: isOverride)
            }
            return nil
        }
        do {
            return try Parser(yaml: text, encoding: .utf8).singleRoot()
        } catch {
            let (line, message) = Self.described(error)
            refuse(isOverride ? nil : line, key, message, isOverride: isOverride)
            return nil
        }
    }

    private mutating func refuse(
        _ line: Int?, _ key: String, _ message: @autoclosure () -> String,
        isOverride: Bool = false
    ) {
        problems.append(.init(line: line, key: key, message: message(), isOverride: isOverride))
    }

    private static func described(_ error: any Error) -> (line: Int?, message: String) {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            (mark.line, "expected YAML, found a fault: \(problem)")
        case .reader(let problem, let offset, _, let text):
            (
                offset.map { 1 + text.prefix($0).count(where: \.isNewline) },
                "expected YAML, found a fault: \(problem)"
            )
        case .duplicatedKeysInMapping(let names, let context):
            (
                context.mark.line,
                "expected each key once, found several of "
                    + names.prefix(5).map(\.shortened).joined(separator: ", ")
                    + (names.count > 5 ? " and \(names.count - 5) more" : "")
            )
        case nil, .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded:
            (nil, "expected YAML, found a fault: \(error)")
        }
    }
}

extension ConfigurationValue {
    fileprivate init(_ node: Node) {
        switch node {
        case .scalar(let scalar):
            let isPlain = scalar.style == .plain || scalar.style == .any
            if isPlain, ["", "~", "null", "Null", "NULL"].contains(scalar.string) {
                self = .nothing
            } else {
                self = isPlain ? .plain(scalar.string) : .quoted(scalar.string)
            }
        case .sequence(let elements): self = .list(elements.map { ConfigurationValue($0) })
        case .mapping, .alias: self = .mapping
        }
    }
}
