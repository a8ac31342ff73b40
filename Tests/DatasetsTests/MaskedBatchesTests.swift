import Datasets
import Testing

/// Some tokens of a window are to be found from the others.
@Suite struct MaskedBatchesTests {
    private static let length = 40

    private func masking(
        rate: Double = 0.15, words: WordBoundary? = nil, seed: UInt64 = 3
    ) -> Masking {
        Masking(rate: rate, mask: 1000, symbols: 1000, words: words, seed: seed)
    }

    private func stream(_ folder: TestFolder, _ tokens: [Int32]) throws -> TokenStream {
        try TokenStream(
            paths: [try folder.shard("tokens", tokens, vocabulary: 1000)])
    }

    private func batches(
        _ folder: TestFolder, _ masking: Masking, sequences: Int = 8, microBatch: Int = 2
    ) throws -> MaskedBatches {
        // Words of three, with 0 between them.
        let tokens = (0..<4000).map { $0 % 4 == 3 ? 0 : Int32(1 + $0 % 997) }
        return try MaskedBatches(
            stream: stream(folder, tokens), sampleLength: Self.length,
            layout: BatchLayout(sequences: sequences, microBatch: microBatch), masking: masking)
    }

    private func integers(_ batch: Batch, _ name: String) -> [Int32] { batch[name].integers }

    /// Puts the targets back where they were.
    private func restored(_ batch: Batch) -> [Int32] {
        var tokens = integers(batch, Batch.Name.tokens)
        let count = batch[Batch.Name.places].extents[0]
        let targets = integers(batch, Batch.Name.targets)
        for (index, place) in integers(batch, Batch.Name.places).enumerated() where place >= 0 {
            tokens[index / count * Self.length + Int(place)] = targets[index]
        }
        return tokens
    }

    @Test func theTargetsAreWhatWasThere() throws {
        let folder = try TestFolder()
        let source = try batches(folder, masking())
        let plain = try batches(folder, masking(seed: 3))
        var (masked, other, same) = (0, 0, 0)
        for position in stride(from: 0, to: 8 * 60, by: 8) {
            for microBatch in 0..<4 {
                let batch = try source.trainingBatch(position: position, microBatch: microBatch)
                #expect(
                    batch == (try plain.trainingBatch(position: position, microBatch: microBatch)))
                #expect(batch.weights == [Float](repeating: 1, count: 12))
                #expect(integers(batch, Batch.Name.lengths) == [40, 40])
                let (tokens, whole) = (integers(batch, Batch.Name.tokens), restored(batch))
                for (index, place) in integers(batch, Batch.Name.places).enumerated() {
                    let spot = index / 6 * Self.length + Int(place)
                    switch tokens[spot] {
                    case 1000: masked += 1
                    case whole[spot]: same += 1
                    default: other += 1
                    }
                }
                // Every fourth symbol stands between words, from some place on.
                for start in [0, Self.length] {
                    let row = Array(whole[start..<start + Self.length])
                    let phase = row.firstIndex(of: 0)!
                    #expect(row.indices.allSatisfy { (row[$0] == 0) == ($0 % 4 == phase) })
                }
            }
        }
        let all = Double(masked + other + same)
        #expect(all == 60 * 8 * 6 && source.targetWeight(position: 0) == 48)
        #expect(abs(Double(masked) / all - 0.8) < 0.03)
        #expect(abs(Double(other) / all - 0.1) < 0.02 && abs(Double(same) / all - 0.1) < 0.02)
    }

    @Test func everyEpochIsMaskedAnewAndTheLayoutChangesNothing() throws {
        let folder = try TestFolder()
        let source = try batches(folder, masking())
        let wide = try batches(folder, masking(), sequences: 4, microBatch: 4)
        let narrow = try source.trainingBatch(position: 8, microBatch: 1)
        let other = try wide.trainingBatch(position: 8, microBatch: 0)
        #expect(
            integers(narrow, Batch.Name.tokens)
                == Array(integers(other, Batch.Name.tokens).suffix(2 * Self.length)))
        #expect(
            integers(narrow, Batch.Name.places)
                == Array(integers(other, Batch.Name.places).suffix(12)))
        // The same window, 99 samples an epoch, in other epochs.
        var places: Set<[Int32]> = []
        var found = 0
        let first = Array(restored(try source.trainingBatch(position: 0, microBatch: 0)).prefix(20))
        for sample in 0..<99 * 40 where sample % 2 == 0 {
            let batch = try source.trainingBatch(position: sample, microBatch: 0)
            guard Array(restored(batch).prefix(20)) == first else { continue }
            found += 1
            places.insert(Array(integers(batch, Batch.Name.places).prefix(6)))
        }
        #expect(found > 1 && places.count == found)
        let reseeded = try batches(folder, masking(seed: 4))
        #expect(try reseeded.trainingBatch(position: 8, microBatch: 1) != narrow, "control")
    }

    @Test func wordsAreMaskedWhole() throws {
        let folder = try TestFolder()
        let source = try batches(folder, masking(rate: 0.2, words: .separators([0])))
        #expect(source.targetWeight(position: 0) == nil)
        var counts: Set<Double> = []
        for step in 0..<30 {
            let batch = try source.trainingBatch(position: 8 * step, microBatch: 1)
            counts.insert(batch.targetWeight)
            let whole = restored(batch)
            for row in 0..<2 {
                let chosen = Set(
                    integers(batch, Batch.Name.places)[row * 8..<row * 8 + 8].filter { $0 >= 0 }
                        .map { Int($0) })
                let line = Array(whole[row * Self.length..<(row + 1) * Self.length])
                for place in 1..<Self.length where line[place] != 0 && line[place - 1] != 0 {
                    #expect(chosen.contains(place) == chosen.contains(place - 1))
                }
            }
        }
        #expect(counts.max()! <= 16 && counts.min()! >= 10)
        // The control: single tokens break words.
        let single = try batches(folder, masking(rate: 0.2)).trainingBatch(
            position: 0, microBatch: 1)
        let chosen = Set(integers(single, Batch.Name.places).prefix(8).map { Int($0) })
        let line = Array(restored(single).prefix(Self.length))
        #expect(
            (1..<Self.length).contains {
                line[$0] != 0 && line[$0 - 1] != 0 && chosen.contains($0) != chosen.contains($0 - 1)
            })
    }

    @Test func theLastWindowOfASplitIsPadded() throws {
        let folder = try TestFolder()
        let source = try MaskedEvaluationBatches(
            stream: stream(folder, (0..<90).map { Int32($0) }), sampleLength: Self.length,
            microBatch: 2, masking: masking())
        #expect(source.batchCount == 2)
        let batch = try source.evaluationBatch(1)
        #expect(batch.sequences == 1 && integers(batch, Batch.Name.lengths) == [10])
        #expect(
            batch.targetWeight == 2
                && integers(batch, Batch.Name.places).suffix(4) == [-1, -1, -1, -1])
        #expect(Array(restored(batch).prefix(10)) == (80..<90).map { Int32($0) })
        #expect(integers(batch, Batch.Name.tokens).suffix(30).allSatisfy { $0 == 0 })
    }

    @Test func blankBatchesCountNothing() throws {
        let folder = try TestFolder()
        let source = try batches(folder, masking())
        let (blank, real) = (
            source.blank(rows: 2), try source.trainingBatch(position: 0, microBatch: 0)
        )
        #expect(blank.targetWeight == 0)
        #expect(blank.fields.map(\.name) == real.fields.map(\.name))
        #expect(blank.fields.map(\.extents) == real.fields.map(\.extents))
    }
}
