// The quality rules of Gopher (Rae et al. 2021, "Scaling Language Models", appendix A.1.1). Where the paper leaves open
// what is counted, it is what `datatrove` counts, which made FineWeb with these rules:
//
// * number and mean length of words: words with something that is no punctuation;
// * the other shares: of all words, and of all lines, blank ones too;
// * a bullet is `•` or `-`, an ellipsis `…` or `...`.
//
// Stop words are looked for in either case and without the punctuation around a word.

enum GopherQuality {
    static func fault(
        _ text: Span<UInt8>, _ shape: TextShape, _ options: CleaningOptions.GopherQuality
    ) -> DropReason? {
        if shape.wordlyWords < options.fewestWords { return .gopherFewWords }
        if shape.wordlyWords > options.mostWords { return .gopherManyWords }
        let mean = Double(shape.wordlyCharacters) / Double(max(1, shape.wordlyWords))
        if mean < options.shortestMeanWord { return .gopherShortWords }
        if mean > options.longestMeanWord { return .gopherLongWords }

        let (hashes, ellipses) = symbols(text)
        let words = Double(max(1, shape.words.count))
        if Double(hashes) / words > options.mostSymbolsPerWord { return .gopherHashes }
        if Double(ellipses) / words > options.mostSymbolsPerWord { return .gopherEllipses }

        let lines = lines(text)
        let lineCount = Double(max(1, lines.count))
        if Double(lines.bullets) / lineCount > options.mostBulletLines { return .gopherBulletLines }
        if Double(lines.ellipses) / lineCount > options.mostEllipsisLines {
            return .gopherEllipsisLines
        }
        if Double(shape.letteredWords) / words < options.fewestLetteredWords {
            return .gopherLetteredWords
        }
        if stopWordCount(text, shape, atMost: options.fewestStopWords) < options.fewestStopWords {
            return .gopherStopWords
        }
        return nil
    }

    /// Hash signs, and ellipses of three points or of one character.
    private static func symbols(_ text: Span<UInt8>) -> (hashes: Int, ellipses: Int) {
        var (hashes, ellipses, points) = (0, 0, 0)
        for index in text.indices {
            let byte = text[index]
            if byte == 0x2E {
                points += 1
                if points == 3 { (ellipses, points) = (ellipses + 1, 0) }
                continue
            }
            points = 0
            if byte == 0x23 {
                hashes += 1
            } else if byte == 0xA6, isEllipsis(text, endingAt: index + 1, after: 0) {
                ellipses += 1
            }
        }
        return (hashes, ellipses)
    }

    /// Whether U+2026 ends at `end`.
    private static func isEllipsis(_ text: Span<UInt8>, endingAt end: Int, after start: Int) -> Bool
    {
        end - start >= 3 && text[end - 1] == 0xA6 && text[end - 2] == 0x80 && text[end - 3] == 0xE2
    }

    private static func lines(
        _ text: Span<UInt8>
    ) -> (count: Int, bullets: Int, ellipses: Int) {
        var (count, bullets, ellipses, start) = (0, 0, 0, 0)
        while start < text.count {
            var end = start
            while end < text.count, text[end] != 0x0A { end += 1 }
            count += 1
            let line = TextCharacters.trimmed(text, start..<end)
            if !line.isEmpty {
                let first = line.lowerBound
                // A hyphen, or U+2022.
                let isBullet =
                    text[first] == 0x2D
                    || line.count >= 3 && text[first] == 0xE2 && text[first + 1] == 0x80
                        && text[first + 2] == 0xA2
                if isBullet { bullets += 1 }
                let last = line.upperBound
                let hasPoints =
                    line.count >= 3 && text[last - 1] == 0x2E && text[last - 2] == 0x2E
                    && text[last - 3] == 0x2E
                if hasPoints || isEllipsis(text, endingAt: last, after: first) { ellipses += 1 }
            }
            start = end + 1
        }
        return (count, bullets, ellipses)
    }

    private static let stopWords = ["the", "be", "to", "of", "and", "that", "have", "with"]
        .map { Array($0.utf8) }

    /// Different stop words; no more are looked for than `most`.
    private static func stopWordCount(
        _ text: Span<UInt8>, _ shape: TextShape, atMost most: Int
    ) -> Int {
        var found = 0
        var seen: UInt = 0
        let stopWords = stopWords
        let classes = TextCharacters.classes.span
        for word in shape.words {
            if found >= most { break }
            let (start, end) = core(text, word, classes)
            guard 2...4 ~= end - start else { continue }
            for (number, stopWord) in stopWords.enumerated()
            where stopWord.count == end - start && seen >> UInt(number) & 1 == 0
                && TextCharacters.hasFolded(text, stopWord, at: start, before: end)
            {
                seen |= 1 << UInt(number)
                found += 1
            }
        }
        return found
    }

    /// A word without what is neither a letter nor a digit at its ends.
    @inline(__always)
    private static func core(
        _ text: Span<UInt8>, _ word: TextShape.Word, _ classes: Span<TextCharacterClass>
    ) -> (start: Int, end: Int) {
        var (start, end) = (word.start, word.end)
        while start < end {
            let (scalar, bytes) = TextCharacters.character(text, at: start)
            if TextCharacters.classOf(scalar, classes).contains(.wordly) { break }
            start += bytes
        }
        while start < end {
            var last = end - 1
            while last > start, text[last] & 0xC0 == 0x80 { last -= 1 }
            let (scalar, _) = TextCharacters.character(text, at: last)
            if TextCharacters.classOf(scalar, classes).contains(.wordly) { break }
            end = last
        }
        return (start, end)
    }
}
