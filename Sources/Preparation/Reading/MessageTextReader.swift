// A catalogue as text: GNU gettext's manual, "The Format of PO Files".

import Datasets
import Files

/// The messages of a .po file that have an approved translation.
final class MessageTextReader: FormatReading {
    private let reader: SegmentReader
    private let options: ReadingOptions
    private var entry = Entry()
    private var isAtEnd = false

    init(_ reader: SegmentReader, _ options: ReadingOptions) {
        (self.reader, self.options) = (reader, options)
    }

    private struct Entry {
        /// What a string belongs to.
        enum Field { case none, context, message, plural, translation, otherForm }

        var field = Field.none
        var isFuzzy = false
        var (message, translation): ([UInt8], [UInt8]) = ([], [])
        var byteCount = 0
        var isInvalid = false
        /// Whether a translation has been met, so that whatever is no string begins another entry.
        var isWhole = false
    }

    func next(_ tally: inout ReadingTally) throws(DatasetError) -> Document? {
        while !isAtEnd {
            guard let step = try reader.next() else {
                isAtEnd = true
                return try finish(&tally)
            }
            switch step {
            // The entry that the line belongs to.
            case .dropped(.tooLong): entry.byteCount = .max
            case .dropped: entry.isInvalid = true
            case .segment(let segment):
                if let document = try take(segment, &tally) { return document }
            }
        }
        return nil
    }

    /// Takes in a line, which may end the entry before it.
    private func take(_ segment: Segment, _ tally: inout ReadingTally) throws(DatasetError)
        -> Document?
    {
        var line = segment.bytes[segment.content]
        line = line.drop { $0 == 0x20 || $0 == 0x09 }
        guard let first = line.first else { return nil }
        if first == 0x22 {
            try append(line, segment.line)
            return nil
        }
        let isComment = first == 0x23
        let keyword = line.prefix { $0 != 0x20 && $0 != 0x09 && $0 != 0x22 }
        let known = isComment ? Entry.Field.none : MessageTextReader.field(keyword)
        guard let field = known else {
            throw error(segment.line, "expected msgid, msgstr or a comment, found another word")
        }
        var document: Document?
        let begins = field == .context || field == .message && entry.field != .context
        if entry.isWhole, isComment || begins { document = try finish(&tally) }
        if isComment {
            if line.starts(with: Array("#,".utf8)), MessageTextReader.isFuzzy(line) {
                entry.isFuzzy = true
            }
            // The flag was one of a message that is no more.
            if line.starts(with: Array("#~".utf8)) { entry.isFuzzy = false }
            return document
        }
        if begins, entry.field != .none {
            throw error(segment.line, "expected msgstr, found another message")
        }
        if field != .context, field != .message, entry.field == .none {
            throw error(segment.line, "expected msgid, found \(MessageTextReader.word(keyword))")
        }
        entry.field = field
        if field == .translation || field == .otherForm { entry.isWhole = true }
        let rest = line.dropFirst(keyword.count).drop { $0 == 0x20 || $0 == 0x09 }
        try append(rest, segment.line)
        return document
    }

    private static func field(_ keyword: ArraySlice<UInt8>) -> Entry.Field? {
        switch word(keyword) {
        case "msgctxt": .context
        case "msgid": .message
        case "msgid_plural": .plural
        case "msgstr", "msgstr[0]": .translation
        case let word where word.hasPrefix("msgstr[") && word.hasSuffix("]"): .otherForm
        default: nil
        }
    }

    private static func word(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes, as: UTF8.self).printable
    }

    private static func isFuzzy(_ line: ArraySlice<UInt8>) -> Bool {
        line.dropFirst(2).split { $0 == 0x2C || $0 == 0x20 || $0 == 0x09 }
            .contains { $0.elementsEqual("fuzzy".utf8) }
    }

    private func error(_ line: Int, _ problem: String) -> DatasetError {
        DatasetError(
            .invalidText,
            "\(reader.path.printablePath): line \(line): \(problem); msgfmt -c checks catalogues")
    }

    /// The document that the entry is; a new one begins.
    private func finish(_ tally: inout ReadingTally) throws(DatasetError) -> Document? {
        let done = entry
        entry = Entry()
        guard done.isWhole else { return nil }
        if done.byteCount > options.limits.documentBytes {
            guard options.long != .error else {
                throw DatasetError(
                    .tooLarge,
                    "\(reader.path.printablePath): expected messages of at most "
                        + "\(options.limits.documentBytes) bytes, found more; drop them, or allow more"
                )
            }
            tally.drop(.tooLong)
        } else if done.isInvalid {
            tally.drop(.invalidText)
        } else if done.isFuzzy {
            tally.drop(.untranslated)
        } else {
            return try Catalogue.document(
                done.message, done.translation, options, path: reader.path, &tally)
        }
        return nil
    }

    // MARK: Strings

    /// Adds a string in quotation marks to the field that it belongs to.
    private func append(_ quoted: ArraySlice<UInt8>, _ line: Int) throws(DatasetError) {
        guard entry.field != .none else { throw error(line, "expected msgid, found a string") }
        guard quoted.first == 0x22 else { throw error(line, "expected a string, found none") }
        guard let text = MessageTextReader.unescaped(quoted.dropFirst()) else {
            throw error(line, "expected a string of C in quotation marks, found another")
        }
        let isKept = entry.field == .message || entry.field == .translation
        guard isKept, entry.byteCount <= options.limits.documentBytes else { return }
        entry.byteCount += text.count
        if entry.field == .message { entry.message += text } else { entry.translation += text }
    }

    /// What a string of C stands for, its last quotation mark included; nil where it is none.
    private static func unescaped(_ quoted: ArraySlice<UInt8>) -> [UInt8]? {
        var (text, index) = ([UInt8](), quoted.startIndex)
        while index < quoted.endIndex {
            let byte = quoted[index]
            index += 1
            if byte == 0x22 {
                let rest = quoted[index...]
                return rest.allSatisfy { $0 == 0x20 || $0 == 0x09 } ? text : nil
            }
            guard byte == 0x5C else {
                text.append(byte)
                continue
            }
            guard let value = escape(quoted, &index) else { return nil }
            text.append(value)
        }
        return nil
    }

    private static func escape(_ text: ArraySlice<UInt8>, _ index: inout Int) -> UInt8? {
        guard index < text.endIndex else { return nil }
        let byte = text[index]
        index += 1
        switch byte {
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "a"): return 0x07
        case UInt8(ascii: "b"): return 0x08
        case UInt8(ascii: "v"): return 0x0B
        case UInt8(ascii: "f"): return 0x0C
        case 0x22, 0x5C, UInt8(ascii: "'"), UInt8(ascii: "?"): return byte
        case UInt8(ascii: "x"): return number(text, &index, radix: 16, digits: 2)
        case 0x30...0x37:
            index -= 1
            return number(text, &index, radix: 8, digits: 3)
        default: return nil
        }
    }

    private static func number(
        _ text: ArraySlice<UInt8>, _ index: inout Int, radix: Int, digits: Int
    ) -> UInt8? {
        var (value, count) = (0, 0)
        while count < digits, index < text.endIndex,
            let digit = Character(Unicode.Scalar(text[index])).hexDigitValue, digit < radix
        {
            value = value * radix + digit
            index += 1
            count += 1
        }
        return count > 0 ? UInt8(exactly: value) : nil
    }
}
