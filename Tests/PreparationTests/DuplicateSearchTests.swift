import Datasets
import Foundation
import Preparation
import TestSupport
import Testing

@Suite struct DuplicateSearchTests {
    private func forest(
        _ corpus: PlantedCorpus, _ options: DuplicateOptions, units: [Int]? = nil
    ) throws -> DuplicateForest {
        let folder = try TemporaryFolder()
        let paths = try writeSignatures(
            corpus.documents, units: units ?? [corpus.texts.count], options, in: folder)
        return try DuplicateSearch.forest(signatures: paths, options: options).0
    }

    private func dropped(_ corpus: PlantedCorpus, _ options: DuplicateOptions) throws -> Set<Int> {
        Set(try forest(corpus, options).dropped(inUnit: 0).map(\.number))
    }

    private func expected(_ corpus: PlantedCorpus, threshold: Double) -> Set<Int> {
        let pairs = ReferenceSimilarity(corpus.texts).pairs(threshold: threshold)
        let first = ReferenceSimilarity.components(of: pairs, count: corpus.texts.count)
        return Set(first.indices.filter { first[$0] != $0 })
    }

    @Test(arguments: [0.7, 0.8, 0.9])
    func findsWhatTheDefinitionSays(threshold: Double) throws {
        let corpus = PlantedCorpus(
            count: 1200, similarities: threshold - 0.2...1, seed: UInt64(threshold * 10),
            words: 25...150)
        var options = DuplicateOptions()
        options.threshold = threshold
        let expected = expected(corpus, threshold: threshold)
        #expect(expected.count > 150)
        let ours = quality(found: try dropped(corpus, options), expected: expected)
        #expect(ours.recall >= 0.97, "recall \(ours.recall)")
        #expect(ours.precision >= 0.98, "precision \(ours.precision)")

        // Controls: one band finds few; a lower threshold finds too many.
        options.bands = (count: 1, rows: 20)
        #expect(quality(found: try dropped(corpus, options), expected: expected).recall < 0.9)
        options.bands = nil
        options.threshold = threshold - 0.2
        #expect(quality(found: try dropped(corpus, options), expected: expected).precision < 0.9)
    }

    @Test func halfAlikeIsNoDuplicate() throws {
        let corpus = PlantedCorpus(count: 300, similarities: 0.45...0.55, seed: 3, words: 200...300)
        var options = DuplicateOptions()
        let found = try dropped(corpus, options)
        #expect(found == expected(corpus, threshold: 0.8))
        #expect(found.count < 3)
        options.threshold = 0.4
        #expect(try dropped(corpus, options).count > 80)
    }

    /// Long documents are compared by samples: right on average, and less so than by all shingles.
    @Test func samplesAreGoodEnough() throws {
        let corpus = PlantedCorpus(
            count: 200, similarities: 0.6...1, seed: 12, words: 600...1200)
        var options = DuplicateOptions()
        options.sketch = 256
        let ours = quality(
            found: try dropped(corpus, options), expected: expected(corpus, threshold: 0.8))
        #expect(ours.recall >= 0.85 && ours.precision >= 0.85, "\(ours)")
    }

    @Test func theFirstStaysAndReasonsAreTold() throws {
        let base = (0..<40).map { "word\($0)" }
        let text = base.joined(separator: " ")
        let near = (base.dropLast() + ["other"]).joined(separator: " ")
        let corpus = [
            "something else, that has nothing to do with it", near, text, near, text, "", "", "1",
            "1.",
        ].map { [Document.Part(.text, Array($0.utf8))] }
        let folder = try TemporaryFolder()
        var options = DuplicateOptions()
        let paths = try writeSignatures(corpus, units: [2, 0, 7], options, in: folder)
        let forest = try DuplicateSearch.forest(signatures: paths, options: options).0
        #expect(
            forest.dropped(inUnit: 2) == [
                DroppedDocument(number: 0, reason: .near, keptUnit: 0, keptNumber: 1),
                DroppedDocument(number: 1, reason: .exact, keptUnit: 0, keptNumber: 1),
                DroppedDocument(number: 2, reason: .exact, keptUnit: 0, keptNumber: 1),
                DroppedDocument(number: 4, reason: .exact, keptUnit: 2, keptNumber: 3),
                DroppedDocument(number: 6, reason: .near, keptUnit: 2, keptNumber: 5),
            ])
        #expect(forest.dropped(inUnit: 0).isEmpty && forest.dropped(inUnit: 1).isEmpty)
        #expect(forest.counts() == (3, 2))
        #expect(forest.counts(inUnit: 0) == (0, 0))

