import Datasets
import Foundation
import Testing

@Suite struct TokenBatchesTests {
    static func source(
        _ folder: TestFolder, tokens: Int = 5000, length: Int = 16, sequences: Int = 12,
        microBatch: Int = 3, seed: UInt64 = 1
    ) throws -> (TokenStream, TokenBatches) {
        // Every token tells its place.
        let path = folder.file("tokens-\(tokens)")
        if !FileManager.default.fileExists(atPath: path) {
            try folder.shard("tokens-\(tokens)", (0..<tokens).map { Int32($0) }, vocabulary: tokens)
        }
        let stream = try TokenStream(paths: [path])
        let layout = BatchLayout(sequences: sequences, microBatch: microBatch)
        return (
            stream,
            try TokenBatches(stream: stream, sampleLength: length, layout: layout, seed: seed)
        )
    }

    @Test func targetsAreTheNextTokens() throws {
        let folder = try TestFolder()
        let (_, source) = try TokenBatchesTests.source(folder)
        let batch = try source.trainingBatch(position: 24, microBatch: 2)
        let (tokens, targets) = (batch[Batch.Name.tokens], batch[Batch.Name.targets])
        #expect(tokens.rows == 3 && tokens.extents[0] == 16 && batch.sequences == 3)
        #expect(batch.firstSequence == 6)
        #expect(targets.integers == tokens.integers.map { $0 + 1 })
        #expect(batch.weights == [Float](repeating: 1, count: 48))
        for row in 0..<3 {
            let window = source.order.window(ofSample: 24 + 6 + row)
            #expect(tokens.integers[row * 16] == Int32(window.lowerBound))
        }
        #expect(source.targetWeight(position: 24) == Double(12 * 16))
    }

    /// Whatever the micro-batch, the ranks and the batch of a step, the run's samples are the same.
    @Test func theOrderDoesNotDependOnTheLayout() throws {
        let folder = try TestFolder()
        func samples(sequences: Int, microBatch: Int, ranks: Int) throws -> [Int32] {
            let (_, source) = try TokenBatchesTests.source(
                folder, sequences: sequences, microBatch: microBatch)
            var firsts = [Int32](repeating: -1, count: 48)
            let share = source.layout.microBatchCount / ranks
            for rank in 0..<ranks {
                for position in stride(from: 0, to: 48, by: sequences) {
                    for index in rank * share..<(rank + 1) * share {
                        let batch = try source.trainingBatch(position: position, microBatch: index)
                        for row in 0..<batch.sequences {
                            firsts[position + batch.firstSequence + row] =
                                batch[Batch.Name.tokens].integers[row * 16]
                        }
                    }
                }
            }
            return firsts
        }
        let expected = try samples(sequences: 12, microBatch: 12, ranks: 1)
        #expect(Set(expected).count == 48)
        #expect(try samples(sequences: 12, microBatch: 3, ranks: 1) == expected)
        #expect(try samples(sequences: 12, microBatch: 3, ranks: 2) == expected)
        #expect(try samples(sequences: 12, microBatch: 3, ranks: 4) == expected)
        #expect(try samples(sequences: 24, microBatch: 2, ranks: 4) == expected)
    }

    @Test func lessThanAStepIsAnError() throws {
        let folder = try TestFolder()
        // 12 windows of 16 with any phase need 13 · 16 tokens.
        _ = try TokenBatchesTests.source(folder, tokens: 208)
        let error = datasetError { _ = try TokenBatchesTests.source(folder, tokens: 207) }
        #expect(error?.kind == .tooSmall)
        #expect(error?.message.contains("12 samples of 16 tokens (208 tokens), found 11") == true)
        #expect(
            datasetError { _ = try TokenBatchesTests.source(folder, tokens: 16) }?.kind == .tooSmall
        )
    }
}

@Suite struct EvaluationBatchesTests {
    @Test(arguments: [2, 3, 16, 17, 18, 33, 100, 129], [1, 3, 4])
    func everyTokenIsPredictedOnce(count: Int, microBatch: Int) throws {
        let folder = try TestFolder()
        let tokens = (0..<count).map { Int32($0) }
        let stream = try TokenStream(paths: [folder.shard("a", tokens, vocabulary: 200)])
        let source = try EvaluationBatches(stream: stream, sampleLength: 16, microBatch: microBatch)
        var (inputs, targets): ([Int32], [Int32]) = ([], [])
        var (rows, weight) = (0, 0.0)
        for index in 0..<source.batchCount {
            let batch = try source.evaluationBatch(index)
            #expect(batch.firstSequence == rows)
            #expect(batch[Batch.Name.tokens].extents[0] == 16)
            rows += batch.sequences
            weight += batch.targetWeight
            for (position, weight) in batch.weights.enumerated() {
                let target = batch[Batch.Name.targets].integers[position]
                if weight == 0 {
                    #expect(target == Batch.ignoredTarget)
                    #expect(batch[Batch.Name.tokens].integers[position] == 0)
                } else {
                    #expect(weight == 1)
                    inputs.append(batch[Batch.Name.tokens].integers[position])
                    targets.append(target)
                }
            }
        }
        #expect(inputs == Array(tokens.dropLast()))
        #expect(targets == Array(tokens.dropFirst()))
        #expect(weight == Double(count - 1))
    }

