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
        let pattern = try PatternTranslation.translated(source, name: name)
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
