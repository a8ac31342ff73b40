import Files

/// The problems of a configuration, found in one pass.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    public struct Problem: Sendable, Equatable {
        /// Line of the file, from 1; nil where the problem has no line, as with `--set` and defaults.
        public let line: Int?
        /// Dotted path of the key, `optimizer.beta1`; empty for a problem of the file as a whole.
        public let key: String
        /// `expected …, found …`, with `; hint` where there is one.
        public let message: String
        /// Whether the value came from `--set` and not from the file.
        public let isOverride: Bool

        package init(line: Int? = nil, key: String, message: String, isOverride: Bool = false) {
            (self.line, self.key, self.message) = (line, key, message)
            self.isOverride = isOverride
        }
    }

    /// The file as it was named.
    public let file: String
    /// In order of line; those without one last.
    public let problems: [Problem]

    package init(file: String, problems: [Problem]) {
        self.file = file
        self.problems = problems.enumerated()
            .sorted { ($0.element.line ?? .max, $0.offset) < ($1.element.line ?? .max, $1.offset) }
            .map(\.element)
    }

    /// One line a problem: `file:line: key: expected …, found …`.
    public var lines: [String] {
        let file = file.printablePath
        return problems.map { problem in
            let origin =
                problem.isOverride ? "--set" : problem.line.map { "\(file):\($0)" } ?? file
            let key = problem.key.isEmpty ? "" : "\(problem.key.printable): "
            return "\(origin): \(key)\(problem.message)".printableMessage
        }
    }

    public var description: String { lines.joined(separator: "\n") }
}
