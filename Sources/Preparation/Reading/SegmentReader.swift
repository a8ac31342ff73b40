// Lines, paragraphs, rows or a whole file, one after the other, in a window over the stream: what is longer than
// allowed is passed over without being kept.

import Datasets
import Files
import Foundation
import Tokenizers

/// A piece of a file, from one boundary to the next.
struct Segment {
    /// Holds the piece at `range`. To be let go of before the next piece is asked for: the window is copied else.
    var bytes: [UInt8]
    /// What ends it included.
    var range: Range<Int>
    /// Its first line, from 1, where lines are counted.
    let line: Int
    /// Whether it goes on where a longer piece has been cut.
    let isContinued: Bool

    /// Where it is without the line end.
    var content: Range<Int> {
        var end = range.upperBound
        if end > range.lowerBound, bytes[end - 1] == 0x0A { end -= 1 }
        if end > range.lowerBound, bytes[end - 1] == 0x0D { end -= 1 }
        return range.lowerBound..<end
    }
}

/// Cuts one file into segments.
final class SegmentReader {
    enum Step {
        case segment(Segment)
        case dropped(UnreadReason)
    }

    let path: String
    let stream: ByteStream
    /// The first bytes of the unpacked file.
    let head: ArraySlice<UInt8>
    /// Whether there is no byte in it, or none but the mark of UTF-8.
    let isEmpty: Bool

    private let options: ReadingOptions
    private let (isText, maySplit): (Bool, Bool)
    private let limit: Int
    private var boundary: SegmentBoundary
    private var line = 1
    private var isContinued = false
    /// What the file is instead of UTF-8.
    private var otherEncoding: String?

    /// `start..<end` of it is still to be given.
    private var window: [UInt8]
    private var (start, end) = (0, 0)
    /// Of the window's first byte in the unpacked file.
    private var windowOffset = 0
    private var isAtEnd = false

    private static let blockByteCount = 256 << 10

    /// - Parameters:
    ///   - isText: whether bytes that are no UTF-8 are treated as `options` say; else they are given as they are.
    ///   - maySplit: whether pieces of a segment stand by themselves.
    init(
        path: String, boundary kind: SegmentBoundary.Kind, options: ReadingOptions,
        isText: Bool = true, maySplit: Bool = false
    ) throws(DatasetError) {
        (self.path, self.options, self.isText, self.maySplit) = (path, options, isText, maySplit)
        // A character fits into the smallest piece; sums with the largest stay numbers.
        limit = max(16, min(options.limits.documentBytes, 1 << 48))
        boundary = SegmentBoundary(kind)
        stream = try ByteStream(path: path, limits: options.limits)
        let most = 2 * SegmentReader.blockByteCount
        let size = stream.packing == nil ? max(8192, min(stream.byteCount + 1, most)) : most
        var (window, end) = ([UInt8](repeating: 0, count: size), 0)
        // Enough to tell what it is, also where it comes in small members.
        while end < TextEncoding.headByteCount {
            let count = try stream.read(into: &window, at: end)
            end += count
            if count == 0 {
                isAtEnd = true
                break
            }
        }
        head = ArraySlice(Array(window[..<min(end, TextEncoding.headByteCount)]))
        let hasMark = isText && head.starts(with: TextEncoding.byteOrderMark)
        start = hasMark ? TextEncoding.byteOrderMark.count : 0
        isEmpty = isAtEnd && start == end
        (self.window, self.end) = (window, end)
        guard isText else { return }
        if stream.packing != nil { try ByteStream.requireReadable(head, path: path) }
        otherEncoding = TextEncoding.unlikeUTF8(head: head)
    }

    /// The next segment; nil at the end of the file.
    func next() throws(DatasetError) -> Step? {
        if let found = otherEncoding {
            if options.invalid == .error {
                throw DatasetError(
                    .invalidText, "\(path.printablePath): expected UTF-8 text, found \(found)")
            }
            otherEncoding = nil
            (start, end, isAtEnd) = (0, 0, true)
            return .dropped(.invalidText)
        }
        let (line, isContinued) = (line, isContinued)
        self.isContinued = false
        guard let found = try nextRange() else { return nil }
        guard let range = found.kept else { return .dropped(.tooLong) }
        let segment = Segment(bytes: window, range: range, line: line, isContinued: isContinued)
        if isText, UTF8Text.firstFault(in: window.span.extracting(range), from: 0) != nil {
            return try replacement(of: segment)
        }
        return .segment(segment)
    }

