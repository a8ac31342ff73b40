/// A fault in a tokenizer's file, or in a text that it cannot take.
public struct TokenizerError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// No file under that name, or none that may be read.
        case missing
        /// A file that holds no tokenizer, or contradicts itself.
        case corrupt
        /// A tokenizer with a part that this version does not know.
        case unsupported
        /// A text that has no tokens here: a vocabulary without an unknown token, an endless pattern.
        case unencodable
        /// A corpus from which no vocabulary of the wanted kind can be made.
        case untrainable
    }

    public let kind: Kind
    /// One line: `what: expected …, found …`.
    public let message: String

    package init(_ kind: Kind, _ message: String) { (self.kind, self.message) = (kind, message) }

    /// The same with the place of the text before it.
    package func placed(at place: String) -> TokenizerError {
        TokenizerError(kind, "\(place): \(message)")
    }

    public var description: String { message }
}
