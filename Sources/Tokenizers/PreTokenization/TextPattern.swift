// What a tokenizer.json calls a pattern: a text, or a regular expression in Oniguruma's syntax, which PCRE2 runs here. The
// two differ in few places; a pattern with one of them is translated, or refused by name.

import CPCRE2
import Files

/// A text or a regular expression to look for.
enum TextPattern: Sendable, Equatable {
    case text([UInt8])
    case expression(RegularExpression)

    /// All matches in `text`, one behind another.
    func matches(in text: Span<UInt8>) throws(TokenizerError) -> [Range<Int>] {
        switch self {
        case .expression(let expression): return try expression.matches(in: text)
        case .text(let pattern):
            guard let first = pattern.first else { return [] }
            var matches: [Range<Int>] = []
            var index = 0
            while index + pattern.count <= text.count {
                if text[index] == first,
                    pattern.indices.allSatisfy({ text[index + $0] == pattern[$0] })
                {
                    matches.append(index..<index + pattern.count)
                    index += pattern.count
                } else {
                    index += 1
                }
            }
            return matches
        }
    }
}

/// A compiled regular expression.
final class RegularExpression: Sendable, Equatable {
    /// As it is written.
    let source: String
    private nonisolated(unsafe) let code: OpaquePointer
    private nonisolated(unsafe) let context: OpaquePointer

    /// Steps of a match: what a pattern that goes back and forth without end is stopped by.
    private static let mostSteps: UInt32 = 50_000_000

