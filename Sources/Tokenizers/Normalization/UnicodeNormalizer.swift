// Whole texts in a composed normalization form. Nearly every character of nearly every text stays as it is, which a table
// of bits tells at once; only from a character that may change, with the one before it, to the next that surely stays is
// anything decomposed and composed.

/// NFC or NFKC (UAX #15) of texts in UTF-8, at the version of `Decompositions`.
package struct UnicodeNormalizer: Sendable {
    private let form: NormalizationForm
    /// A bit for each character below `end`: whether it is its own form, no mark, and joins nothing before it. What is
    /// behind has no form but itself.
    private let stays: [UInt64]
    private static let end: UInt32 = 0x30000

    /// - Parameter isCompatible: NFKC instead of NFC.
    package init(isCompatible: Bool) {
        form = NormalizationForm(isCompatible: isCompatible, composes: true)
        stays = isCompatible ? UnicodeNormalizer.compatible : UnicodeNormalizer.canonical
    }

    private static let canonical = bits(NormalizationForm(isCompatible: false, composes: true))
    private static let compatible = bits(NormalizationForm(isCompatible: true, composes: true))

    private static func bits(_ form: NormalizationForm) -> [UInt64] {
        let data = Decompositions.shared
        let joining = data.joiningCharacters()
        var bits = [UInt64](repeating: .max, count: Int(end) / 64)
        for scalar in UInt32(0xA0)..<end where !data.isInert(scalar) {
            var sink = ByteSink(bytes: [])
            form.write([scalar], to: &sink)
            var itself: [UInt8] = []
            UTF8Text.append(scalar, to: &itself)
            if sink.bytes != itself || data.combiningClass(scalar) != 0 || joining.contains(scalar)
            {
                bits[Int(scalar >> 6)] &= ~(1 << UInt64(scalar & 63))
            }
        }
        return bits
    }

    /// The form of `text`, which is valid UTF-8; nil where that is `text` itself.
    package func normalized(_ text: [UInt8]) -> [UInt8]? {
        let span = text.span
        var sink = ByteSink(bytes: [])
        /// Up to where the text is in `sink`.
        var done = 0
        var index = 0
        while let start = firstChange(in: span, from: index) {
            // What changes may join the character before, which stays by itself and so is the first of its kind.
            let begin = start > done ? UTF8Text.start(before: start, in: span) : start
            var scalars: [UInt32] = []
            index = begin
            while index < span.count {
                let character = UTF8Text.character(in: span, at: index)
                if index > start, isStable(character.scalar) { break }
                scalars.append(character.scalar)
                index += character.byteCount
            }
            if done == 0 { sink.bytes.reserveCapacity(text.count + text.count / 8) }
            sink.bytes += text[done..<begin]
            form.write(scalars, to: &sink)
            done = index
        }
        guard done > 0 else { return nil }
        sink.bytes += text[done...]
        return sink.bytes == text ? nil : sink.bytes
    }

    @inline(__always)
    private func isStable(_ scalar: UInt32) -> Bool {
        scalar >= UnicodeNormalizer.end || stays[Int(scalar >> 6)] >> UInt64(scalar & 63) & 1 == 1
    }

    private func firstChange(in text: Span<UInt8>, from start: Int) -> Int? {
        var index = start
        while index < text.count {
            if index + 8 <= text.count {
                let word = unsafe text.bytes.unsafeLoadUnaligned(
                    fromByteOffset: index, as: UInt64.self)
                if word & 0x8080_8080_8080_8080 == 0 {
                    index += 8
                    continue
                }
            }
            let character = UTF8Text.character(in: text, at: index)
            if !isStable(character.scalar) { return index }
            index += character.byteCount
        }
        return nil
    }
}
