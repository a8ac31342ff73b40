/// Refuses, before any tree is built, the parts of YAML that a configuration never needs and that can
/// make a small file large or a plain one mean something else: anchors, aliases, tags, merge keys,
/// block scalars, deep nesting.
///
/// A scanner of one pass over the bytes, linear in their number whatever they hold.
struct YAMLGuard {
    static let depthLimit = 32

    private enum Position {
        /// A node may begin here.
        case start
        /// Inside a plain scalar.
        case plain
        /// Behind a quoted scalar or a closing bracket.
        case closed
    }

    private let bytes: [UInt8]
    private var index = 0
    private var line = 1
    private var depth = 0
    private var position = Position.start
    private var problems: [ConfigurationError.Problem] = []

    private init(_ text: String) { bytes = Array(text.utf8) }

    static func problems(in text: String) -> [ConfigurationError.Problem] {
        var scanner = YAMLGuard(text)
        if let unusual = text.unicodeScalars.first(where: {
            "\u{85}\u{2028}\u{2029}".unicodeScalars.contains($0)
        }) {
            scanner.refuse(
                "expected lines that end in a line feed, "
                    + "found the separator U+\(String(unusual.value, radix: 16, uppercase: true))")
            return scanner.problems
        }
        scanner.scan()
        return scanner.problems
    }

    private mutating func scan() {
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { index = 3 }
        while index < bytes.count && depth <= Self.depthLimit {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                line += byte == UInt8(ascii: "\n") ? 1 : 0
                position = .start
            case UInt8(ascii: " "), UInt8(ascii: "\t"): break
            case UInt8(ascii: "#") where index == 0 || isBlank(at: index - 1): skipComment()
            default: scanToken(byte)
            }
            index += 1
        }
        if depth > Self.depthLimit {
            refuse("expected at most \(Self.depthLimit) levels of brackets, found more")
        }
    }

    private mutating func scanToken(_ byte: UInt8) {
        switch byte {
        case _ where "[{".utf8.contains(byte) && (depth > 0 || position == .start):
            depth += 1
            position = .start
        case _ where "]}".utf8.contains(byte) && depth > 0:
            depth -= 1
            position = .closed
        case UInt8(ascii: ",") where depth > 0: position = .start
        case UInt8(ascii: ":") where isBlank(at: index + 1) || endsKeyInBrackets: position = .start
        case _ where position != .start: break
        case UInt8(ascii: "\""), UInt8(ascii: "'"): skipQuoted(byte)
        case UInt8(ascii: "-"), UInt8(ascii: "?"), UInt8(ascii: "."): scanDash(byte)
        default: scanNode(byte)
        }
    }

    /// Inside brackets a colon needs no blank behind it where no plain scalar runs.
    private var endsKeyInBrackets: Bool {
        guard depth > 0 else { return false }
        let next = index + 1 < bytes.count ? bytes[index + 1] : 0
        return position != .plain || ",[]{}".utf8.contains(next)
    }

    /// List items, complex keys and document markers leave the scanner where a node may begin.
    private mutating func scanDash(_ byte: UInt8) {
        if byte != UInt8(ascii: "."), isBlank(at: index + 1) { return }
        let isMarker =
            byte != UInt8(ascii: "?") && index + 2 < bytes.count && bytes[index + 1] == byte
            && bytes[index + 2] == byte && isBlank(at: index + 3)
        if isMarker { index += 2 } else { position = .plain }
    }

    private mutating func scanNode(_ byte: UInt8) {
        position = .plain
        switch byte {
        case UInt8(ascii: "&"):
            refuse("expected no anchors, found `&`; quote a text that begins so")
        case UInt8(ascii: "*"):
            refuse("expected no aliases, found `*`; quote a text that begins so, as in \"*.txt\"")
        case UInt8(ascii: "!"): refuse("expected no tags, found `!`; quote a text that begins so")
        case UInt8(ascii: "|") where depth == 0, UInt8(ascii: ">") where depth == 0:
            refuse("expected a value on one line, found a block scalar")
        case UInt8(ascii: "<") where nextIs(byte):
            refuse("expected no merge keys, found `<<`")
        default: break
        }
    }

    private mutating func skipComment() {
        while index + 1 < bytes.count, bytes[index + 1] != UInt8(ascii: "\n"),
            bytes[index + 1] != UInt8(ascii: "\r")
        {
            index += 1
        }
    }

    /// Leaves `index` at the closing quote; a doubled single quote stands for itself.
    private mutating func skipQuoted(_ quote: UInt8) {
        var isOpen = true
        while isOpen && index < bytes.count {
            index += 1
            guard index < bytes.count else { break }
            switch bytes[index] {
            case UInt8(ascii: "\n"): line += 1
            case UInt8(ascii: "\\") where quote == UInt8(ascii: "\""):
                index += 1
                if index < bytes.count, bytes[index] == UInt8(ascii: "\n") { line += 1 }
            case quote where quote == UInt8(ascii: "'") && nextIs(quote): index += 1
            case quote: isOpen = false
            default: break
            }
        }
        position = .closed
    }

    private func nextIs(_ byte: UInt8) -> Bool {
        index + 1 < bytes.count && bytes[index + 1] == byte
    }

    private func isBlank(at index: Int) -> Bool {
        guard index < bytes.count else { return true }
        return " \t\r\n".utf8.contains(bytes[index])
    }

    private mutating func refuse(_ message: String) {
        problems.append(.init(line: line, key: "", message: message))
    }
}
