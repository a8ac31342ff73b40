// Lists of words and of domains whose documents go.

import Datasets
import Files
import Tokenizers

extension CleaningFile {
    static func isText(_ bytes: [UInt8]) -> Bool { UTF8Text.isValid(bytes) }
}

/// Words and phrases, found at the borders of words, ASCII letters in either case. Any white space stands for that of a
/// phrase.
struct BlockedWords: Sendable {
    private struct Entry {
        /// In small letters, words with one space between.
        var text: [UInt8]
        /// Its first run of word bytes.
        var run: Range<Int>
    }

    private var entries: [Entry] = []
    /// Numbers of entries by the hash of their first run, one list for all of them: `starts[slot]..<starts[slot + 1]`.
    private var starts: [Int] = []
    private var numbers: [Int] = []
    private var mask: UInt64 = 0
    var isEmpty: Bool { entries.isEmpty }

    init(files: [String]) throws(DatasetError) {
        for file in files {
            for (line, text) in try CleaningFile.entries(file) {
                guard let entry = BlockedWords.entry(text) else {
                    throw DatasetError(
                        .invalidText,
                        "\(file.printablePath) line \(line): expected a letter or a digit, found none"
                    )
                }
                entries.append(entry)
            }
        }
        guard !entries.isEmpty else { return }
        var size: UInt64 = 16
        while size < UInt64(2 * entries.count) { size *= 2 }
        mask = size - 1
        let slots = entries.map { Int(BlockedWords.hash($0.text.span, $0.run) & mask) }
        starts = [Int](repeating: 0, count: Int(size) + 1)
        for slot in slots { starts[slot + 1] += 1 }
        for slot in 0..<Int(size) { starts[slot + 1] += starts[slot] }
        var next = starts
        numbers = [Int](repeating: 0, count: entries.count)
        for (number, slot) in slots.enumerated() {
            numbers[next[slot]] = number
            next[slot] += 1
        }
    }

    private static func entry(_ text: [UInt8]) -> Entry? {
        var folded: [UInt8] = []
        var index = 0
        while index < text.count {
            let spaceBytes = TextCharacters.spaceBytes(text.span, at: index)
            if spaceBytes > 0 {
                if folded.last != 0x20 { folded.append(0x20) }
                index += spaceBytes
            } else {
                folded.append(TextCharacters.folded(text[index]))
                index += 1
            }
        }
        guard let start = folded.firstIndex(where: TextCharacters.isWordByte) else { return nil }
        let end = folded[start...].firstIndex { !TextCharacters.isWordByte($0) } ?? folded.count
        return Entry(text: folded, run: start..<end)
    }

    /// FNV-1a of the folded bytes, mixed.
    @inline(__always)
    private static func hash(_ text: Span<UInt8>, _ range: Range<Int>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for index in range {
            hash = (hash ^ UInt64(TextCharacters.folded(text[index]))) &* 0x100_0000_01B3
        }
        return hash ^ hash >> 32
    }

    /// Whether one of them stands in `text`.
    func isFound(in text: Span<UInt8>) -> Bool {
        var index = 0
        while index < text.count {
            guard TextCharacters.isWordByte(text[index]),
                TextCharacters.spaceBytes(text, at: index) == 0
            else {
                index += 1
                continue
            }
            let start = index
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            while index < text.count, TextCharacters.isWordByte(text[index]) {
                hash = (hash ^ UInt64(TextCharacters.folded(text[index]))) &* 0x100_0000_01B3
                index += 1
            }
            let slot = Int((hash ^ hash >> 32) & mask)
            for place in starts[slot]..<starts[slot + 1]
            where isEntry(entries[numbers[place]], text, start..<index) {
                return true
            }
        }
        return false
    }

