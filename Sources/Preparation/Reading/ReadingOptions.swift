// What a reading of files is told: which format, which keys, and what becomes of what is broken or too long.

/// How a file is laid out.
package enum SourceFormat: String, CaseIterable, Sendable {
    /// By the file's name.
    case auto
    case text, jsonl, csv, tsv, gettext

    /// What a file of this name is for `auto`, its compression's ending taken off; others stay what they are.
    package func resolved(for path: String) -> SourceFormat {
        guard self == .auto else { return self }
        var name = path.utf8.split(separator: UInt8(ascii: "/")).last.map(Array.init) ?? []
        for index in name.indices where (0x41...0x5A).contains(name[index]) { name[index] |= 0x20 }
        func ends(_ ending: String) -> Bool {
            name.suffix(ending.utf8.count).elementsEqual(ending.utf8)
        }
        for ending in [".gz", ".zst", ".zstd", ".xz"] where ends(ending) {
            name.removeLast(ending.utf8.count)
            break
        }
        let table: [(String, SourceFormat)] = [
            (".jsonl", .jsonl), (".ndjson", .jsonl), (".json", .jsonl), (".csv", .csv),
            (".tsv", .tsv), (".po", .gettext), (".mo", .gettext),
        ]
        return table.first { ends($0.0) }?.1 ?? .text
    }
}

/// What one document of a text file is.
package enum TextDocuments: String, CaseIterable, Sendable {
    case file, line
    /// What stands between blank lines.
    case paragraph
}

/// What becomes of a document with bytes that are no UTF-8.
package enum InvalidTextPolicy: String, CaseIterable, Sendable {
    case error, drop
    /// U+FFFD for each maximal part of an ill-formed sequence.
    case replace
}

/// What becomes of a document of more than `ReadingLimits.documentBytes`.
package enum LongDocumentPolicy: String, CaseIterable, Sendable {
    case error, drop
    /// Pieces of a text are documents of their own; a record (a row, an object, a pair) is dropped, as it has no parts
    /// that could stand by themselves.
    case split
}

/// What becomes of a record that is none: no JSON, a key or a column that is missing.
package enum MalformedRecordPolicy: String, CaseIterable, Sendable {
    case error, drop
}

/// What a hostile file may cost.
package struct ReadingLimits: Sendable, Equatable {
    /// Bytes of a document as its file has them, a record's keys and quotes included.
    package var documentBytes = 64 << 20
    /// Bytes that a packed file may unpack to.
    package var unpackedBytes = 64 << 30
    /// Bytes that may come out for each that went in, once `ratioFreeBytes` have come out. Deflate reaches 1,032 at
    /// most, which only made-up data does.
    package var ratio = 1000
    package var ratioFreeBytes = 64 << 20
    /// Memory that unpacking a file may take: xz's dictionary, zstd's window.
    package var unpackingMemory = 256 << 20

    package init() {}
}

/// How files become documents.
package struct ReadingOptions: Sendable, Equatable {
    package var format = SourceFormat.auto
    package var textDocuments = TextDocuments.file
    package var fields = RecordFields()
    package var template = ChatTemplate.none
    package var invalid = InvalidTextPolicy.error
    package var long = LongDocumentPolicy.drop
    package var malformed = MalformedRecordPolicy.error
    package var limits = ReadingLimits()

    package init() {}
}