    @Test func oneTokenCannotBeEvaluated() throws {
        let folder = try TestFolder()
        let stream = try TokenStream(paths: [folder.shard("a", [1], vocabulary: 2)])
        let error = datasetError {
            _ = try EvaluationBatches(stream: stream, sampleLength: 16, microBatch: 1)
        }
        #expect(error?.kind == .tooSmall)
    }
}

@Suite struct SyntheticBatchesTests {
    @Test func tokensAreSpreadAndReproducible() throws {
        let layout = BatchLayout(sequences: 8, microBatch: 4)
        func source(_ seed: UInt64) -> SyntheticBatches {
            SyntheticBatches(sampleLength: 64, vocabularySize: 100, layout: layout, seed: seed)
        }
        let batch = try source(1).trainingBatch(position: 0, microBatch: 1)
        let (tokens, targets) = (
            batch[Batch.Name.tokens].integers, batch[Batch.Name.targets].integers
        )
        #expect(tokens.count == 4 * 64)
        #expect(tokens.allSatisfy { $0 >= 0 && $0 < 100 } && Set(tokens).count > 80)
        #expect(Array(tokens[1..<64]) == Array(targets[0..<63]))
        #expect(try source(1).trainingBatch(position: 0, microBatch: 1) == batch)
        #expect(try source(2).trainingBatch(position: 0, microBatch: 1) != batch)
        #expect(try source(1).trainingBatch(position: 8, microBatch: 1) != batch)
        #expect(source(1).targetWeight(position: 0) == 512.0)
    }
}

@Suite struct BatchPrefetcherTests {
    /// Batches of one sequence that tell position and micro-batch; fails at `failure`.
    final class Source: BatchSource {
        let layout = BatchLayout(sequences: 8, microBatch: 2)
        let failure: (position: Int, microBatch: Int)?

        init(failure: (position: Int, microBatch: Int)? = nil) { self.failure = failure }

        func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
            if let failure, failure == (position, microBatch) {
                throw DatasetError(.corrupt, "batch \(position) \(microBatch)")
            }
            let field = Batch.Field(
                name: "place", rows: 1, columns: 2, values: [Int32(position), Int32(microBatch)])
            return Batch(fields: [field], weights: [1, 1], sequences: 1, firstSequence: 0)
        }

        func targetWeight(position: Int) -> Double? { 16 }
        func blank(rows: Int) -> Batch {
            Batch(fields: [], weights: [], sequences: rows, firstSequence: 0)
        }
    }

    @Test(arguments: [1, 2, 5])
    func batchesComeInOrder(depth: Int) throws {
        let prefetcher = BatchPrefetcher(
            source: Source(), position: 16, microBatches: 1..<3, depth: depth)
        for step in 0..<50 {
            for microBatch in 1..<3 {
                let place = try prefetcher.next()["place"].integers
                #expect(place == [Int32(16 + 8 * step), Int32(microBatch)])
            }
        }
    }

    @Test func anErrorComesInItsPlaceAndStays() throws {
        let prefetcher = BatchPrefetcher(
            source: Source(failure: (8, 1)), position: 0, microBatches: 0..<4, depth: 3)
        for _ in 0..<5 { _ = try prefetcher.next() }
        for _ in 0..<2 {
            #expect(datasetError { _ = try prefetcher.next() }?.message == "batch 8 1")
        }
    }

    @Test func theThreadEndsWithThePrefetcher() throws {
        weak var source: Source?
        do {
            let strong = Source()
            source = strong
            let prefetcher = BatchPrefetcher(source: strong, position: 0, microBatches: 0..<4)
            _ = try prefetcher.next()
            #expect(source != nil)
        }
        let deadline = Date().addingTimeInterval(60)
        while source != nil && Date() < deadline { usleep(1000) }
        #expect(source == nil)
    }

    @Test func aCorruptBlockReachesTheConsumer() throws {
        let folder = try TestFolder()
        var bytes = Array(
            try Data(
                contentsOf: URL(
                    fileURLWithPath: folder.shard(
                        "a", (0..<1000).map { Int32($0 % 50) }, vocabulary: 50))))
        bytes[128 + 500] ^= 1
        let stream = try TokenStream(paths: [folder.write("b", bytes)])
        let source = try TokenBatches(
            stream: stream, sampleLength: 8, layout: BatchLayout(sequences: 4, microBatch: 2),
            seed: 1)
        let prefetcher = BatchPrefetcher(source: source, position: 0, microBatches: 0..<2)
        let error = datasetError { for _ in 0..<200 { _ = try prefetcher.next() } }
        #expect(error?.kind == .corrupt)
        #expect(error?.message.contains("checksum of block 7") == true)
    }
}
