// Oniguruma's syntax, which a tokenizer.json has, in that of PCRE2. Where the two read a part otherwise it is written out, or
// refused by name.

/// A regular expression on its way from one syntax to the other.
struct PatternTranslation {
    private let source: String
    private let name: String
    private let characters: [Character]
    private var result = ""
    /// Classes that are open.
    private var depth = 0
    /// Of each open group whether case does not count in it, the whole pattern first.
    private var ignoresCase = [false]

    /// `source` in PCRE2's syntax.
    static func translated(_ source: String, name: String) throws(TokenizerError) -> String {
        var translation = PatternTranslation(source, name)
        try translation.run()
        return translation.result
    }

    private init(_ source: String, _ name: String) {
        (self.source, self.name, characters) = (source, name, Array(source))
    }

    private func refuse(_ part: String) -> TokenizerError {
        TokenizerError(
            .unsupported,
            "\(name): expected a regular expression that PCRE2 reads as Oniguruma does, found \(part) in "
                + source.printable.debugDescription)
    }

    private mutating func run() throws(TokenizerError) {
        var isEscaped = false
        // Whether the braces that are open are those of a number of times, and not of a property's name.
        var countsTimes = false
        var previous: Character = " "
        for (index, character) in characters.enumerated() {
            if isEscaped {
                isEscaped = false
                try appendEscaped(character, at: index)
                previous = "pPxok".contains(character) ? "\\" : " "
                continue
            }
            let next = index + 1 < characters.count ? characters[index + 1] : " "
            switch character {
            case "\\": isEscaped = true
            case "[":
                if depth > 0 {
                    // A set within a set there, a bracket here.
                    if next != ":" { throw refuse("[ in a class") }
                    try requireNamedClass(at: index)
                }
                depth += 1
            case "]": depth = max(0, depth - 1)
            case "{":
                countsTimes = previous != "\\"
                // From none on there, text here before PCRE2 10.43.
                if countsTimes, depth == 0, next == "," { throw refuse("{,n}") }
            case "&" where depth > 0 && previous == "&": throw refuse("&& in a class")
            case "+" where depth == 0 && previous == "}" && countsTimes:
                throw refuse("}+, which is possessive here")
            case "(" where depth == 0: try beginGroup(characters[(index + 1)...])
            case ")" where depth == 0 && ignoresCase.count > 1: ignoresCase.removeLast()
            default: break
            }
            previous = character
            if !isEscaped { result.append(character) }
        }
    }

    // MARK: Escapes

    /// `\w` there: letters, marks, decimal digits, numbers that are letters, connectors, letters in circles and squares.
    private static let word =
        #"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24B6}-\x{24E9}"#
        + #"\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}"#
    /// What else is of words outside of a class: superscripts and fractions of Latin-1.
    private static let latinNumbers = #"\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}"#
    /// `\s` there. PCRE2 counts U+180E too, which was a space before Unicode 6.3.
    private static let space = #"\p{Z}\x{9}-\x{D}\x{85}"#
    private static let noSpace =
        #"\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Cn}\p{Co}\x{0}-\x{8}\x{E}-\x{1F}"#
        + #"\x{7F}-\x{84}\x{86}-\x{9F}"#

    private mutating func appendEscaped(_ character: Character, at index: Int)
        throws(TokenizerError)
    {
        let isInClass = depth > 0
        // Hexadecimal digits there, horizontal space here; a byte there, a code unit here.
        if "hHCObB".contains(character) || character == "W" && isInClass {
            throw refuse("\\\(character)")
        }
        switch character {
        case "w": result += isInClass ? Self.word : "[\(Self.word)\(Self.latinNumbers)]"
        case "W": result += "[^\(Self.word)\(Self.latinNumbers)]"
        case "s": result += isInClass ? Self.space : "[\(Self.space)]"
        case "S": result += isInClass ? Self.noSpace : "[^\(Self.space)]"
        case "p", "P":
            try requireProperty(characters[(index + 1)...])
            result += "\\\(character)"
        default: result += "\\\(character)"
        }
    }

    /// Properties that are not general categories or scripts, of which PCRE2 knows other characters.
    private static let otherProperties: Set<String> = [
        "alphabetic", "alpha", "uppercase", "upper", "lowercase", "lower", "whitespace", "wspace",
        "cased", "ci", "caseignorable",
    ]

    private func requireProperty(_ rest: ArraySlice<Character>) throws(TokenizerError) {
        let text =
            rest.first == "{"
            ? String(rest.dropFirst().prefix { $0 != "}" }) : String(rest.prefix(1))
        let property = text.lowercased().filter { $0.isLetter || $0 == "&" }
        if Self.otherProperties.contains(property) { throw refuse("\\p{\(text)}") }
        // Capitals there, letters of either case here.
        if ignoresCase.last == true, ["lu", "ll", "lt", "lc", "l&"].contains(property) {
            throw refuse("\\p{\(text)} where case does not count")
        }
    }

    // MARK: Brackets

    /// Refuses names of classes of which the two know other characters.
    private func requireNamedClass(at index: Int) throws(TokenizerError) {
        let rest = characters[(index + 2)...]
        let text = String(rest.prefix { $0 != ":" && $0 != "]" })
        // What is not closed is no name, but two characters of the class.
        guard rest.dropFirst(text.count).prefix(2).elementsEqual([":", "]"]) else {
            throw refuse("[ in a class")
        }
        guard ["digit", "xdigit", "cntrl"].contains(text.filter { $0 != "^" }) else {
            throw refuse("[:\(text):]")
        }
    }

    /// Refuses what begins a group in one syntax only, or with other meaning: `(*…)`, `(?C…)`, flags but for case and
    /// spaces in patterns (`m` is a line end for the dot there).
    private mutating func beginGroup(_ rest: ArraySlice<Character>) throws(TokenizerError) {
        if rest.first == "*" { throw refuse("(*") }
        ignoresCase.append(ignoresCase[ignoresCase.count - 1])
        guard rest.first == "?" else { return }
        let flags = rest.dropFirst().prefix { $0.isLetter || $0 == "-" }
        let next = rest.dropFirst(1 + flags.count).first
        guard !flags.isEmpty, next == ":" || next == ")" || flags.first == "C" else { return }
        if let flag = flags.first(where: { !"ix-".contains($0) }) { throw refuse("(?\(flag)") }
        guard let place = flags.firstIndex(of: "i") else { return }
        let isSet = !flags[..<place].contains("-")
        ignoresCase[ignoresCase.count - 1] = isSet
        // `(?i)` counts to the end of the group that it stands in.
        if next == ")" { ignoresCase[ignoresCase.count - 2] = isSet }
    }
}
