// The repetition rules of Gopher (Rae et al. 2021, appendix A.1.1 and table A1). Shares are of characters of the whole
// text. As in `datatrove`, a repeated line, paragraph or n-gram counts from its second time on, and an n-gram that was
// counted is passed over whole, so that no character counts twice.
//
// An n-gram can be repeated only where the (n − 1)-gram at its start is. So each length looks at what the one before has
// left, which in ordinary text is soon next to nothing.

/// The repetition rules, with the memory that they use again.
struct GopherRepetition {
    private var counter = KeyCounter()
    /// Words where an n-gram starts that may be repeated, the n-grams' hashes, and their numbers in `counter`.
    private var places: [Int] = []
    private var hashes: [UInt64] = []
    private var numbers: [Int] = []

    mutating func fault(
        _ text: Span<UInt8>, _ shape: TextShape, _ options: CleaningOptions.GopherRepetition
    ) -> DropReason? {
        let characters = Double(max(1, shape.characters))
        let paragraphs = repeated(text, TextCharacters.trimmed(text, 0..<text.count), breaks: 2)
        if paragraphs.share > options.duplicateParagraphs { return .gopherDuplicateParagraphs }
        if Double(paragraphs.characters) / characters > options.duplicateParagraphCharacters {
            return .gopherDuplicateParagraphCharacters
        }
        let lines = repeated(text, 0..<text.count, breaks: 1)
        if lines.share > options.duplicateLines { return .gopherDuplicateLines }
        if Double(lines.characters) / characters > options.duplicateLineCharacters {
            return .gopherDuplicateLineCharacters
        }
        return nGramFault(shape, characters, options)
    }

    private struct Repeated {
        var pieces = 0
        var repeated = 0
        var characters = 0
        var share: Double { Double(repeated) / Double(max(1, pieces)) }
    }

    /// Pieces of `range` that at least `breaks` line feeds separate, and how many of them were there before.
    private mutating func repeated(
        _ text: Span<UInt8>, _ range: Range<Int>, breaks: Int
    ) -> Repeated {
        var pieces: [Range<Int>] = []
        hashes.removeAll(keepingCapacity: true)
        var start = range.lowerBound
        while start < range.upperBound {
            // The piece goes on over runs of line feeds that are too short.
            var (end, next) = (start, start)
            while end < range.upperBound {
                while end < range.upperBound, text[end] != 0x0A { end += 1 }
                next = end
                while next < range.upperBound, text[next] == 0x0A { next += 1 }
                if next - end >= breaks || next == range.upperBound { break }
                end = next
            }
            if end > start {
                pieces.append(start..<end)
                hashes.append(CleaningHash.of(text, start..<end))
            }
            start = max(next, end)
        }
        var result = Repeated(pieces: pieces.count)
        number()
        // Numbers go up by one with each piece that is new.
        var new = 0
        for (piece, number) in zip(pieces, numbers) {
            if number == new {
                new += 1
            } else {
                result.repeated += 1
                result.characters += TextCharacters.count(text, piece)
            }
        }
        return result
    }

    /// Counts `hashes`, and numbers them.
    private mutating func number() {
        if numbers.count > hashes.count { numbers.removeLast(numbers.count - hashes.count) }
        while numbers.count < hashes.count { numbers.append(0) }
        counter.count(hashes, numbers: &numbers)
    }

    private static let topReasons: [DropReason] = [
        .gopherTop2Grams, .gopherTop3Grams, .gopherTop4Grams,
    ]
    private static let duplicateReasons: [DropReason] = [
        .gopherDuplicate5Grams, .gopherDuplicate6Grams, .gopherDuplicate7Grams,
        .gopherDuplicate8Grams, .gopherDuplicate9Grams, .gopherDuplicate10Grams,
    ]

    private mutating func nGramFault(
        _ shape: TextShape, _ characters: Double, _ options: CleaningOptions.GopherRepetition
    ) -> DropReason? {
        let words = shape.words.span
        places.removeAll(keepingCapacity: true)
        hashes.removeAll(keepingCapacity: true)
        for index in words.indices.dropLast() {
            places.append(index)
            hashes.append(CleaningHash.joined(words[index].hash, words[index + 1].hash))
        }
        for length in 2...10 {
            if length > 2 { lengthen(words, to: length) }
            if places.isEmpty { return nil }
            number()
            if length <= 4 {
                let share = Double(topCharacters(words, length)) / characters
                if share > options.topNGramCharacters[length - 2] {
                    return GopherRepetition.topReasons[length - 2]
                }
            } else {
                let share = Double(repeatedCharacters(words, length)) / characters
                if share > options.duplicateNGramCharacters[length - 5] {
                    return GopherRepetition.duplicateReasons[length - 5]
                }
            }
        }
        return nil
    }

    /// Leaves the places whose n-gram is repeated and does not end the text, and takes the next word in.
    private mutating func lengthen(_ words: Span<TextShape.Word>, to length: Int) {
        var kept = 0
        for index in places.indices where counter.occurrences(numbers[index]) > 1 {
            let last = places[index] + length - 1
            guard last < words.count else { continue }
            hashes[kept] = CleaningHash.joined(hashes[index], words[last].hash)
            places[kept] = places[index]
            kept += 1
        }
        places.removeLast(places.count - kept)
        hashes.removeLast(hashes.count - kept)
    }

    @inline(__always)
    private func characters(_ words: Span<TextShape.Word>, _ start: Int, _ length: Int) -> Int {
        var count = 0
        for index in start..<start + length { count += words[index].characters }
        return count
    }

    /// Characters of all occurrences of the most frequent n-gram, the first of equally frequent ones, with a space between
    /// words; none where it is there once.
    private func topCharacters(_ words: Span<TextShape.Word>, _ length: Int) -> Int {
        var (top, most) = (0, 1)
        for number in 0..<counter.count where counter.occurrences(number) > most {
            (top, most) = (number, counter.occurrences(number))
        }
        guard most > 1, let place = numbers.firstIndex(of: top) else { return 0 }
        return most * (characters(words, places[place], length) + length - 1)
    }

    /// Characters of words in n-grams that were there before and do not overlap.
    private func repeatedCharacters(_ words: Span<TextShape.Word>, _ length: Int) -> Int {
        var seen = [Bool](repeating: false, count: counter.count)
        var (count, next) = (0, 0)
        for (place, number) in zip(places, numbers) where place >= next {
            if seen[number] {
                count += characters(words, place, length)
                next = place + length
            } else {
                seen[number] = true
            }
        }
        return count
    }
}