    /// What the options make of a segment that is no UTF-8.
    private func replacement(of segment: Segment) throws(DatasetError) -> Step {
        let own = Array(segment.bytes[segment.range])
        switch options.invalid {
        case .drop: return .dropped(.invalidText)
        case .replace:
            let bytes = UTF8Text.repaired(own)
            return .segment(
                Segment(
                    bytes: bytes, range: bytes.indices, line: segment.line,
                    isContinued: segment.isContinued))
        case .error:
            let fault = TextEncoding.firstFault(in: own)
            let place = fault?.offset ?? 0
            let advice = TextEncoding.advice(
                invalid: head, isUTF8Before: fault?.isUTF8Before ?? false)
            throw DatasetError(
                .invalidText,
                "\(path.printablePath): byte offset \(windowOffset + segment.range.lowerBound + place)"
                    + "\(unpackedName): expected UTF-8 text, found byte 0x\([own[place]].hexadecimal); "
                    + advice)
        }
    }

    /// What offsets count in.
    private var unpackedName: String { stream.packing == nil ? "" : " of what it unpacks to" }

    // MARK: Boundaries

    /// A segment found: where it lies in the window, or that it was too long.
    private struct Found { var kept: Range<Int>? }

    private func nextRange() throws(DatasetError) -> Found? {
        boundary.begin()
        var scanned = start
        while true {
            let stop = boundary.scan(window, scanned..<end)
            scanned = end
            if (stop ?? end) - start > limit { return try passLong(to: stop) }
            if let stop { return give(to: stop) }
            if isAtEnd {
                try requireClosedQuotes()
                return start == end ? nil : give(to: end)
            }
            scanned -= try fill()
        }
    }

    private func give(to stop: Int) -> Found {
        defer { start = stop }
        line += boundary.lineFeeds
        return Found(kept: start..<stop)
    }

    /// Does what the options say with a segment that is too long and ends at `stop`, or is still to end.
    private func passLong(to stop: Int?) throws(DatasetError) -> Found {
        switch options.long {
        case .error:
            let place =
                boundary.kind.countsLines ? "line \(line)" : "byte offset \(windowOffset + start)"
            throw DatasetError(
                .tooLarge,
                "\(path.printablePath): \(place)\(boundary.kind.countsLines ? "" : unpackedName): "
                    + "expected a document of at most \(limit) bytes, found more; drop or split such "
                    + "documents, or allow more")
        case .split where maySplit:
            let cut = pieceEnd()
            defer { (start, isContinued) = (cut, true) }
            return Found(kept: start..<cut)
        case .split, .drop:
            var stop = stop
            while stop == nil, !isAtEnd {
                start = end
                _ = try fill()
                stop = boundary.scan(window, start..<end)
            }
            start = stop ?? end
            if stop == nil { try requireClosedQuotes() }
            line += boundary.lineFeeds
            return Found(kept: nil)
        }
    }

    /// Where the piece that begins at `start` is cut: behind the last line of it, the last word, or a character.
    private func pieceEnd() -> Int {
        let (half, most) = (start + limit / 2, start + limit)
        for separator: UInt8 in [0x0A, 0x20] {
            if let last = window[half..<most].lastIndex(of: separator) { return last + 1 }
        }
        var cut = most
        while cut > most - 3, window[cut] & 0xC0 == 0x80 { cut -= 1 }
        return cut
    }

    private func requireClosedQuotes() throws(DatasetError) {
        guard boundary.isQuoted else { return }
        throw DatasetError(
            .invalidText,
            "\(path.printablePath): line \(line): expected a quotation mark that ends a field of this "
                + "row, found the end of the file")
    }

    // MARK: The window

    /// Reads on, behind what is kept.
    /// - Returns: by how much the bytes that are kept have moved to the front.
    private func fill() throws(DatasetError) -> Int {
        let moved = start
        if moved > 0 {
            window.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                memmove(base, base + moved, end - moved)
            }
            (start, end, windowOffset) = (0, end - moved, windowOffset + moved)
        }
        if window.count - end < min(SegmentReader.blockByteCount, window.count / 2) {
            let size = min(2 * window.count, limit + SegmentReader.blockByteCount)
            window += repeatElement(0, count: max(0, size - window.count))
        }
        let count = try stream.read(into: &window, at: end)
        end += count
        isAtEnd = count == 0
        return moved
    }
}

extension SegmentBoundary.Kind {
    var countsLines: Bool {
        switch self {
        case .line, .row: true
        case .none, .paragraph: false
        }
    }
}
