// Whether a document holds a piece of a test set: n words in a row that stand in both, whatever their case and punctuation
// (Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C, with n = 13 at most).

import Datasets

/// The runs of `words` words of test sets, by their hashes: 20 to 40 bytes each. A text of fewer words, but of `shortest` at
/// least, is one run.
///
/// A run that is none is taken for one with a probability of the number of runs / 2⁶⁴.
package struct ContaminationIndex: Sendable {
    /// Words of a run.
    package let words: Int
    /// Texts of the test sets that have too few words to be looked for.
    package private(set) var tooShort = 0
    /// Distinct runs.
    package private(set) var count = 0

    private let shortest: Int
    /// Lengths of runs that there are, and the windows of them.
    private var lengths: [Int] = []
    private var windows: [WordWindow] = []
    /// Open addressing; 0: nothing here.
    private var slots = [UInt64](repeating: 0, count: 1 << 10)
    /// A bit of a slot's neighbourhood: most words of a document end here, in the cache.
    private var filter = [UInt64](repeating: 0, count: 1 << 10)

    /// What a document has in common with the test sets.
    package struct Overlap: Sendable, Equatable {
        /// Places of the document at which a run of the test sets ends.
        package var count: Int
        /// The bytes of the first, from its first word to the end of its last, and which part they stand in.
        package var first: (part: Int, bytes: Range<Int>)?

        package static func == (one: Overlap, other: Overlap) -> Bool {
            one.count == other.count && one.first?.part == other.first?.part
                && one.first?.bytes == other.first?.bytes
        }
    }

    /// - Parameters:
    ///   - words: of a run, 1 to 64.
    ///   - shortest: words that a text must have to be looked for as a whole, 1 to `words`.
    package init(words: Int = 13, shortest: Int = 8) {
        precondition(
            1...64 ~= words && 1...words ~= shortest,
            "ContaminationIndex: expected 1 to 64 words, got \(words) and \(shortest)")
        (self.words, self.shortest) = (words, shortest)
    }

    package init(_ texts: [[UInt8]], words: Int = 13, shortest: Int = 8) {
        self.init(words: words, shortest: shortest)
        for text in texts { insert(text) }
    }

    /// Adds a text of a test set: UTF-8.
    package mutating func insert(_ text: [UInt8]) {
        var hashes: [UInt64] = []
        text.withUnsafeBufferPointer { text in
            WordHashes.each(in: text) { hash, _, _ in hashes.append(hash) }
        }
        guard hashes.count >= shortest else {
            tooShort += 1
            return
        }
        let length = min(words, hashes.count)
        let window = WordWindow(width: length)
        if !lengths.contains(length) {
            lengths.append(length)
            windows.append(window)
        }
        var run: UInt64 = 0
        for index in hashes.indices {
            run = window.next(
                run, in: hashes[index], out: index < length ? 0 : hashes[index - length])
            if index + 1 >= length { insert(ContaminationIndex.key(run, length)) }
        }
    }

    /// What `parts` have in common with the test sets; no run goes from one part to the next.
    package func overlap(of parts: [Document.Part]) -> Overlap {
        var result = Overlap(count: 0, first: nil)
        guard count > 0 else { return result }
        // The last 64 words and where they begin; a word's place is its number modulo 64.
        var recent = [UInt64](repeating: 0, count: 64)
        var starts = [Int](repeating: 0, count: 64)
        for (part, content) in parts.enumerated() {
            var runs = [UInt64](repeating: 0, count: lengths.count)
            var number = 0
            content.text.withUnsafeBufferPointer { text in
                WordHashes.each(in: text) { hash, start, end in
                    var matched = 0
                    for index in lengths.indices {
                        let length = lengths[index]
                        runs[index] = windows[index].next(
                            runs[index], in: hash,
                            out: number < length ? 0 : recent[(number - length) & 63])
                        if number + 1 >= length,
                            contains(ContaminationIndex.key(runs[index], length))
                        {
                            matched = max(matched, length)
                        }
                    }
                    (recent[number & 63], starts[number & 63]) = (hash, start)
                    number += 1
                    guard matched > 0 else { return }
                    result.count += 1
                    if result.first == nil {
                        result.first = (part, starts[(number - matched) & 63]..<end)
                    }
                }
            }
        }
        return result
    }

    @inline(__always)
    private static func key(_ run: UInt64, _ length: Int) -> UInt64 {
        max(1, WordHashes.mixed(run &+ UInt64(length)))
    }

    private mutating func insert(_ key: UInt64) {
        if contains(key) { return }
        if 2 * (count + 1) > slots.count { grow() }
        place(key)
        count += 1
    }

    private mutating func grow() {
        let old = slots
        slots = [UInt64](repeating: 0, count: 2 * old.count)
        filter = [UInt64](repeating: 0, count: slots.count / 4)
        for key in old where key != 0 { place(key) }
    }

    private mutating func place(_ key: UInt64) {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: key) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = key
        let bit = Int(truncatingIfNeeded: key >> 20) & (64 * filter.count - 1)
        filter[bit >> 6] |= 1 << UInt64(bit & 63)
    }

    @inline(__always)
    private func contains(_ key: UInt64) -> Bool {
        let bit = Int(truncatingIfNeeded: key >> 20) & (64 * filter.count - 1)
        guard filter[bit >> 6] >> UInt64(bit & 63) & 1 == 1 else { return false }
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: key) & mask
        while slots[slot] != 0 {
            if slots[slot] == key { return true }
            slot = (slot + 1) & mask
        }
        return false
    }
}
