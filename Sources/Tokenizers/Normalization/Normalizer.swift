// What is done to a text before it is cut: the parts that `normalizer` of a tokenizer.json may name.

/// A normalizer, or several in turn.
indirect enum Normalizer: Sendable, Equatable {
    case sequence([Normalizer])
    case bert(BERTNormalizer)
    case form(NormalizationForm)
    case lowercase
    case strip(left: Bool, right: Bool)
    /// Removes characters of category M.
    case stripAccents
    /// The rules of Google's NMT: control characters go, others become spaces.
    case nmt
    case precompiled(CharacterMap)
    case replace(TextPattern, with: [UInt8])
    case prepend([UInt8])
    /// Bytes become the characters that stand for them (`ByteAlphabet`).
    case byteLevel

    /// A text may become so many times as long: more than by any rule of a language.
    private static let mostGrowth = 64

    /// Normalizes `text` in place. Alignments are kept where there are some.
    func normalize(_ text: inout NormalizedText) throws(TokenizerError) {
        guard !text.bytes.isEmpty else { return }
        if case .sequence(let parts) = self {
            let most = max(1 << 20, Normalizer.mostGrowth * text.bytes.count)
            for part in parts {
                try part.normalize(&text)
                guard text.bytes.count <= most else {
                    throw TokenizerError(
                        .unencodable,
                        "text: expected at most \(most) bytes when it is normalized, found "
                            + "\(text.bytes.count); the tokenizer's rules let it grow without end")
                }
            }
            return
        }
        if case .bert(let bert) = self { return bert.normalize(&text) }
        if leaves(text.bytes.span) { return }
        if text.alignments.isEmpty {
            var sink = ByteSink(bytes: [])
            sink.bytes.reserveCapacity(text.bytes.count + text.bytes.count / 8 + 16)
            if try write(text.bytes, to: &sink) { text.bytes = sink.bytes }
        } else {
            var sink = AlignedSink(source: text)
            if try write(text.bytes, to: &sink) { text = sink.result }
        }
    }

    /// Whether `text` surely stays as it is: most text is ASCII.
    private func leaves(_ text: Span<UInt8>) -> Bool {
        switch self {
        case .form(let form):
            var index = 0
            while index < text.count {
                let character = UTF8Text.character(in: text, at: index)
                guard form.leaves(character.scalar) else { return false }
                index += character.byteCount
            }
            return true
        case .stripAccents:
            for index in text.indices where text[index] >= 0x80 { return false }
            return true
        default: return false
        }
    }

    /// Writes the normalized text; false where it stays as it is, whatever was written.
    private func write(
        _ text: [UInt8], to sink: inout some TextSink
    ) throws(TokenizerError) -> Bool {
        switch self {
        case .sequence, .bert: preconditionFailure("Normalizer: expected one rule, got \(self)")
        case .form(let form): form.write(UTF8Text.scalars(of: text), to: &sink)
        case .lowercase:
            forEach(text.span) { Lowercase.write($0, change: 0, to: &sink) }
        case .strip(let left, let right): return strip(text.span, left, right, to: &sink)
        case .stripAccents:
            let classes = CharacterClasses.shared
            Normalizer.filter(text.span, to: &sink) { scalar in
                classes[scalar].contains(.combiningMark) ? nil : scalar
            }
        case .nmt: Normalizer.filter(text.span, to: &sink, NMTRules.apply)
        case .precompiled(let map): return map.write(text, to: &sink)
        case .replace(let pattern, let content):
            try Normalizer.replace(text, pattern, UTF8Text.scalars(of: content), to: &sink)
        case .prepend(let prefix):
            // The first character of the text is the one that is replaced, by the first of the prefix.
            for (index, scalar) in UTF8Text.scalars(of: prefix).enumerated() {
                sink.emit(scalar, change: index == 0 ? 0 : 1)
            }
            guard !prefix.isEmpty else { return false }
            var isFirst = true
            forEach(text.span) { scalar in
                sink.emit(scalar, change: isFirst ? 1 : 0)
                isFirst = false
            }
        case .byteLevel:
            var index = 0
            while index < text.count {
                let count = UTF8Text.character(in: text.span, at: index).byteCount
                for part in 0..<count {
                    let scalar = ByteAlphabet.scalars[Int(text[index + part])]
                    sink.emit(scalar, change: part == 0 ? 0 : 1)
                }
                index += count
            }
        }
        return true
    }

    /// Writes what `keep` makes of each character; nil removes one.
    @inline(__always)
    static func filter(
        _ text: Span<UInt8>, to sink: inout some TextSink, _ keep: (UInt32) -> UInt32?
    ) {
        var removed = 0
        var last: UInt32?
        forEach(text) { scalar in
            guard let kept = keep(scalar) else {
                removed += 1
                return
            }
            if let last {
                sink.replace(with: last, removing: removed)
            } else {
                sink.skip(removed)
            }
            (last, removed) = (kept, 0)
        }
        if let last { sink.replace(with: last, removing: removed) }
    }

    private func strip(
        _ text: Span<UInt8>, _ left: Bool, _ right: Bool, to sink: inout some TextSink
    ) -> Bool {
        let classes = CharacterClasses.shared
        var scalars: [UInt32] = []
        forEach(text) { scalars.append($0) }
        let isSpace = { (scalar: UInt32) in classes[scalar].contains(.space) }
        let leading = left ? scalars.prefix(while: isSpace).count : 0
        let trailing = right ? scalars.reversed().prefix(while: isSpace).count : 0
        guard leading + trailing > 0 else { return false }
        sink.skip(leading)
        // A text of nothing but spaces is counted twice.
        guard leading + trailing < scalars.count else { return true }
        for (index, scalar) in scalars.enumerated()
        where index >= leading && index < scalars.count - trailing {
            sink.replace(with: scalar, removing: 0)
        }
        return true
    }

    private static func replace(
        _ text: [UInt8], _ pattern: TextPattern, _ content: [UInt32], to sink: inout some TextSink
    ) throws(TokenizerError) {
        var copied = 0
        func copy(to end: Int, _ sink: inout some TextSink) {
            while copied < end {
                let character = UTF8Text.character(in: text.span, at: copied)
                sink.replace(with: character.scalar, removing: 0)
                copied += character.byteCount
            }
        }
        for match in try pattern.matches(in: text.span) {
            copy(to: match.lowerBound, &sink)
            // What is written is aligned with the last character of the match.
            sink.skip(UTF8Text.count(text.span.extracting(match)))
            for scalar in content { sink.insert(scalar) }
            copied = match.upperBound
        }
        copy(to: text.count, &sink)
    }
}

/// Calls `body` with each character of valid text.
@inline(__always)
func forEach(_ text: Span<UInt8>, _ body: (UInt32) -> Void) {
    var index = 0
    while index < text.count {
        let character = UTF8Text.character(in: text, at: index)
        body(character.scalar)
        index += character.byteCount
    }
}

/// Lower case by the full mappings of Unicode, without those of languages and places.
enum Lowercase {
    @inline(__always)
    static func write(_ scalar: UInt32, change: Int, to sink: inout some TextSink) {
        if scalar < 0x80 {
            sink.emit(0x41...0x5A ~= scalar ? scalar + 0x20 : scalar, change: change)
            return
        }
        writeWide(scalar, change: change, to: &sink)
    }

    private static func writeWide(_ scalar: UInt32, change: Int, to sink: inout some TextSink) {
        guard let value = Unicode.Scalar(scalar) else { return }
        for (index, lower) in value.properties.lowercaseMapping.unicodeScalars.enumerated() {
            sink.emit(lower.value, change: index == 0 ? change : 1)
        }
    }
}

private enum NMTRules {
    static func apply(_ scalar: UInt32) -> UInt32? {
        switch scalar {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: nil
        case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF,
            0xFFFD:
            0x20
        default: scalar
        }
    }
}
