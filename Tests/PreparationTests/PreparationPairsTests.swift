import Datasets
import Foundation
import Preparation
import TestSupport
import Testing

/// Pairs of parallel files, and catalogues of translations.
@Suite struct PreparationPairsTests {
    private func pairs(
        _ folder: TemporaryFolder, _ change: (inout PreparationConfiguration) -> Void
    ) throws -> [String] {
        var configuration = PreparationConfiguration()
        configuration.input.kind = .pairs
        configuration.output.directory = folder.file("out")
        configuration.output.validationFraction = 0
        change(&configuration)
        _ = try PreparationRun(
            configuration, options: .init(), workers: Alone(), note: { _ in }
        ).run()
        let dataset = try PreparedDataset(folder: folder.file("out"))
        let records = try RecordShards(dataset.train, kind: .pairs)
        let tokenizer = Tokenizer.byte(ByteTokenizer())
        return try (0..<records.count).map { index in
            try records.record(index).parts.map { tokenizer.decode($0.tokens) }
                .joined(separator: " = ")
        }
    }

    /// Place by place, whatever the files are called.
    @Test func filesBelongTogetherInTheOrderOfTheLists() throws {
        let folder = try TemporaryFolder()
        for (source, target) in [("news", "a"), ("books", "b"), ("z1", "c2"), ("z2", "c1")] {
            try folder.write("\(source).en", "\(source) of \(target)\n")
            try folder.write("\(target).de", "\(target) to \(source)\n")
        }
        let found = try pairs(folder) {
            $0.input.files = ["news.en", "books.en"].map(folder.file)
            $0.input.targets = ["a.de", "b.de"].map(folder.file)
        }
        #expect(found == ["news of a = a to news", "books of b = b to books"])
        try FileManager.default.removeItem(atPath: folder.file("out"))
        // The files of a pattern stand in its place, sorted.
        let more = try pairs(folder) {
            $0.input.files = ["news.en", "z?.en", "books.en"].map(folder.file)
            $0.input.targets = ["a.de", "c2.de", "c1.de", "b.de"].map(folder.file)
        }
        #expect(
            more == [
                "news of a = a to news", "z1 of c2 = c2 to z1", "z2 of c1 = c1 to z2",
                "books of b = b to books",
            ])
    }

    /// A text with two translations, and a pair that is named twice.
    @Test func aFileMayBeNamedAgain() throws {
        let folder = try TemporaryFolder()
        try folder.write("a.en", "one\n")
        try folder.write("a.de", "eins\n")
        try folder.write("a.fr", "un\n")
        let found = try pairs(folder) {
            $0.input.files = ["a.en", "a.en", "a.en"].map(folder.file)
            $0.input.targets = ["a.fr", "a.de", "a.fr"].map(folder.file)
        }
        #expect(found == ["one = un", "one = eins"])
    }

    private static let catalogue = "msgid \"one\"\nmsgstr \"eins\"\n"

    @Test(arguments: [RecordKind.text, .labelled, .conversations, .preferences])
    func cataloguesArePairsAndNothingElse(kind: RecordKind) throws {
        let folder = try TemporaryFolder()
        try folder.write("a.po", Self.catalogue)
        try folder.write("b.txt", Self.catalogue)
        #expect(
            try pairs(folder) { $0.input.files = [folder.file("a.po")] } == ["one = eins"])
        try FileManager.default.removeItem(atPath: folder.file("out"))
        for (name, format) in [("a.po", SourceFormat.auto), ("b.txt", .gettext)] {
            let error = #expect(throws: DatasetError.self) {
                _ = try pairs(folder) {
                    $0.input.files = [folder.file(name)]
                    ($0.input.kind, $0.input.format) = (kind, format)
                }
            }
            #expect(error?.kind == .mismatch)
            #expect(
                error?.message.contains(
                    "\(name): expected input.kind: pairs for a gettext catalogue, found \(kind)")
                    == true)
        }
    }

    /// Its lines are no sentences.
    @Test func parallelFilesArePlainText() throws {
        let folder = try TemporaryFolder()
        try folder.write("a.po", Self.catalogue)
        try folder.write("a.txt", "one\ntwo\n")
        func make(_ format: SourceFormat) throws -> [String] {
            try pairs(folder) {
                $0.input.files = [folder.file("a.txt")]
                $0.input.targets = [folder.file("a.po")]
                $0.input.format = format
            }
        }
        let error = #expect(throws: DatasetError.self) { _ = try make(.auto) }
        #expect(error?.message.contains("a.po: expected plain text") == true)
        #expect(try make(.text).count == 2)
    }
}
