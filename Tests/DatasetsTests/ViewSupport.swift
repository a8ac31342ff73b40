import Datasets

/// Records in memory.
struct MemoryRecords: RecordSource {
    var records: [Record]
    var vocabularySize = 1000

    init(_ records: [Record]) { self.records = records }

    var count: Int { records.count }

    func record(_ index: Int) throws(DatasetError) -> Record { records[index] }

    func lengths(of range: Range<Int>) throws(DatasetError) -> [Int] {
        range.map { records[$0].parts.reduce(0) { $0 + $1.tokens.count } }
    }

    /// Pairs of which the first token of source and target names the record; most are short, a few are long.
    static func pairs(_ count: Int, longest: Int = 60, seed: UInt64 = 9) -> MemoryRecords {
        var random = TestRandom(seed)
        return MemoryRecords(
            (0..<count).map { number in
                let limit = Int.random(in: 1...longest, using: &random)
                let source = Int.random(in: 1...limit, using: &random)
                let target = max(1, source + Int.random(in: -3...3, using: &random))
                func tokens(_ length: Int) -> [Int32] {
                    [Int32(1000 + number)] + [Int32](repeating: 7, count: length - 1)
                }
                return Record(parts: [
                    .init(.source, tokens(source)), .init(.target, tokens(target)),
                ])
            })
    }
}

extension Batch {
    /// Row `row` of an array of integers.
    func row(_ name: String, _ row: Int) -> [Int32] {
        let columns = self[name].extents.reduce(1, *)
        return Array(self[name].integers[row * columns..<(row + 1) * columns])
    }

    func rowWeights(_ row: Int) -> [Float] {
        let columns = weights.count / sequences
        return Array(weights[row * columns..<(row + 1) * columns])
    }

    /// The targets of a row that count, in their order.
    func countedTargets(_ index: Int) -> [Int32] {
        zip(row(Name.targets, index), rowWeights(index)).filter { $0.1 > 0 }.map(\.0)
    }

    /// The tokens of a row that exist.
    func source(_ index: Int) -> [Int32] {
        Array(row(Name.tokens, index).prefix(Int(self[Name.lengths].integers[index])))
    }

    /// Names and shapes, but for the longest row.
    var shape: [String] { fields.map { "\($0.name) \($0.rows) \($0.extents.count)" } }

    /// Whether the decoder is given its start and then each target one place late.
    func feedsTargetsBack(start: Int32) -> Bool {
        (0..<sequences).allSatisfy { index in
            let (inputs, targets) = (row(Name.decoderTokens, index), countedTargets(index))
            return inputs[0] == start
                && Array(inputs.dropFirst().prefix(max(0, targets.count - 1)))
                    == Array(targets.dropLast())
                && inputs.dropFirst(max(1, targets.count)).allSatisfy { $0 == 0 }
        }
    }
}

/// What `source` gives for the samples from `position` on, over `steps` steps, as ranks of any layout take it.
func trainingBatches(_ source: any BatchSource, from position: Int, steps: Int) throws -> [Batch] {
    try (0..<steps).flatMap { step in
        try (0..<source.layout.microBatchCount).map {
            try source.trainingBatch(
                position: position + step * source.layout.sequences, microBatch: $0)
        }
    }
}