    /// Whether `entry` stands around its first run, which may be that of `text` in `run`.
    private func isEntry(_ entry: Entry, _ text: Span<UInt8>, _ run: Range<Int>) -> Bool {
        guard run.count == entry.run.count, run.lowerBound >= entry.run.lowerBound else {
            return false
        }
        var (index, place) = (run.lowerBound - entry.run.lowerBound, 0)
        while place < entry.text.count {
            guard index < text.count else { return false }
            if entry.text[place] == 0x20 {
                var count = 0
                while index < text.count {
                    let bytes = TextCharacters.spaceBytes(text, at: index)
                    if bytes == 0 { break }
                    (index, count) = (index + bytes, count + 1)
                }
                guard count > 0 else { return false }
            } else {
                guard TextCharacters.folded(text[index]) == entry.text[place] else { return false }
                index += 1
            }
            place += 1
        }
        let endsWithWord = TextCharacters.isWordByte(entry.text[entry.text.count - 1])
        return !(endsWithWord && index < text.count && TextCharacters.isWordByte(text[index]))
    }
}

/// Domains, whose subdomains are meant too. What is looked at is a document's `address`, not the links in its text. Names are
/// compared as bytes, ASCII letters in either case; international ones must be written alike on both sides.
struct BlockedDomains: Sendable {
    private var domains: Set<[UInt8]> = []
    /// Bytes of the longest.
    private var longest = 0
    var isEmpty: Bool { domains.isEmpty }

    init(files: [String]) throws(DatasetError) {
        for file in files {
            for (line, text) in try CleaningFile.entries(file) {
                var domain = text.map(TextCharacters.folded)[...]
                if domain.starts(with: [0x2A, 0x2E]) { domain = domain.dropFirst(2) }
                if domain.first == 0x2E { domain = domain.dropFirst() }
                if domain.last == 0x2E { domain = domain.dropLast() }
                // A space, a slash, an `@` or a port is of something else: a hosts file, an address.
                let isName = domain.allSatisfy {
                    $0 > 0x20 && $0 != 0x2F && $0 != 0x40 && $0 != 0x3A && $0 != 0x2A
                }
                guard !domain.isEmpty, isName else {
                    throw DatasetError(
                        .invalidText,
                        "\(file.printablePath) line \(line): expected a domain like example.org, "
                            + "found \(String(decoding: text.prefix(80), as: UTF8.self).printablePath)"
                    )
                }
                domains.insert(Array(domain))
                longest = max(longest, domain.count)
            }
        }
    }

    /// Whether the host of `address`, with or without a scheme, lies in one of them.
    func contains(_ address: String) -> Bool {
        guard let host = BlockedDomains.host(Array(address.utf8)) else { return false }
        if domains.contains(host) { return true }
        // No further to the left than the longest reaches: an address may be as long as a document.
        for index in host.indices.suffix(longest + 1) where host[index] == 0x2E {
            if domains.contains(Array(host[(index + 1)...])) { return true }
        }
        return false
    }

    /// The host of an address (RFC 3986, section 3.2), in small letters.
    static func host(_ address: [UInt8]) -> [UInt8]? {
        var rest = address[...]
        if let slash = rest.firstIndex(of: 0x2F), slash + 1 < rest.endIndex, rest[slash + 1] == 0x2F
        {
            rest = rest[(slash + 2)...]
        }
        let end = rest.firstIndex { $0 == 0x2F || $0 == 0x3F || $0 == 0x23 || $0 == 0x5C }
        rest = rest[..<(end ?? rest.endIndex)]
        if let at = rest.lastIndex(of: 0x40) { rest = rest[(at + 1)...] }
        if rest.first == 0x5B {
            rest = rest[..<(rest.firstIndex(of: 0x5D).map { $0 + 1 } ?? rest.endIndex)]
        } else if let colon = rest.firstIndex(of: 0x3A) {
            rest = rest[..<colon]
        }
        while rest.last == 0x2E { rest = rest.dropLast() }
        return rest.isEmpty ? nil : rest.map(TextCharacters.folded)
    }
}
