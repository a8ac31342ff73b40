// The words of a corpus and how often each is there: all that training needs to know of it. Text goes by in blocks of whole
// lines, which the cores share; the counts are added in the order of the blocks, so they do not depend on the cores.

import Dispatch

/// Counts the pieces that a normalizer and a pre-tokenizer make of texts.
package struct WordCounter {
    private let normalizer: Normalizer?
    private let cutter: PieceCutter
    private let threads: Int
    private var words = WordTable()
    /// Bytes that went by.
    package private(set) var byteCount = 0

    /// Words that are kept; beyond, those that were there once are forgotten. They would take some 600 MB.
    private static let mostWords = 1 << 23

    init(normalizer: Normalizer?, cutter: PieceCutter, threads: Int) {
        self.normalizer = normalizer
        self.cutter = cutter
        self.threads = max(1, threads)
    }

    /// Blocks that are best counted at once.
    package var blockCount: Int { threads }

    /// Counts the words of blocks, each of whole lines.
    package mutating func add(_ blocks: [[UInt8]]) throws(TokenizerError) {
        let results = blocks.map { _ in CountResult() }
        let (normalizer, cutter) = (normalizer, cutter)
        DispatchQueue.concurrentPerform(iterations: blocks.count) { index in
            var table = WordTable()
            do throws(TokenizerError) {
                try WordCounter.count(blocks[index], normalizer, cutter, &table)
                results[index].words = table
            } catch {
                results[index].error = error
            }
        }
        for (block, result) in zip(blocks, results) {
            if let error = result.error { throw error }
            words.add(result.words)
            byteCount += block.count
            if words.count > WordCounter.mostWords { words.removeRare() }
        }
    }

    /// A block's counts; one task writes each.
    private final class CountResult: @unchecked Sendable {
        var words = WordTable()
        var error: TokenizerError?
    }

    /// A line, with its end, is a text by itself.
    private static func count(
        _ block: [UInt8], _ normalizer: Normalizer?, _ cutter: PieceCutter, _ words: inout WordTable
    ) throws(TokenizerError) {
        let text = UTF8Text.repaired(block)
        var start = 0
        var line = NormalizedText()
        while start < text.count {
            var end = start
            while end < text.count, text[end] != 0x0A { end += 1 }
            end = min(end + 1, text.count)
            if let normalizer {
                line.set(text.span.extracting(start..<end), from: 0, isAligned: false)
                try normalizer.normalize(&line)
                try cutter.cut(line.bytes.span, into: &words)
            } else {
                try cutter.cut(text.span.extracting(start..<end), into: &words)
            }
            start = end
        }
    }

    /// The words, the most frequent first; those that are as frequent in the order of their bytes.
    package var result: [(text: [UInt8], count: Int)] { words.sorted }
}

/// Cuts normalized texts into pieces.
enum PieceCutter: Sendable {
    case scanner(WordScanner)
    case rules(PreTokenizer)

    fileprivate func cut(
        _ text: Span<UInt8>, into words: inout WordTable
    ) throws(TokenizerError) {
        guard !text.isEmpty else { return }
        switch self {
        case .scanner(let scanner):
            scanner.forEachWord(in: text) { words.add(text.extracting($0), 1) }
        case .rules(let rules):
            var pieces = TextPieces()
            pieces.text.set(text, from: 0, isAligned: false)
            pieces.ranges = [0..<text.count]
            pieces.startsDocument = true
            try rules.apply(to: &pieces)
            for range in pieces.ranges { words.add(pieces.text.bytes.span.extracting(range), 1) }
        }
    }
}

/// Words with their counts.
private struct WordTable: Sendable {
    private var slots = [Int32](repeating: -1, count: 1 << 12)
    private var hashes: [UInt64] = []
    private var ends: [Int] = []
    private var counts: [Int] = []
    private var bytes: [UInt8] = []

    var count: Int { counts.count }

    private func range(_ index: Int) -> Range<Int> {
        (index == 0 ? 0 : ends[index - 1])..<ends[index]
    }

    @inline(__always)
    mutating func add(_ word: Span<UInt8>, _ count: Int) {
        let hash = ByteHash.of(word)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] >= 0 {
            let index = Int(slots[slot])
            if hashes[index] == hash, isEqual(index, word) {
                counts[index] += count
                return
            }
            slot = (slot + 1) & (slots.count - 1)
        }
        slots[slot] = Int32(counts.count)
        hashes.append(hash)
        word.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        ends.append(bytes.count)
        counts.append(count)
        if 2 * counts.count > slots.count { grow() }
    }

    @inline(__always)
    private func isEqual(_ index: Int, _ word: Span<UInt8>) -> Bool {
        let range = range(index)
        guard range.count == word.count else { return false }
        for offset in word.indices where bytes[range.lowerBound + offset] != word[unchecked: offset]
        {
            return false
        }
        return true
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: 2 * slots.count)
        for index in hashes.indices {
            var slot = Int(truncatingIfNeeded: hashes[index]) & (slots.count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(index)
        }
    }

    mutating func add(_ other: WordTable) {
        for index in other.counts.indices {
            add(other.bytes.span.extracting(other.range(index)), other.counts[index])
        }
    }

    mutating func removeRare() {
        var rest = WordTable()
        for index in counts.indices where counts[index] > 1 {
            rest.add(bytes.span.extracting(range(index)), counts[index])
        }
        self = rest
    }

    var sorted: [(text: [UInt8], count: Int)] {
        counts.indices.map { (text: Array(bytes[range($0)]), count: counts[$0]) }.sorted {
            $0.count != $1.count ? $0.count > $1.count : $0.text.lexicographicallyPrecedes($1.text)
        }
    }
}
