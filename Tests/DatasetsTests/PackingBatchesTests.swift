import Datasets
import Testing

@Suite struct PackedBatchesTests {
    private typealias Name = Batch.Name

    /// Documents whose tokens tell their place.
    private func stream(_ folder: TestFolder, _ documents: ListedDocuments) throws -> TokenStream {
        let tokens = documents.tokens
        return try TokenStream(
            paths: [
                folder.shard("tokens", (0..<tokens).map { Int32($0) }, vocabulary: tokens + 1)
            ])
    }

    @Test func aBatchByHand() throws {
        let folder = try TestFolder()
        // Places: 2, 5 (a full row, and 1), 3, 0.
        let documents = ListedDocuments(lengths: [3, 6, 4, 1])
        let rows = try PackedRows(documents: documents, rowLength: 4, endToken: nil)
        let source = try PackedEvaluationBatches(
            stream: stream(folder, documents), rows: rows, microBatch: 3)
        #expect(source.batchCount == 1)
        let batch = try source.evaluationBatch(0)
        #expect(batch[Name.tokens].integers == [3, 4, 5, 6, 9, 10, 11, 7, 0, 1, 0, 0])
        #expect(batch[Name.targets].integers == [4, 5, 6, 7, 10, 11, 12, 8, 1, 2, -1, -1])
        #expect(batch[Name.segments].integers == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1])
        #expect(batch[Name.positions].integers == [0, 1, 2, 3, 0, 1, 2, 0, 0, 1, 0, 1])
        #expect(batch.weights == [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0])
        #expect(batch.fields.allSatisfy { $0.extents == [4] } && batch.sequences == 3)
    }

    @Test func theEndIsPredictedWhereThereIsOne() throws {
        let folder = try TestFolder()
        let documents = ListedDocuments(lengths: [3, 6, 1])
        let rows = try PackedRows(documents: documents, rowLength: 4, endToken: 10)
        let source = try PackedEvaluationBatches(
            stream: stream(folder, documents), rows: rows, microBatch: 2)
        #expect(source.batchCount == 2)
        let (first, second) = (try source.evaluationBatch(0), try source.evaluationBatch(1))
        #expect(first[Name.tokens].integers == [3, 4, 5, 6, 0, 1, 2, 9])
        #expect(first[Name.targets].integers == [4, 5, 6, 7, 1, 2, 10, 10])
        #expect(first[Name.segments].integers == [0, 0, 0, 0, 0, 0, 0, 1])
        #expect(second[Name.tokens].integers == [7, 8, 0, 0])
        #expect(second[Name.targets].integers == [8, 10, -1, -1])
        #expect(second.firstSequence == 2 && second.targetWeight == 2)
    }

    private func source(
        _ folder: TestFolder, sequences: Int = 6, microBatch: Int = 3, seed: UInt64 = 1
    ) throws -> PackedBatches {
        let documents = ListedDocuments.like(texts: 300, median: 12, seed: 2)
        return try PackedBatches(
            stream: stream(folder, documents),
            rows: PackedRows(documents: documents, rowLength: 16, endToken: nil),
            layout: BatchLayout(sequences: sequences, microBatch: microBatch), seed: seed)
    }

