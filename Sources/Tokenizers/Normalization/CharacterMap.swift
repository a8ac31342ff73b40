// SentencePiece's rules of normalization: a double-array trie (Darts) from texts to offsets into their replacements, as a
// model holds it (`precompiled_charsmap`). How the library looks things up is odd and kept: a cluster of up to five bytes
// gives way to the replacement of its shortest beginning that has one; longer ones go character by character.

/// A precompiled character map.
final class CharacterMap: Sendable, Equatable {
    /// As the file holds it: length of the trie in bytes, its units of 32 bits, texts that end in zeros.
    let bytes: [UInt8]
    private let units: [UInt32]
    private let texts: [UInt8]
    /// The replacement of each character of ASCII; nil where it has none.
    private let ascii: [[UInt32]?]

    /// Longest cluster that is looked up as a whole, in bytes.
    private static let longestCluster = 5

    init(bytes: [UInt8], name: String) throws(TokenizerError) {
        func corrupt(_ found: String) -> TokenizerError {
            TokenizerError(
                .corrupt,
                "\(name): precompiled_charsmap: expected a trie and its texts, found \(found)")
        }
        func unit(_ index: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[index + $1]) << UInt32(8 * $1) }
        }
        guard bytes.count >= 4 else { throw corrupt("\(bytes.count) bytes") }
        let count = Int(unit(0)) / 4
        guard count > 0, bytes.count >= 4 + 4 * count else {
            throw corrupt("\(bytes.count) bytes for \(count) units")
        }
        self.bytes = bytes
        let units = (0..<count).map { unit(4 + 4 * $0) }
        let texts = Array(bytes[(4 + 4 * count)...])
        guard UTF8Text.isValid(texts) else { throw corrupt("texts that are not UTF-8") }
        (self.units, self.texts) = (units, texts)
        ascii = (UInt8.min..<128).map { byte in
            CharacterMap.replacement(of: [byte], units, texts).map {
                UTF8Text.scalars(of: Array($0))
            }
        }
    }

    static func == (left: CharacterMap, right: CharacterMap) -> Bool { left.bytes == right.bytes }

    /// The replacement of the shortest beginning of `text` that has one.
    private static func replacement(
        of text: ArraySlice<UInt8>, _ units: [UInt32], _ texts: [UInt8]
    ) -> ArraySlice<UInt8>? {
        func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << (8 * Int(unit >> 9 & 1)) }
        var node = offset(units[0])
        for byte in text {
            guard byte != 0 else { return nil }
            node ^= Int(byte)
            guard node < units.count, units[node] & (1 << 31 | 0xFF) == UInt32(byte) else {
                return nil
            }
            let unit = units[node]
            node ^= offset(unit)
            guard unit >> 8 & 1 == 1 else { continue }
            guard node < units.count else { return nil }
            let start = Int(units[node] & (1 << 31 - 1))
            // A replacement that begins within a character or outside of all is none.
            guard start <= texts.count, start == texts.count || texts[start] & 0xC0 != 0x80 else {
                return nil
            }
            let end = texts[start...].firstIndex(of: 0) ?? texts.count
            return texts[start..<end]
        }
        return nil
    }

    /// Writes the normalized text; false where it stays as it is.
    func write(_ text: [UInt8], to sink: inout some TextSink) -> Bool {
        var changes = Changes()
        var index = 0
        while index < text.count {
            let byte = text[index]
            if CharacterMap.isBoundary(index + 1, in: text) {
                // A character of ASCII is a cluster of its own.
                if let replacement = ascii[Int(byte)] {
                    changes.replace(1, with: replacement, &sink)
                } else {
                    changes.append(UInt32(byte), 0, &sink)
                }
                index += 1
                continue
            }
            var end = index + 1
            while !CharacterMap.isBoundary(end, in: text) { end += 1 }
            for character in String(decoding: text[index..<end], as: UTF8.self) {
                replace(Array(character.utf8), &changes, &sink)
            }
            index = end
        }
        changes.finish(&sink)
        return changes.isModified
    }

    /// Whether one cluster surely ends and another begins before byte `index`: between characters of ASCII, but for
    /// the two that end a line.
    @inline(__always)
    private static func isBoundary(_ index: Int, in text: [UInt8]) -> Bool {
        guard index < text.count else { return true }
        return text[index - 1] < 0x80 && text[index] < 0x80
            && (text[index - 1] != 0x0D || text[index] != 0x0A)
    }

    /// Replaces a cluster, or its characters one by one.
    private func replace(
        _ cluster: [UInt8], _ changes: inout Changes, _ sink: inout some TextSink
    ) {
        if cluster.count <= CharacterMap.longestCluster,
            let text = CharacterMap.replacement(of: cluster[...], units, texts)
        {
            let count = UTF8Text.count(cluster.span)
            return changes.replace(count, with: UTF8Text.scalars(of: Array(text)), &sink)
        }
        var index = 0
        while index < cluster.count {
            let character = UTF8Text.character(in: cluster.span, at: index)
            let part = cluster[index..<index + character.byteCount]
            if let text = CharacterMap.replacement(of: part, units, texts) {
                changes.replace(1, with: UTF8Text.scalars(of: Array(text)), &sink)
            } else {
                changes.append(character.scalar, 0, &sink)
            }
            index += character.byteCount
        }
    }

    /// What is written, one character behind: a replacement by nothing is counted to the character before it.
    private struct Changes {
        var isModified = false
        private var last: (scalar: UInt32, change: Int)?

        @inline(__always)
        mutating func append(_ scalar: UInt32, _ change: Int, _ sink: inout some TextSink) {
            if let last { sink.emit(last.scalar, change: last.change) }
            last = (scalar, change)
        }

        /// Writes `replacement` in the place of `count` characters.
        mutating func replace(
            _ count: Int, with replacement: [UInt32], _ sink: inout some TextSink
        ) {
            isModified = true
            for (index, scalar) in replacement.enumerated() {
                append(scalar, index < count ? 0 : 1, &sink)
            }
            if replacement.count < count { last?.change += replacement.count - count }
        }

        mutating func finish(_ sink: inout some TextSink) {
            if let last { sink.emit(last.scalar, change: last.change) }
        }
    }
}
