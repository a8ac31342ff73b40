// A text on its way through normalizers. Each character that a normalizer writes replaces characters of the text or is
// added behind one, which is how the Hugging Face library says it too (`NormalizedString::transform`); so offsets come
// out the same.

/// A range of the original text's bytes that a byte of the normalized text stands for.
struct Alignment: Equatable {
    var start: Int32
    var end: Int32
}

/// A normalized text, and where its bytes come from.
struct NormalizedText {
    var bytes: [UInt8] = []
    /// Of each byte; empty where nobody asked for offsets.
    var alignments: [Alignment] = []
    /// Where the text begins in the document: what is written before its first character stands for nothing there.
    private(set) var start: Int32 = 0

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        alignments.removeAll(keepingCapacity: true)
    }

    /// The text as it is: bytes of a document from `start` on. With `isAligned` each is aligned with its character.
    mutating func set(_ text: Span<UInt8>, from start: Int, isAligned: Bool) {
        removeAll()
        begin(at: Int32(clamping: start))
        text.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        guard isAligned else { return }
        alignments.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            let count = UTF8Text.character(in: text, at: index).byteCount
            let alignment = Alignment(
                start: Int32(start + index), end: Int32(start + index + count))
            for _ in 0..<count { alignments.append(alignment) }
            index += count
        }
    }

    fileprivate mutating func begin(at start: Int32) { self.start = start }

    /// The original range of the bytes in `range`, which is not empty.
    func original(_ range: Range<Int>) -> Alignment {
        Alignment(
            start: alignments[range.lowerBound].start, end: alignments[range.upperBound - 1].end)
    }
}

/// Where a normalizer writes.
protocol TextSink {
    /// Writes a character in the place of the next one and of the `removed` ones behind it.
    mutating func replace(with scalar: UInt32, removing removed: Int)
    /// Writes a character that is aligned with what was replaced last.
    mutating func insert(_ scalar: UInt32)
    /// Passes over characters before the first that is kept.
    mutating func skip(_ count: Int)
}

extension TextSink {
    /// Writes a character that stands for `change` more characters than there were: as in `NormalizedString`.
    @inline(__always)
    mutating func emit(_ scalar: UInt32, change: Int) {
        if change > 0 { insert(scalar) } else { replace(with: scalar, removing: -change) }
    }
}

/// Bytes alone.
struct ByteSink: TextSink {
    var bytes: [UInt8]

    @inline(__always)
    mutating func replace(with scalar: UInt32, removing removed: Int) {
        UTF8Text.append(scalar, to: &bytes)
    }

    @inline(__always)
    mutating func insert(_ scalar: UInt32) { UTF8Text.append(scalar, to: &bytes) }

    @inline(__always)
    mutating func skip(_ count: Int) {}
}

/// Bytes with their alignments.
struct AlignedSink: TextSink {
    let source: NormalizedText
    var result = NormalizedText()
    /// Of the next character of the source.
    private var offset = 0

    init(source: NormalizedText) {
        self.source = source
        result.begin(at: source.start)
    }

    /// Of what stands before all characters.
    private var nothing: Alignment { Alignment(start: source.start, end: source.start) }

    mutating func replace(with scalar: UInt32, removing removed: Int) {
        // The library traps where there is nothing left to replace; the last alignment serves here.
        let index = min(offset, source.alignments.count - 1)
        append(scalar, index < 0 ? nothing : source.alignments[index])
        skip(1 + removed)
    }

    mutating func insert(_ scalar: UInt32) {
        append(scalar, offset < 1 ? nothing : source.alignments[offset - 1])
    }

    mutating func skip(_ count: Int) {
        for _ in 0..<count where offset < source.bytes.count {
            offset += UTF8Text.character(in: source.bytes.span, at: offset).byteCount
        }
    }

    private mutating func append(_ scalar: UInt32, _ alignment: Alignment) {
        UTF8Text.append(scalar, to: &result.bytes)
        for _ in 0..<UTF8Text.byteCount(scalar) { result.alignments.append(alignment) }
    }
}
