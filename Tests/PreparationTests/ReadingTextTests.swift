import Datasets
import Preparation
import TestSupport
import Testing

@Suite struct ReadingTextTests {
    @Test func documentsAreFilesLinesOrParagraphs() throws {
        let text = "\u{FEFF}one\r\ntwo\n\n \t\n\nthree\nfour\n\n"
        #expect(try Reading(text).texts == ["one\r\ntwo\n\n \t\n\nthree\nfour\n\n"])
        let lines = try Reading(text) { $0.textDocuments = .line }
        #expect(lines.texts == ["one", "two", " \t", "three", "four"])
        #expect(lines.counts[.empty] == 3)
        #expect(lines.documents.map(\.number) == [0, 1, 3, 5, 6])
        let paragraphs = try Reading(text) { $0.textDocuments = .paragraph }
        #expect(paragraphs.texts == ["one\r\ntwo", "three\nfour"])
        #expect(paragraphs.documents.map(\.number) == [0, 1])
        #expect(paragraphs.counts.documents == 2)
        #expect(paragraphs.counts.readBytes == text.utf8.count)
    }

    @Test func whatIsEmptyIsCounted() throws {
        for packed in [[], Packed.gzip([]), TextEncoding.byteOrderMark] {
            let reading = try Reading(packed)
            #expect(reading.documents.isEmpty && reading.counts.emptyFiles == 1)
        }
        #expect(try Reading("x").counts.emptyFiles == 0)
    }

    /// Lines of all lengths meet all borders of blocks.
    @Test func linesMeetTheBordersOfBlocks() throws {
        var (lines, state): ([String], UInt64) = ([], 1)
        for index in 0..<4000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1
            let count = index % 1000 == 7 ? 900_000 : Int(state >> 40) % 1500
            lines.append("\(index) " + String(repeating: "ä", count: count))
        }
        let text = lines.joined(separator: "\n")
        let reading = try Reading(Packed.zstd(Array(text.utf8))) { $0.textDocuments = .line }
        #expect(reading.texts == lines)
        #expect(reading.counts.unpackedBytes == text.utf8.count)
    }

    @Test func invalidTextIsAnErrorDroppedOrMended() throws {
        let bytes = Array("good\nü b".utf8) + [0xFF] + Array("d\nfine".utf8)
        expectProblem("file: byte offset 9: expected UTF-8", "0xff", "mend") {
            _ = try Reading(bytes) { $0.textDocuments = .line }
        }
        expectProblem("byte offset 9 of what it unpacks to") { _ = try Reading(Packed.xz(bytes)) }
        let dropped = try Reading(bytes) { ($0.textDocuments, $0.invalid) = (.line, .drop) }
        #expect(dropped.texts == ["good", "fine"] && dropped.counts[.invalidText] == 1)
        #expect(dropped.documents.map(\.number) == [0, 2])
        let mended = try Reading(bytes) { ($0.textDocuments, $0.invalid) = (.line, .replace) }
        #expect(mended.texts == ["good", "ü b\u{FFFD}d", "fine"])
        // Cut off within a character.
        expectProblem("byte offset 1", "0xc3") { _ = try Reading([0x61, 0xC3]) }
    }

    @Test func otherEncodingsAreNamed() throws {
        let text = Array("text".utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] })
        expectProblem("UTF-16LE", "iconv") { _ = try Reading(text) }
        for policy in [InvalidTextPolicy.drop, .replace] {
            let reading = try Reading(text) { $0.invalid = policy }
            #expect(reading.documents.isEmpty && reading.counts[.invalidText] == 1)
        }
    }

    @Test func longDocumentsAreDroppedSplitOrAnError() throws {
        let long = String(repeating: "word ", count: 400_000)
        let text = "first\n\(long)\nlast"
        func read(_ policy: LongDocumentPolicy, _ documents: TextDocuments) throws -> Reading {
            try Reading(text) {
                ($0.long, $0.textDocuments, $0.limits.documentBytes) = (policy, documents, 1000)
            }
        }
        let dropped = try read(.drop, .line)
        #expect(dropped.texts == ["first", "last"] && dropped.counts[.tooLong] == 1)
        #expect(dropped.documents.map(\.number) == [0, 2])
        expectProblem("line 2: expected a document of at most 1000 bytes") {
            _ = try read(.error, .line)
        }
        expectProblem("byte offset 0") { _ = try read(.error, .file) }
        let split = try read(.split, .line)
        #expect(split.texts.joined() == "first\(long)last")
        #expect(split.texts.count == 2002 && split.counts[.empty] == 0)
        #expect(try read(.split, .file).texts.joined() == text)
        #expect(try read(.drop, .file).texts.isEmpty)
        // The same text, with room for it.
        #expect(try Reading(text) { $0.textDocuments = .line }.texts == ["first", long, "last"])
    }

    @Test func piecesEndBehindCharacters() throws {
        let text = String(repeating: "𝄞", count: 1000)
        for limit in 16...20 {
            let reading = try Reading(text) { ($0.long, $0.limits.documentBytes) = (.split, limit) }
            #expect(reading.texts.joined() == text)
            #expect(reading.documents.allSatisfy { (13...limit).contains($0.parts[0].text.count) })
        }
    }

    @Test func linesOfTwoFilesArePairs() throws {
        let folder = try TemporaryFolder()
        let source = try folder.write("a.en", "one\n\nthree\r\nfour\n")
        let target = try folder.write("a.de", Packed.gzip(Array("eins\nzwei\ndrei\nvier".utf8)))
        let reading = try Reading(
            DocumentReader(source: source, target: target, options: ReadingOptions()))
        #expect(
            reading.parts == [
                ["source: one", "target: eins"], ["source: three", "target: drei"],
                ["source: four", "target: vier"],
            ])
        #expect(reading.documents.map(\.number) == [0, 2, 3] && reading.counts[.empty] == 1)
        let longer = try folder.write("b.de", "1\n2\n3\n4\n5\n6\n")
        expectProblem("b.de: expected as many lines as", "a.en has, 4, found 6") {
            _ = try Reading(
                DocumentReader(source: source, target: longer, options: ReadingOptions()))
        }
    }
}
