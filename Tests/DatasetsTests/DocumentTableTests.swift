import Datasets
import Foundation
import Testing

@Suite struct DocumentTableTests {
    /// Shards whose documents start at `starts`, cut at `cuts`.
    private func shards(
        _ folder: TestFolder, starts: [Int], cuts: [Int]
    ) throws -> [String] {
        try zip(cuts, cuts.dropFirst()).map { start, end in
            let path = folder.file("d\(start)")
            var writer = try TokenShardWriter(
                path: path, vocabularySize: 300,
                tokenizerDigest: [UInt8](repeating: 7, count: 32), tellsOfDocuments: true,
                blockByteCount: 16)
            for token in start..<end {
                if starts.contains(token) { writer.beginDocument() }
                try writer.append([Int32(token % 300)])
            }
            try writer.finish()
            return path
        }
    }

    @Test func boundsAreThoseOfTheDocumentsOverAllShards() throws {
        let folder = try TestFolder()
        let starts = [0, 1, 5, 9, 10, 40, 41, 77, 99]
        let stream = try TokenStream(
            paths: shards(folder, starts: starts, cuts: [0, 9, 30, 39, 100]))
        #expect(stream.documentCount == starts.count)
        let bounds = starts + [100]
        for first in 0...starts.count {
            for end in first...starts.count {
                let found = try stream.documentBounds(of: first..<end)
                #expect(found == Array(bounds[first...end]), "documents \(first) ..< \(end)")
            }
        }
    }

    /// Where documents start is checked as tokens are: any flipped bit of the table is found when it is read.
    @Test func aFlippedBitOfTheTableIsFound() throws {
        let folder = try TestFolder()
        let starts = Array(stride(from: 0, to: 100, by: 3))
        let path = try shards(folder, starts: starts, cuts: [0, 100])[0]
        let sound = try folder.bytes("d0")
        let tableStart = 128 + 200 + 4 * 13 + 4
        #expect(sound.count > tableStart + 8 * starts.count)
        for offset in stride(from: tableStart, to: sound.count, by: 5) {
            var bytes = sound
            bytes[offset] ^= 1 << UInt8(offset % 8)
            try folder.write("d0", bytes)
            let error = datasetError {
                let stream = try TokenStream(paths: [path])
                _ = try stream.documentBounds(of: 0..<starts.count)
            }
            #expect(error?.kind == .corrupt && error?.message.contains(path) == true, "\(offset)")
        }
        try folder.write("d0", sound)
        let stream = try TokenStream(paths: [path])
        let bounds = try stream.documentBounds(of: 0..<starts.count)
        #expect(bounds == starts + [100])
    }

    /// A run goes on with a shard that learned where documents start.
    @Test func documentsDoNotChangeTheFingerprint() throws {
        let folder = try TestFolder()
        func stream(_ starts: [Int]) throws -> TokenStream {
            // Each is written over the one before it.
            try TokenStream(paths: shards(folder, starts: starts, cuts: [0, 100]))
        }
        let (two, one, again) = (try stream([0, 50]), try stream([0]), try stream([0, 50]))
        #expect(two.documentCount == 2 && one.documentCount == 1)
        #expect(two.fingerprint == one.fingerprint)
        // Samples that depend on documents have another one.
        #expect(two.documentsFingerprint == again.documentsFingerprint)
        #expect(two.documentsFingerprint != one.documentsFingerprint)
    }

    @Test func recordsLieInShardsAsTheyWere() throws {
        let folder = try TestFolder()
        let path = folder.file("records")
        let records = [
            Record(parts: [.init(.source, [1, 2]), .init(.target, [])]),
            Record(parts: [.init(.source, []), .init(.target, [9])]),
            Record(parts: [.init(.text, [3, 4, 5])], label: 6),
        ]
        for record in records {
            #expect(Record(ids: record.ids(vocabularySize: 10)[...], vocabularySize: 10) == record)
        }
        var writer = try TokenShardWriter(
            path: path, vocabularySize: 10, tokenizerDigest: [UInt8](repeating: 7, count: 32),
            tellsOfDocuments: true, kind: .pairs,
            markCount: Record.markCount(of: .pairs, classes: 0))
        for record in records[..<2] {
            writer.beginDocument()
            try writer.append(record.ids(vocabularySize: 10)[...])
        }
        try writer.finish()
        let stream = try TokenStream(paths: [path])
        let source = try RecordShards(stream, kind: .pairs)
        #expect(source.count == 2 && stream.vocabularySize == 10)
        #expect(try (0..<2).map { try source.record($0) } == Array(records[..<2]))
        let error = datasetError { _ = try RecordShards(stream, kind: .labelled) }
        #expect(error?.kind == .mismatch)
        #expect(Record(ids: [1, 2], vocabularySize: 10) == nil)
    }
}
