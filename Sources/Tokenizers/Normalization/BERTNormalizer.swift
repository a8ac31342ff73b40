/// BERT's clean-up (google-research/bert, `BasicTokenizer`): control characters go and white space becomes a space;
/// ideographs stand alone; accents go; letters become small.
struct BERTNormalizer: Sendable, Equatable {
    let cleansText: Bool
    let separatesIdeographs: Bool
    let stripsAccents: Bool
    let lowercases: Bool

    private static let decomposition = NormalizationForm(isCompatible: false, composes: false)

    func normalize(_ text: inout NormalizedText) {
        if text.alignments.isEmpty {
            var sink = ByteSink(bytes: [])
            sink.bytes.reserveCapacity(text.bytes.count + text.bytes.count / 8 + 16)
            write(text.bytes.span, to: &sink)
            text.bytes = sink.bytes
        } else {
            align(&text)
        }
    }

    // MARK: With alignments: a pass over the text for each rule

    private func align(_ text: inout NormalizedText) {
        let classes = CharacterClasses.shared
        func pass(_ rule: (Span<UInt8>, inout AlignedSink) -> Void) {
            guard !text.bytes.isEmpty else { return }
            var sink = AlignedSink(source: text)
            rule(text.bytes.span, &sink)
            text = sink.result
        }
        if cleansText {
            pass { text, sink in Normalizer.filter(text, to: &sink) { clean($0, classes) } }
        }
        if separatesIdeographs {
            pass { text, sink in
                forEach(text) { scalar in
                    guard classes[scalar].contains(.ideograph) else {
                        return sink.replace(with: scalar, removing: 0)
                    }
                    sink.replace(with: 0x20, removing: 0)
                    sink.insert(scalar)
                    sink.insert(0x20)
                }
            }
        }
        if stripsAccents {
            let scalars = UTF8Text.scalars(of: text.bytes)
            pass { _, sink in BERTNormalizer.decomposition.write(scalars, to: &sink) }
            pass { text, sink in
                Normalizer.filter(text, to: &sink) {
                    classes[$0].contains(.nonspacingMark) ? nil : $0
                }
            }
        }
        if lowercases {
            pass { text, sink in forEach(text) { Lowercase.write($0, change: 0, to: &sink) } }
        }
    }

    @inline(__always)
    private func clean(_ scalar: UInt32, _ classes: CharacterClasses) -> UInt32? {
        if 0x20..<0x7F ~= scalar { return scalar }
        if scalar == 0x09 || scalar == 0x0A || scalar == 0x0D { return 0x20 }
        if scalar == 0 || scalar == 0xFFFD { return nil }
        let kind = classes[scalar]
        if kind.contains(.other) { return nil }
        return kind.contains(.space) ? 0x20 : scalar
    }

    // MARK: Without: all rules in one pass

    private func write(_ text: Span<UInt8>, to sink: inout ByteSink) {
        let (classes, data) = (CharacterClasses.shared, Decompositions.shared)
        // Characters from the last starter on, while marks may still change places.
        var pending: [UInt32] = []
        var hasMarks = false
        func finish(_ scalar: UInt32, _ sink: inout ByteSink) {
            if stripsAccents, classes[scalar].contains(.nonspacingMark) { return }
            if lowercases {
                Lowercase.write(scalar, change: 0, to: &sink)
            } else {
                sink.insert(scalar)
            }
        }
        func flush(_ sink: inout ByteSink) {
            if hasMarks { pending = data.inCanonicalOrder(pending) }
            for scalar in pending { finish(scalar, &sink) }
            pending.removeAll(keepingCapacity: true)
            hasMarks = false
        }
        func decompose(_ scalar: UInt32, _ sink: inout ByteSink) {
            guard stripsAccents else { return finish(scalar, &sink) }
            data.decompose(scalar, compatibly: false) { part in
                if data.combiningClass(part) == 0 { flush(&sink) } else { hasMarks = true }
                pending.append(part)
            }
        }
        let asciiRule = BERTNormalizer.asciiTable(cleans: cleansText, lowercases: lowercases)
        var index = 0
        while index < text.count {
            let byte = text[index]
            if byte < 0x80 {
                if !pending.isEmpty { flush(&sink) }
                let mapped = asciiRule[Int(byte)]
                if mapped != BERTNormalizer.removed { sink.bytes.append(mapped) }
                index += 1
                continue
            }
            let character = UTF8Text.character(in: text, at: index)
            index += character.byteCount
            var scalar = character.scalar
            if cleansText {
                guard let kept = clean(scalar, classes) else { continue }
                scalar = kept
            }
            if separatesIdeographs, classes[scalar].contains(.ideograph) {
                flush(&sink)
                sink.bytes.append(0x20)
                decompose(scalar, &sink)
                flush(&sink)
                sink.bytes.append(0x20)
            } else {
                decompose(scalar, &sink)
            }
        }
        flush(&sink)
    }

    private static let removed: UInt8 = 0xFF

    /// What becomes of ASCII, which has no marks.
    private static func asciiTable(cleans: Bool, lowercases: Bool) -> InlineArray<128, UInt8> {
        InlineArray { index in
            let byte = UInt8(index)
            if cleans {
                if byte == 0x09 || byte == 0x0A || byte == 0x0D { return 0x20 }
                if byte < 0x20 || byte == 0x7F { return removed }
            }
            return lowercases && 0x41...0x5A ~= byte ? byte + 0x20 : byte
        }
    }
}