    init(_ source: String, name: String) throws(TokenizerError) {
        self.source = source
        let pattern = try RegularExpression.translated(source, name: name)
        var (number, place) = (Int32(0), 0)
        // In Ruby's syntax, which Oniguruma has, `^` and `$` are those of lines.
        let options = UInt32(PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE) | PCRE2_NO_UTF_CHECK
        let utf8 = Array(pattern.utf8)
        guard let code = pcre2_compile_8(utf8, utf8.count, options, &number, &place, nil) else {
            var text = [UInt8](repeating: 0, count: 256)
            let length = max(0, Int(pcre2_get_error_message_8(number, &text, text.count)))
            let reason = String(decoding: text.prefix(length), as: UTF8.self)
            throw TokenizerError(
                .unsupported,
                "\(name): expected a regular expression, found \(source.printable.debugDescription) "
                    + "(\(reason), at byte \(place))")
        }
        // Where memory must not be executed, the interpreter matches.
        _ = pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE))
        guard let context = pcre2_match_context_create_8(nil) else {
            pcre2_code_free_8(code)
            throw TokenizerError(.unencodable, "\(name): expected memory for a pattern, found none")
        }
        pcre2_set_match_limit_8(context, RegularExpression.mostSteps)
        (self.code, self.context) = (code, context)
    }

    deinit {
        pcre2_match_context_free_8(context)
        pcre2_code_free_8(code)
    }

    static func == (left: RegularExpression, right: RegularExpression) -> Bool {
        left.source == right.source
    }

    /// `source` in PCRE2's syntax.
    private static func translated(_ source: String, name: String) throws(TokenizerError) -> String
    {
        func refuse(_ part: String) -> TokenizerError {
            TokenizerError(
                .unsupported,
                "\(name): expected a regular expression that PCRE2 reads as Oniguruma does, found \(part) in "
                    + source.printable.debugDescription)
        }
        var isEscaped = false
        var depth = 0
        // Whether the braces that are open are those of a number of times, and not of a property's name.
        var countsTimes = false
        var previous: Character = " "
        let characters = Array(source)
        var result = ""
        for (index, character) in characters.enumerated() {
            if isEscaped {
                isEscaped = false
                // Hexadecimal digits there, horizontal space here; a byte there, a code unit here.
                if "hHCObB".contains(character) || character == "W" && depth > 0 {
                    throw refuse("\\\(character)")
                }
                // Marks are of words there, and here from PCRE2 10.43 on.
                let word = #"\p{L}\p{M}\p{Nd}\p{Pc}"#
                switch character {
                case "w": result += depth > 0 ? word : "[\(word)]"
                case "W": result += "[^\(word)]"
                default: result += "\\\(character)"
                }
                previous = "pPxok".contains(character) ? "\\" : " "
                continue
            }
            switch character {
            case "\\": isEscaped = true
            case "[":
                // A set within a set there, a bracket here.
                let next = index + 1 < characters.count ? characters[index + 1] : " "
                if depth > 0, next != ":" { throw refuse("[ in a class") }
                depth += 1
            case "]": depth = max(0, depth - 1)
            case "{":
                countsTimes = previous != "\\"
                // From none on there, text here before PCRE2 10.43.
                if countsTimes, depth == 0, index + 1 < characters.count,
                    characters[index + 1] == ","
                {
                    throw refuse("{,n}")
                }
            case "&" where depth > 0 && previous == "&": throw refuse("&& in a class")
            case "+" where depth == 0 && previous == "}" && countsTimes:
                throw refuse("}+, which is possessive here")
            case "(" where depth == 0: try requireGroup(characters[(index + 1)...], refuse)
            default: break
            }
            previous = character
            if !isEscaped { result.append(character) }
        }
        return result
    }

    /// Refuses what begins a group in one syntax only, or with other meaning: `(*…)`, `(?C…)`, flags but for case and
    /// spaces in patterns (`m` is a line end for the dot there).
    private static func requireGroup(
        _ rest: ArraySlice<Character>, _ refuse: (String) -> TokenizerError
    ) throws(TokenizerError) {
        if rest.first == "*" { throw refuse("(*") }
        guard rest.first == "?" else { return }
        let flags = rest.dropFirst().prefix { $0.isLetter || $0 == "-" }
        let next = rest.dropFirst(1 + flags.count).first
        guard !flags.isEmpty, next == ":" || next == ")" || flags.first == "C" else { return }
        if let flag = flags.first(where: { !"ix-".contains($0) }) { throw refuse("(?\(flag)") }
    }

    /// All matches in valid `text`, by the rules of the `onig` crate: an empty one right behind another does not
    /// count.
    func matches(in text: Span<UInt8>) throws(TokenizerError) -> [Range<Int>] {
        guard let data = pcre2_match_data_create_8(1, nil) else {
            throw TokenizerError(.unencodable, "regular expression: expected memory, found none")
        }
        defer { pcre2_match_data_free_8(data) }
        var matches: [Range<Int>] = []
        var (start, lastEnd) = (0, -1)
        while start <= text.count, let match = try next(in: text, from: start, data) {
            if match.isEmpty, match.upperBound == lastEnd {
                start += start < text.count ? UTF8Text.character(in: text, at: start).byteCount : 1
            } else {
                matches.append(match)
                (start, lastEnd) = (match.upperBound, match.upperBound)
            }
        }
        return matches
    }

    private func next(
        in text: Span<UInt8>, from start: Int, _ data: OpaquePointer
    ) throws(TokenizerError) -> Range<Int>? {
        let result = text.withUnsafeBufferPointer { bytes in
            // Of an empty text there may be no address.
            pcre2_match_8(
                code, bytes.baseAddress ?? UnsafePointer(RegularExpression.nothing), bytes.count,
                start, UInt32(PCRE2_NO_UTF_CHECK), data, context)
        }
        if result == PCRE2_ERROR_NOMATCH { return nil }
        guard result >= 0, let places = pcre2_get_ovector_pointer_8(data) else {
            throw TokenizerError(
                .unencodable,
                "text: expected a match of \(source.printable.debugDescription) or none in "
                    + "\(RegularExpression.mostSteps) steps, found no end (PCRE2 error \(result)) "
                    + "from byte \(start) on")
        }
        // A look-behind with \K may end a match before it begins.
        return places[0]..<max(places[0], places[1])
    }

    private nonisolated(unsafe) static let nothing = UnsafeMutablePointer<UInt8>.allocate(
        capacity: 1)
}
