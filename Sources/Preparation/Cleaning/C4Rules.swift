// The rules of C4 (Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section 2.2), in the order of the code
// that made it: a line that goes for its form is not asked for what it says. Thresholds are those of the paper's last
// version and of that code, 5 words a line and 3 sentences; the first version and `datatrove` have 3 and 5.
//
// A sentence ends with `.`, `?` or `!` and what closes quotations and brackets behind, before white space and a character that
// is no small letter, or with 。！？; a point behind an initial or an abbreviation ends none.

enum C4Rules {
    /// What is kept of `text`, or why nothing is.
    static func apply(
        _ text: [UInt8], _ options: CleaningOptions.C4, removed: inout Tally<LineRule>
    ) -> (text: [UInt8], fault: DropReason?) {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var sentences = 0
        let span = text.span
        var start = 0
        var line: [UInt8] = []
        while start < span.count {
            var end = start
            while end < span.count, span[end] != 0x0A { end += 1 }
            let range = TextCharacters.trimmed(span, start..<end)
            start = end + 1
            let words = words(span, range)
            if words.longest > options.longestWord {
                removed[.c4LongWord] += 1
                continue
            }
            line.removeAll(keepingCapacity: true)
            if options.removesCitations {
                appendWithoutCitations(span, range, to: &line)
            } else {
                line += text[range]
            }
            if options.requiresTerminalPunctuation, !endsSentence(line.span) {
                removed[.c4NoTerminalPunctuation] += 1
                continue
            }
            if words.count < options.fewestWordsPerLine {
                removed[.c4FewWords] += 1
                continue
            }
            let found = Phrase.all(in: line.span)
            if options.dropsLoremIpsum, found.contains(.loremIpsum) { return ([], .c4LoremIpsum) }
            if options.removesJavaScriptLines, found.contains(.javaScript) {
                removed[.c4JavaScript] += 1
                continue
            }
            if options.dropsCurlyBrackets, found.contains(.curlyBracket) {
                return ([], .c4CurlyBracket)
            }
            if options.removesPolicyLines, found.contains(.policy) {
                removed[.c4Policy] += 1
                continue
            }
            sentences += Sentences.count(line.span)
            if !result.isEmpty { result.append(0x0A) }
            result += line
        }
        return sentences < options.fewestSentences ? ([], .c4FewSentences) : (result, nil)
    }

    /// Words of a line, and characters of the longest.
    private static func words(
        _ text: Span<UInt8>, _ range: Range<Int>
    ) -> (count: Int, longest: Int) {
        var (count, longest, length, index) = (0, 0, 0, range.lowerBound)
        while index < range.upperBound {
            let spaceBytes = TextCharacters.spaceBytes(text, at: index)
            if spaceBytes > 0 {
                length = 0
                index += spaceBytes
                continue
            }
            if length == 0 { count += 1 }
            if text[index] & 0xC0 != 0x80 { length += 1 }
            longest = max(longest, length)
            index += 1
        }
        return (count, longest)
    }

    private static let citations = ["edit", "citation needed"].map { Array($0.utf8) }

    /// `range` of `text` without `[12]`, `[]`, `[edit]`, `[citation needed]`, and the white space that they leave at its end.
    private static func appendWithoutCitations(
        _ text: Span<UInt8>, _ range: Range<Int>, to line: inout [UInt8]
    ) {
        var index = range.lowerBound
        while index < range.upperBound {
            if text[index] == 0x5B,
                let end = citationEnd(text, index + 1, before: range.upperBound)
            {
                index = end
                continue
            }
            line.append(text[index])
            index += 1
        }
        let end = TextCharacters.endWithoutSpace(line.span, 0..<line.count)
        line.removeLast(line.count - end)
    }

    private static func citationEnd(_ text: Span<UInt8>, _ start: Int, before end: Int) -> Int? {
        var index = start
        while index < end, TextCharacters.isDigit(text[index]) { index += 1 }
        if index < end, text[index] == 0x5D { return index + 1 }
        for word in citations where start + word.count < end && text[start + word.count] == 0x5D {
            if word.indices.allSatisfy({ text[start + $0] == word[$0] }) {
                return start + word.count + 1
            }
        }
        return nil
    }

    /// Whether a line ends with terminal punctuation, and not with three points.
    private static func endsSentence(_ line: Span<UInt8>) -> Bool {
        let end = line.count
        guard end > 0 else { return false }
        switch line[end - 1] {
        case 0x2E: return !(end >= 3 && line[end - 2] == 0x2E && line[end - 3] == 0x2E)
        case 0x21, 0x3F, 0x22, 0x27: return true
        // ” and ’
        case 0x99, 0x9D: return end >= 3 && line[end - 2] == 0x80 && line[end - 3] == 0xE2
        default: return false
        }
    }
}

