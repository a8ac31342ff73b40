// Decompositions, combining classes and compositions of Unicode 9, at which `tokenizers` stopped (its crate
// unicode-normalization-alignments), from the data of Foundation and the standard library. Characters that came later have
// none; those that were there keep theirs (Unicode's stability policy).

import Foundation

/// Unicode's normalization data.
final class Decompositions: Sendable {
    static let shared = Decompositions()

    private static let lastVersion = 9

    /// Characters of full decompositions, one behind another.
    private let scalars: [UInt32]
    /// Where a character's decomposition begins in `scalars`, and its length; nothing where it has none.
    private let canonical: [UInt32: Range<Int>]
    private let compatible: [UInt32: Range<Int>]
    private let combiningClasses: [UInt32: UInt8]
    private let compositions: [UInt64: UInt32]
    /// Whether a character of the pages of 256 below is touched by any of it.
    private let pages: [Bool]

    private init() {
        // A separator that nothing combines with.
        let separator: UInt32 = 1
        var candidates: [UInt32] = []
        var text = ""
        var classes: [UInt32: UInt8] = [:]
        var excluded = Set<UInt32>()
        for value in UInt32(0x80)...0x2FFFF where !Hangul.isSyllable(value) {
            guard let scalar = Unicode.Scalar(value), let age = scalar.properties.age?.major,
                age <= Decompositions.lastVersion
            else { continue }
            candidates.append(value)
            text.unicodeScalars.append(scalar)
            text.unicodeScalars.append(Unicode.Scalar(UInt8(separator)))
            let combiningClass = scalar.properties.canonicalCombiningClass.rawValue
            if combiningClass != 0 { classes[value] = combiningClass }
            if scalar.properties.isFullCompositionExclusion { excluded.insert(value) }
        }
        var scalars: [UInt32] = []
        func table(_ decomposed: String) -> [UInt32: Range<Int>] {
            var table: [UInt32: Range<Int>] = [:]
            var (index, part) = (0, [UInt32]())
            for scalar in decomposed.unicodeScalars {
                if scalar.value != separator {
                    part.append(scalar.value)
                    continue
                }
                if part != [candidates[index]] {
                    table[candidates[index]] = scalars.count..<scalars.count + part.count
                    scalars += part
                }
                (index, part) = (index + 1, [])
            }
            return table
        }
        canonical = table(text.decomposedStringWithCanonicalMapping)
        compatible = table(text.decomposedStringWithCompatibilityMapping)
        combiningClasses = classes
        self.scalars = scalars
        compositions = Decompositions.compositions(canonical, scalars, excluded: excluded)
        var pages = [Bool](repeating: false, count: 0x1100)
        for value in canonical.keys { pages[Int(value >> 8)] = true }
        for value in compatible.keys { pages[Int(value >> 8)] = true }
        for value in classes.keys { pages[Int(value >> 8)] = true }
        for page in 0x11...0xD7 where page == 0x11 || page >= 0xAC { pages[page] = true }
        self.pages = pages
    }

    /// Pairs that compose: a full decomposition without its last character is that of the pair's first, which is the
    /// character itself or one that decomposes so.
    private static func compositions(
        _ canonical: [UInt32: Range<Int>], _ scalars: [UInt32], excluded: Set<UInt32>
    ) -> [UInt64: UInt32] {
        var wholes: [[UInt32]: UInt32] = [:]
        for (value, range) in canonical where !excluded.contains(value) {
            wholes[Array(scalars[range])] = value
        }
        var pairs: [UInt64: UInt32] = [:]
        for (value, range) in canonical where !excluded.contains(value) && range.count >= 2 {
            let head = Array(scalars[range].dropLast())
            let first = head.count == 1 ? head[0] : wholes[head]
            guard let first else { continue }
            pairs[UInt64(first) << 32 | UInt64(scalars[range.upperBound - 1])] = value
        }
        return pairs
    }

    /// Whether normalization leaves `scalar` as it is in all forms and nothing combines with it by class; false may
    /// be wrong, true is right.
    @inline(__always)
    func isInert(_ scalar: UInt32) -> Bool { scalar < 0xA0 || !pages[Int(scalar >> 8)] }

    func combiningClass(_ scalar: UInt32) -> UInt8 {
        isInert(scalar) ? 0 : combiningClasses[scalar] ?? 0
    }

    /// Calls `body` with each character of the full decomposition, in order.
    @inline(__always)
    func decompose(_ scalar: UInt32, compatibly: Bool, _ body: (UInt32) -> Void) {
        if isInert(scalar) { return body(scalar) }
        if Hangul.isSyllable(scalar) { return Hangul.decompose(scalar, body) }
        guard let range = (compatibly ? compatible : canonical)[scalar] else { return body(scalar) }
        for index in range { body(scalars[index]) }
    }

    /// Characters from a starter to the next, sorted by combining class; those of one class stay in their order.
    func inCanonicalOrder<Part>(_ parts: [Part], _ scalar: (Part) -> UInt32) -> [Part] {
        guard parts.count > 1 else { return parts }
        let sorted = parts.enumerated().map {
            (combiningClass: combiningClass(scalar($0.element)), index: $0.offset)
        }.sorted { ($0.combiningClass, $0.index) < ($1.combiningClass, $1.index) }
        return sorted.map { parts[$0.index] }
    }

    func inCanonicalOrder(_ scalars: [UInt32]) -> [UInt32] { inCanonicalOrder(scalars) { $0 } }

    /// Characters that may join the one before them, in no order.
    func joiningCharacters() -> Set<UInt32> {
        Set(compositions.keys.map { UInt32(truncatingIfNeeded: $0) }).union(Hangul.joining)
    }

    /// The character that `first` and `second` make together.
    func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if let syllable = Hangul.compose(first, second) { return syllable }
        return compositions[UInt64(first) << 32 | UInt64(second)]
    }
}

/// Hangul syllables decompose by arithmetic (The Unicode Standard, section 3.12).
private enum Hangul {
    private static let (syllables, leads, vowels, trails) =
        (UInt32(0xAC00), UInt32(0x1100), UInt32(0x1161), UInt32(0x11A7))
    private static let (leadCount, vowelCount, trailCount) = (UInt32(19), UInt32(21), UInt32(28))

    /// Vowels and trailing consonants, which join what stands before them.
    static var joining: [UInt32] {
        Array(vowels..<vowels + vowelCount) + Array(trails + 1..<trails + trailCount)
    }

    @inline(__always)
    static func isSyllable(_ scalar: UInt32) -> Bool { 0xAC00...0xD7A3 ~= scalar }

    static func decompose(_ scalar: UInt32, _ body: (UInt32) -> Void) {
        let index = scalar - syllables
        body(leads + index / (vowelCount * trailCount))
        body(vowels + index % (vowelCount * trailCount) / trailCount)
        if index % trailCount != 0 { body(trails + index % trailCount) }
    }

    static func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if leads..<leads + leadCount ~= first, vowels..<vowels + vowelCount ~= second {
            return syllables + ((first - leads) * vowelCount + second - vowels) * trailCount
        }
        if isSyllable(first), (first - syllables) % trailCount == 0,
            trails + 1..<trails + trailCount ~= second
        {
            return first + second - trails
        }
        return nil
    }
}
