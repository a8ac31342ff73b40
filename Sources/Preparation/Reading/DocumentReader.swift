// One file, or two that belong together, as a stream of documents, whatever it is packed by and laid out like.

import Datasets
import Files

/// Reads the documents of a file, in the order in which they stand there.
///
/// Memory: a document, the window of the file's compression (`ReadingLimits.unpackingMemory`) and about 1 MiB. Not to be
/// shared between threads.
package struct DocumentReader {
    package let path: String
    private let format: any FormatReading
    private let streams: [ByteStream]
    private var tally = ReadingTally()

    /// Opens a file.
    /// - Throws: where there is no regular file, or one of a kind that is refused.
    package init(path: String, options: ReadingOptions) throws(DatasetError) {
        self.path = path
        let reader: SegmentReader
        switch options.format.resolved(for: path) {
        case .auto, .text:
            reader = try SegmentReader(
                path: path, boundary: options.textDocuments.boundary, options: options,
                maySplit: true)
            format = TextReader(reader, options.textDocuments)
        case .jsonl:
            reader = try SegmentReader(path: path, boundary: .line, options: options)
            format = JSONLinesReader(reader, options)
        case .csv:
            reader = try SegmentReader(path: path, boundary: .row, options: options)
            format = TableReader(reader, options, separator: 0x2C)
        case .tsv:
            reader = try SegmentReader(path: path, boundary: .line, options: options)
            format = TableReader(reader, options, separator: 0x09)
        case .gettext:
            let catalogue = try Catalogue.open(path, options)
            (reader, format) = (catalogue.reader, catalogue.format)
        }
        streams = [reader.stream]
        tally.counts.emptyFiles = reader.isEmpty ? 1 : 0
    }

    /// Opens two texts of which each line is the translation of the other's line of that number.
    package init(
        source: String, target: String, options: ReadingOptions
    ) throws(DatasetError) {
        path = source
        let readers = ParallelReader(
            try SegmentReader(path: source, boundary: .line, options: options),
            try SegmentReader(path: target, boundary: .line, options: options))
        format = readers
        streams = [readers.source.stream, readers.target.stream]
        tally.counts.emptyFiles = [readers.source, readers.target].count { $0.isEmpty }
    }

    /// The next document; nil at the end. After an error there is no going on.
    package mutating func next() throws(DatasetError) -> Document? { try format.next(&tally) }

    /// What has been met so far.
    package var counts: ReadingCounts {
        var counts = tally.counts
        for stream in streams {
            counts.readBytes += stream.readBytes
            counts.unpackedBytes += stream.unpackedBytes
        }
        return counts
    }
}

/// One way to lay out documents in a file.
protocol FormatReading: AnyObject {
    func next(_ tally: inout ReadingTally) throws(DatasetError) -> Document?
}

/// Counts what a file holds and numbers it, so that a document's number does not depend on what becomes of the others.
struct ReadingTally {
    var counts = ReadingCounts()
    private var number = 0

    /// Counts a document and returns its number.
    mutating func take() -> Int {
        counts.documents += 1
        defer { number += 1 }
        return number
    }

    mutating func drop(_ reason: UnreadReason) {
        counts[reason] += 1
        number += 1
    }
}

extension TextDocuments {
    var boundary: SegmentBoundary.Kind {
        switch self {
        case .file: .none
        case .line: .line
        case .paragraph: .paragraph
        }
    }
}