extension C4Rules {
    /// What a line says.
    private struct Phrase: OptionSet {
        let rawValue: Int
        static let loremIpsum = Phrase(rawValue: 1)
        static let javaScript = Phrase(rawValue: 2)
        static let curlyBracket = Phrase(rawValue: 4)
        static let policy = Phrase(rawValue: 8)

        private static let texts: [(text: [UInt8], phrase: Phrase)] = {
            let phrases: [(String, Phrase)] = [
                ("lorem ipsum", .loremIpsum), ("javascript", .javaScript), ("{", .curlyBracket),
                ("terms of use", .policy), ("privacy policy", .policy), ("cookie policy", .policy),
                ("uses cookies", .policy), ("use of cookies", .policy), ("use cookies", .policy),
            ]
            return phrases.map { (Array($0.0.utf8), $0.1) }
        }()

        /// Whether a phrase begins with two bytes, letters small or not; a phrase of one byte with any second.
        private static let begins: [Bool] = (0..<0x10000).map { pair in
            let first = TextCharacters.folded(UInt8(pair >> 8))
            let second = TextCharacters.folded(UInt8(pair & 0xFF))
            return texts.contains {
                $0.text[0] == first && ($0.text.count == 1 || $0.text[1] == second)
            }
        }

        static func all(in line: Span<UInt8>) -> Phrase {
            var found: Phrase = []
            let begins = begins.span
            for index in line.indices {
                let second = index + 1 < line.count ? line[index + 1] : 0
                guard begins[Int(line[index]) << 8 | Int(second)] else { continue }
                for (text, phrase) in texts
                where TextCharacters.hasFolded(line, text, at: index, before: line.count) {
                    found.insert(phrase)
                }
            }
            return found
        }
    }
}

/// Sentences of a line.
enum Sentences {
    private static let abbreviations: [[UInt8]] = [
        "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "no", "nos", "fig", "figs", "eq",
        "vol", "pp", "ed", "eds", "al", "inc", "ltd", "co", "corp", "dept", "gen", "col", "lt",
        "sgt", "capt", "rev", "hon", "gov", "sen", "rep", "approx", "cf", "ca", "jan", "feb",
        "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
    ].map { Array($0.utf8) }

    static func count(_ line: Span<UInt8>) -> Int {
        var (count, index, hasRest) = (0, 0, false)
        while index < line.count {
            let byte = line[index]
            if byte >= 0x80, isIdeographicEnd(line, index) {
                (count, hasRest) = (count + 1, false)
                index += 3
                continue
            }
            guard byte == 0x2E || byte == 0x21 || byte == 0x3F else {
                if !TextCharacters.isASCIISpace(byte) { hasRest = true }
                index += 1
                continue
            }
            let mark = index
            index = closingEnd(line, index + 1)
            if isEnd(line, mark: mark, next: index) {
                (count, hasRest) = (count + 1, false)
            } else {
                hasRest = true
            }
        }
        return count + (hasRest ? 1 : 0)
    }

    /// U+3002, U+FF01 or U+FF1F.
    private static func isIdeographicEnd(_ line: Span<UInt8>, _ index: Int) -> Bool {
        guard index + 2 < line.count else { return false }
        switch (line[index], line[index + 1], line[index + 2]) {
        case (0xE3, 0x80, 0x82), (0xEF, 0xBC, 0x81), (0xEF, 0xBC, 0x9F): return true
        default: return false
        }
    }

    /// Where further marks, quotation marks and brackets behind a mark end.
    private static func closingEnd(_ line: Span<UInt8>, _ start: Int) -> Int {
        var index = start
        while index < line.count {
            switch line[index] {
            case 0x2E, 0x21, 0x3F, 0x22, 0x27, 0x29, 0x5D: index += 1
            case 0xE2
            where index + 2 < line.count && line[index + 1] == 0x80
                && (line[index + 2] == 0x99 || line[index + 2] == 0x9D):
                index += 3
            default: return index
            }
        }
        return index
    }

    private static func isEnd(_ line: Span<UInt8>, mark: Int, next: Int) -> Bool {
        if next >= line.count { return true }
        var index = next
        while index < line.count, TextCharacters.isASCIISpace(line[index]) { index += 1 }
        if index == next { return false }
        if index < line.count, 0x61...0x7A ~= line[index] { return false }
        return !(line[mark] == 0x2E && next == mark + 1 && isAbbreviated(line, point: mark))
    }

    /// Whether an initial, `e.g`, or an abbreviation of the list stands before the point.
    private static func isAbbreviated(_ line: Span<UInt8>, point: Int) -> Bool {
        var start = point
        while start > 0, TextCharacters.isLetter(line[start - 1]) { start -= 1 }
        if start == point { return false }
        if point - start == 1 {
            return start == 0
                || !TextCharacters.isWordByte(line[start - 1]) && line[start - 1] != 0x27
        }
        if start > 0, TextCharacters.isWordByte(line[start - 1]) { return false }
        return abbreviations.contains {
            $0.count == point - start
                && TextCharacters.hasFolded(line, $0, at: start, before: point)
        }
    }
}
