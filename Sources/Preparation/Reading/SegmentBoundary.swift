// Where a line, a paragraph, a row or a file ends, found while its bytes come in any pieces.

import Foundation

/// Finds the ends of the segments of one file.
struct SegmentBoundary {
    enum Kind: Sendable {
        /// Only the end of the file.
        case none
        case line
        /// A line with nothing but spaces and tabs.
        case paragraph
        /// A line end outside quotation marks (RFC 4180, section 2).
        case row
    }

    let kind: Kind
    /// Line feeds in the segment so far; of a paragraph, not counted.
    private(set) var lineFeeds = 0
    private var isLineBlank = true
    private var field = Field.start

    /// Where in a field of a row the next byte is.
    private enum Field { case start, plain, quoted, quoteInQuoted }

    init(_ kind: Kind) { self.kind = kind }

    /// Whether the end of the file here would be within quotation marks.
    var isQuoted: Bool { field == .quoted }

    /// To be called before the first byte of a segment.
    mutating func begin() { (lineFeeds, isLineBlank, field) = (0, true, .start) }

    /// Takes in `bytes[range]`, up to the first end: the index behind it; nil where there is none.
    mutating func scan(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
        switch kind {
        case .none: return nil
        case .line:
            guard let end = SegmentBoundary.lineFeed(in: bytes, range) else { return nil }
            lineFeeds = 1
            return end + 1
        case .paragraph: return scanParagraph(bytes, range)
        case .row: return scanRow(bytes, range)
        }
    }

    private mutating func scanParagraph(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
        var index = range.lowerBound
        while index < range.upperBound {
            if isLineBlank {
                let byte = bytes[index]
                index += 1
                if byte == 0x0A { return index }
                if byte != 0x20, byte != 0x09, byte != 0x0D { isLineBlank = false }
            } else {
                guard let end = SegmentBoundary.lineFeed(in: bytes, index..<range.upperBound)
                else { return nil }
                index = end + 1
                isLineBlank = true
            }
        }
        return nil
    }

    private mutating func scanRow(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
        var (field, feeds) = (field, lineFeeds)
        defer { (self.field, lineFeeds) = (field, feeds) }
        for index in range {
            let byte = bytes[index]
            if byte == 0x0A { feeds += 1 }
            switch field {
            case .quoted:
                if byte == 0x22 { field = .quoteInQuoted }
                continue
            case .quoteInQuoted where byte == 0x22:
                field = .quoted
                continue
            case .start where byte == 0x22:
                field = .quoted
                continue
            default: break
            }
            if byte == 0x0A { return index + 1 }
            field = byte == 0x2C ? .start : .plain
        }
        return nil
    }

    /// The first line feed of `bytes[range]`.
    static func lineFeed(in bytes: [UInt8], _ range: Range<Int>) -> Int? {
        bytes.withUnsafeBytes { all in
            guard let base = all.baseAddress, !range.isEmpty else { return nil }
            let found = memchr(base + range.lowerBound, 0x0A, range.count)
            return found.map { UnsafeRawPointer($0) - base }
        }
    }
}
