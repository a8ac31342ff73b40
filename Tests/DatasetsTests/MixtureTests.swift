import Datasets
import Testing

@Suite struct MixtureTests {
    private static let segments: [[MixtureOrder.Segment]] = [
        [.init(start: 0, weights: [1])],
        [.init(start: 0, weights: [1, 1])],
        [.init(start: 0, weights: [500_000_000, 300_000_000, 200_000_000])],
        [.init(start: 0, weights: [0, 7, 0, 13, 1])],
        [
            .init(start: 0, weights: [5, 3, 2]), .init(start: 1000, weights: [0, 0, 1]),
            .init(start: 1001, weights: [1, 10, 100]), .init(start: 2500, weights: [2, 3, 5]),
        ],
        [.init(start: 0, weights: Array(1...37))],
    ]

    /// Samples of a source come one after the other, none twice and none left out, whatever the weights and
    /// their changes.
    @Test(arguments: segments) func everySampleOfASourceComesOnce(
        segments: [MixtureOrder.Segment]
    ) {
        let order = MixtureOrder(segments)
        var next = [Int](repeating: 0, count: order.sourceCount)
        for sample in 0..<5000 {
            #expect(order.counts(before: sample) == next)
            let place = order.place(of: sample)
            #expect(place.sample == next[place.source])
            next[place.source] += 1
        }
    }

    /// After any number of samples each source has had its part of them, within half a sample for each level of
    /// the tree.
    @Test(arguments: segments.filter { $0.count == 1 }) func proportionsAreExact(
        segments: [MixtureOrder.Segment]
    ) {
        let order = MixtureOrder(segments)
        let weights = segments[0].weights
        let whole = Double(weights.reduce(0, +))
        let levels = Double((0...).first { 1 << $0 >= weights.count } ?? 0)
        for sample in [1, 2, 10, 999, 12_345, 1_000_000, 123_456_789_012, Int.max / 2] {
            for (count, weight) in zip(order.counts(before: sample), weights) {
                let expected = Double(weight) / whole * Double(sample)
                // Beyond 2^53 the expectation itself is rounded.
                let slack = max(levels * 0.5 + 1e-6, expected * 1e-15)
                let difference = abs(Double(count) - expected)
                #expect(difference <= slack)
                // A control: another weight is not within it.
                if sample > 1_000_000, weights.count > 1 {
                    let wrong = abs(Double(count) - expected * 1.001)
                    #expect(wrong > slack || weight == 0)
                }
            }
        }
    }

    private struct Numbered: BatchSource {
        let first: Int32
        let columns: Int
        let layout = BatchLayout(sequences: 1, microBatch: 1)

        func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
            Batch(
                fields: [
                    .init(
                        name: Batch.Name.tokens, rows: 1, columns: columns,
                        values: [Int32](repeating: first + Int32(position), count: columns)),
                    .init(
                        name: Batch.Name.targets, rows: 1, columns: columns,
                        values: [Int32](repeating: first, count: columns)),
                ], weights: [Float](repeating: 1, count: columns), sequences: 1, firstSequence: 0)
        }

        func targetWeight(position: Int) -> Double? { Double(columns) }
        func blank(rows: Int) -> Batch { fatalError("not asked for") }
    }

    @Test func rowsOfAllSourcesMakeABatchWhateverTheLayout() throws {
        let order = MixtureOrder([.init(start: 0, weights: [2, 1])])
        let sources: [any BatchSource] = [
            Numbered(first: 1000, columns: 2), Numbered(first: 2000, columns: 3),
        ]
        func rows(_ layout: BatchLayout) throws -> [[Int32]] {
            let batches = MixtureBatches(sources, order: order, layout: layout)
            var rows: [[Int32]] = []
            for position in stride(from: 0, to: 24, by: layout.sequences) {
                var weight = 0.0
                for sample in position..<position + layout.sequences {
                    weight += order.place(of: sample).source == 0 ? 2 : 3
                }
                #expect(batches.targetWeight(position: position) == weight)
                for index in 0..<layout.microBatchCount {
                    let batch = try batches.trainingBatch(position: position, microBatch: index)
                    #expect(batch.firstSequence == index * layout.microBatch)
                    let tokens = batch[Batch.Name.tokens]
                    let columns = tokens.extents[0]
                    #expect(batch.weights.count == batch.sequences * columns)
                    for row in 0..<batch.sequences {
                        let values = tokens.integers[row * columns..<(row + 1) * columns]
                        let targets = batch[Batch.Name.targets].integers[
                            row * columns..<(row + 1) * columns]
                        let weights = batch.weights[row * columns..<(row + 1) * columns]
                        // Padding counts nothing.
                        for column in 0..<columns {
                            let isPadding = column == 2 && values.first! < 2000
                            let weight = weights[weights.startIndex + column]
                            let target = targets[targets.startIndex + column]
                            #expect(weight == (isPadding ? 0 : 1))
                            #expect((target == Batch.ignoredTarget) == isPadding)
                        }
                        rows.append(values.filter { $0 != 0 })
                    }
                }
            }
            return rows
        }
        let whole = try rows(BatchLayout(sequences: 24, microBatch: 24))
        let first = whole.map { $0[0] }
        let (left, right): ([Int32], [Int32]) = (Array(1000..<1016), Array(2000..<2008))
        #expect(first.filter { $0 < 2000 } == left)
        #expect(first.filter { $0 >= 2000 } == right)
        for layout in [(24, 1), (24, 4), (12, 3), (6, 6), (1, 1)] {
            #expect(
                try rows(BatchLayout(sequences: layout.0, microBatch: layout.1)) == whole)
        }
    }
}