        options.near = false
        let exact = try writeSignatures(corpus, units: [9], options, in: folder, name: "exact")
        let found = try DuplicateSearch.forest(signatures: exact, options: options).0
        #expect(found.dropped(inUnit: 0).map(\.number) == [3, 4, 6])
        #expect(found.dropped(inUnit: 0).map(\.keptNumber) == [1, 2, 5])

        (options.exact, options.near) = (false, true)
        let words = try writeSignatures(corpus, units: [9], options, in: folder, name: "near")
        let alike = try DuplicateSearch.forest(signatures: words, options: options).0
        #expect(alike.dropped(inUnit: 0).map(\.number) == [2, 3, 4, 8])
    }

    /// Roles and borders of parts count among what must be the same.
    @Test func recordsAreComparedAsAWhole() throws {
        func parts(_ texts: (RecordRole, String)...) -> [Document.Part] {
            texts.map { Document.Part($0.0, Array($0.1.utf8)) }
        }
        let documents = [
            parts((.source, "a b"), (.target, "c")), parts((.source, "a "), (.target, "bc")),
            parts((.target, "a b"), (.source, "c")), parts((.source, "a b"), (.target, "c")),
            parts((.text, "a bc")), parts((.source, "a b"), (.target, "c"), (.target, "")),
        ]
        var options = DuplicateOptions()
        options.near = false
        let folder = try TemporaryFolder()
        let paths = try writeSignatures(documents, units: [6], options, in: folder)
        let forest = try DuplicateSearch.forest(signatures: paths, options: options).0
        #expect(forest.dropped(inUnit: 0).map(\.number) == [3])
    }

    @Test func neitherUnitsNorMemoryNorThreadsChangeAnything() throws {
        var corpus = PlantedCorpus(count: 3000, similarities: 0.7...1, seed: 5, words: 10...40)
        corpus.texts += corpus.texts[..<200]
        // A bucket larger than the window.
        let base = (0..<100).map { "common\($0)" }
        corpus.texts += (0..<200).map { (base + ["own\($0)"]).joined(separator: " ") }
        let options = DuplicateOptions()
        let folder = try TemporaryFolder()
        let whole = [3400]
        let one = try writeSignatures(corpus.documents, units: whole, options, in: folder)
        let expected = try DuplicateSearch.forest(signatures: one, options: options).0.all(
            units: whole)
        #expect(expected.count > 1000)
        #expect(expected.suffix(199).allSatisfy { $0[1] == 3200 && $0[2] == 1 })

        let units = [1, 0, 1099, 700] + [Int](repeating: 8, count: 200)
        let many = try writeSignatures(
            corpus.documents, units: units, options, in: folder, name: "many")
        for (memory, threads) in [(1 << 29, 1), (1 << 12, 1), (1 << 17, 3)] {
            let found = try DuplicateSearch.forest(
                signatures: many, options: options, memory: memory, threads: threads
            ).0
            #expect(found.all(units: units) == expected)
        }

        var shares: DuplicateForest?
        for index in 0..<4 {
            let part = try DuplicateSearch.forest(
                signatures: many, options: options, share: (index, 4)
            ).0
            let path = folder.file("share-\(index)")
            try part.write(to: path)
            let read = try DuplicateForest(reading: path, signatures: many, options: options)
            #expect(read == part)
            if shares?.merge(read) == nil { shares = read }
        }
        #expect(shares?.all(units: units) == expected)

        // Control: another order of the documents is another result.
        let reversed = try writeSignatures(
            corpus.documents.reversed(), units: whole, options, in: folder, name: "reversed")
        #expect(
            try DuplicateSearch.forest(signatures: reversed, options: options).0.all(units: whole)
                != expected)
    }
}
