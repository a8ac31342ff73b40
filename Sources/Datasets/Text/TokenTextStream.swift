import Tokenizers

/// The text of tokens that come one by one: every character as soon as it is certain.
public struct TokenTextStream {
    private let tokenizer: Tokenizer
    /// Tokens whose text went out, as far back as the text of the next ones depends on them; then those that wait.
    private var tokens: [Int32]
    private var sent: Int
    private var bytes = UTF8TextStream()

    /// Tokens before the next one that its text may depend on.
    private static let context = 8

    /// A text that goes on behind `prompt`.
    init(_ tokenizer: Tokenizer, after prompt: [Int32]) {
        self.tokenizer = tokenizer
        tokens = prompt.suffix(TokenTextStream.context)
        sent = tokens.count
    }

    /// What is certain now; empty where the next token may alter it.
    public mutating func append(_ token: Int32) -> String {
        guard case .pipeline(let own) = tokenizer else {
            return bytes.append(tokenizer.bytes(of: CollectionOfOne(token)))
        }
        tokens.append(token)
        let text = newText(own)
        // Half a character, or a mark that the next token may join.
        guard !text.isEmpty, text.unicodeScalars.last != "\u{FFFD}" else { return "" }
        tokens = tokens.suffix(TokenTextStream.context)
        sent = tokens.count
        return text
    }

    /// What is left when no more tokens come.
    public mutating func finish() -> String {
        guard case .pipeline(let own) = tokenizer else { return bytes.finish() }
        defer { sent = tokens.count }
        return newText(own)
    }

    /// The text of the tokens that wait: of all of them, without that of those before.
    private func newText(_ own: PipelineTokenizer) -> String {
        let before = own.bytes(of: tokens[..<sent])
        let all = own.bytes(of: tokens)
        return String(decoding: all.dropFirst(min(before.count, all.count)), as: UTF8.self)
    }
}
