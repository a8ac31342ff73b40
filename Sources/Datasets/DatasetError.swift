/// A fault in text, tokenizer, shards or the disk under them.
public struct DatasetError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// A file that was named is not there.
        case missing
        /// The system refused to open, read, write or rename.
        case inputOutput
        /// Text that the tokenizer cannot take: invalid UTF-8, an unknown character, an empty file.
        case invalidText
        /// A file whose bytes are not what was written.
        case corrupt
        /// Fewer tokens than a sample or a step needs.
        case tooSmall
        /// More files or shards than an index can name.
        case tooLarge
        /// A token id that the vocabulary does not hold.
        case tokenOutOfRange
        /// Files that do not belong together: another tokenizer, another vocabulary.
        case mismatch
        /// The output folder holds something else.
        case outputExists
    }

    public let kind: Kind
    /// Each one line: `what: expected …, found …`, with `; hint` where there is one. Never empty.
    public let problems: [String]

    public init(_ kind: Kind, _ problem: String) { (self.kind, problems) = (kind, [problem]) }

    /// All problems of `errors` at once, under the kind of the first; beyond 20 they are counted.
    package init(all errors: [DatasetError]) {
        precondition(!errors.isEmpty, "DatasetError: expected at least one error, got none")
        let (all, most) = (errors.flatMap(\.problems), 20)
        let others = all.count > most ? ["and \(all.count - most) more problems"] : []
        (kind, problems) = (errors[0].kind, all.prefix(most) + others)
    }

    /// The problem; several stand below a line that counts them.
    public var message: String {
        guard problems.count > 1 else { return problems[0] }
        return "data: expected sound files, found \(problems.count) problems:\n  "
            + problems.joined(separator: "\n  ")
    }

    public var description: String { message }
}