    @Test func eachRowOncePerEpochInAnotherOrder() throws {
        let folder = try TestFolder()
        let source = try source(folder)
        let count = source.rowsPerEpoch
        let epochs = (0..<3).map { epoch in
            (0..<count).map { source.row(ofSample: epoch * count + $0) }
        }
        for rows in epochs { #expect(rows.sorted() == Array(0..<count)) }
        #expect(Set(epochs).count == 3)
        #expect(epochs[0] != Array(0..<count), "control: an order without a draw")
        let other = try self.source(folder, seed: 2)
        #expect((0..<count).map { other.row(ofSample: $0) } != epochs[0])
    }

    /// Whatever the micro-batch and the batch of a step, the run's rows are the same.
    @Test func theOrderDoesNotDependOnTheLayout() throws {
        let folder = try TestFolder()
        func rows(sequences: Int, microBatch: Int) throws -> [[Int32]] {
            let source = try source(folder, sequences: sequences, microBatch: microBatch)
            return try stride(from: 0, to: 24, by: sequences).flatMap { position in
                try (0..<source.layout.microBatchCount).flatMap { index in
                    let batch = try source.trainingBatch(position: position, microBatch: index)
                    #expect(batch.firstSequence == index * microBatch)
                    let tokens = batch[Name.tokens].integers
                    return (0..<microBatch).map { Array(tokens[$0 * 16..<($0 + 1) * 16]) }
                }
            }
        }
        let expected = try rows(sequences: 6, microBatch: 6)
        #expect(Set(expected).count == 24)
        #expect(try rows(sequences: 6, microBatch: 2) == expected)
        #expect(try rows(sequences: 12, microBatch: 3) == expected)
        #expect(try rows(sequences: 24, microBatch: 24) == expected)
    }

    /// The order is part of what a checkpoint means: these never change.
    @Test func theOrderIsTheOneOfAllVersions() throws {
        let folder = try TestFolder()
        let documents = ListedDocuments(lengths: (0..<500).map { 1 + $0 * $0 % 97 })
        let source = try PackedBatches(
            stream: stream(folder, documents),
            rows: PackedRows(documents: documents, rowLength: 32, endToken: 0),
            layout: BatchLayout(sequences: 1, microBatch: 1), seed: 1337)
        let samples = [0, 1, 2, source.rowsPerEpoch - 1, source.rowsPerEpoch, 1_000_000]
        #expect(samples.map { source.row(ofSample: $0) } == [520, 537, 354, 272, 209, 467])
        let firsts = try samples.map {
            try source.trainingBatch(position: $0, microBatch: 0)[Name.tokens].integers[0]
        }
        #expect(firsts == [9862, 17154, 15916, 12145, 9326, 8728])
    }

    @Test func aBlankBatchHasTheShapesAndCountsNothing() throws {
        let folder = try TestFolder()
        let source = try source(folder)
        let real = try source.trainingBatch(position: 0, microBatch: 0)
        let blank = source.blank(rows: 3)
        #expect(blank.fields.map(\.name) == real.fields.map(\.name))
        #expect(blank.fields.map(\.extents) == real.fields.map(\.extents))
        #expect(blank.targetWeight == 0 && real.targetWeight > 0)
        #expect(source.targetWeight(position: 0) == nil)
        #expect(blank[Name.positions].integers.max() == 15)
    }

    /// The tokens of windows, cut into documents that fill a row.
    @Test func syntheticRowsAreFullOfDocuments() throws {
        let layout = BatchLayout(sequences: 8, microBatch: 4)
        let source = SyntheticPackedBatches(
            rowLength: 64, vocabularySize: 100, layout: layout, seed: 1)
        let windows = SyntheticBatches(
            sampleLength: 64, vocabularySize: 100, layout: layout, seed: 1)
        let batch = try source.trainingBatch(position: 8, microBatch: 1)
        let plain = try windows.trainingBatch(position: 8, microBatch: 1)
        #expect(batch[Name.tokens] == plain[Name.tokens] && batch.weights == plain.weights)
        #expect(batch[Name.targets] == plain[Name.targets])
        #expect(batch.firstSequence == 4 && source.targetWeight(position: 8) == 512)
        let (segments, positions) = (
            batch[Name.segments].integers, batch[Name.positions].integers
        )
        for place in segments.indices {
            let begins = place % 64 == 0 || segments[place] != segments[place - 1]
            #expect(positions[place] == (begins ? 0 : positions[place - 1] + 1))
            #expect(
                segments[place] == (place % 64 == 0 ? 0 : segments[place - 1] + (begins ? 1 : 0)))
        }
        #expect(Set(segments).count > 2)
        #expect(try source.trainingBatch(position: 8, microBatch: 1) == batch)
        #expect(try source.trainingBatch(position: 0, microBatch: 1) != batch, "control")
        #expect(source.blank(rows: 4).fields.map(\.extents) == batch.fields.map(\.extents))
    }

    @Test func lessThanAStepIsAnError() throws {
        let folder = try TestFolder()
        let documents = ListedDocuments(lengths: [5, 5, 5])
        let stream = try stream(folder, documents)
        let rows = try PackedRows(documents: documents, rowLength: 8, endToken: nil)
        #expect(rows.count == 2)
        let error = datasetError {
            _ = try PackedBatches(
                stream: stream, rows: rows, layout: BatchLayout(sequences: 3, microBatch: 1),
                seed: 1)
        }
        #expect(error?.kind == .tooSmall)
        #expect(error?.message.contains("3 rows of 8 tokens, found 2 rows") == true)
        let none = ListedDocuments(lengths: [1, 1])
        let nothing = datasetError {
            _ = try PackedEvaluationBatches(
                stream: stream,
                rows: PackedRows(documents: none, rowLength: 8, endToken: nil), microBatch: 1)
        }
        #expect(nothing?.kind == .tooSmall)
    }
}
