// Samples that are no windows of one long text: pairs, labelled texts, conversations, preferences.

/// What a part of a record is to an objective.
public enum RecordRole: Int32, CaseIterable, Sendable, Codable {
    /// A text that stands by itself.
    case text
    /// What is translated, summarised, restored.
    case source
    /// What is made of it.
    case target
    /// What a model is told; no target of training.
    case prompt
    /// What it shall answer.
    case response
    /// The better of two answers to a prompt.
    case chosen
    /// The worse one.
    case rejected
}

/// One sample: texts with their roles, as tokens.
public struct Record: Sendable, Equatable {
    public struct Part: Sendable, Equatable {
        public var role: RecordRole
        public var tokens: [Int32]

        public init(_ role: RecordRole, _ tokens: [Int32]) {
            (self.role, self.tokens) = (role, tokens)
        }
    }

    public var parts: [Part]
    /// The class of a labelled text.
    public var label: Int32?

    public init(parts: [Part], label: Int32? = nil) { (self.parts, self.label) = (parts, label) }
}

/// Records by their numbers, read when they are needed.
public protocol RecordSource: Sendable {
    var count: Int { get }
    /// Symbols of the tokenizer; every token is below it.
    var vocabularySize: Int { get }

    func record(_ index: Int) throws(DatasetError) -> Record

    /// Tokens of each record in `range`, of all its parts together: what is known without reading them.
    func lengths(of range: Range<Int>) throws(DatasetError) -> [Int]

    /// Tokens that each record in `range` has in the parts of each of `roles`: all roles of a record, then those of the
    /// next.
    func lengths(of range: Range<Int>, roles: [RecordRole]) throws(DatasetError) -> [Int]
}

extension RecordSource {
    /// Reads the records; a source that knows better answers from its index.
    public func lengths(
        of range: Range<Int>, roles: [RecordRole]
    ) throws(DatasetError) -> [Int] {
        var lengths: [Int] = []
        lengths.reserveCapacity(range.count * roles.count)
        for index in range {
            let parts = try record(index).parts
            for role in roles {
                lengths.append(parts.reduce(0) { $0 + ($1.role == role ? $1.tokens.count : 0) })
            }
        }
        return lengths
    }
}
