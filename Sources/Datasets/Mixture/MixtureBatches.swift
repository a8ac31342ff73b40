/// Training batches whose rows come from several sources, each of which goes through epochs of its own.
public struct MixtureBatches: BatchSource {
    public let layout: BatchLayout
    private let sources: [any BatchSource]
    private let order: MixtureOrder

    /// - Parameter sources: of one sequence a step each, with the same fields.
    public init(_ sources: [any BatchSource], order: MixtureOrder, layout: BatchLayout) {
        precondition(
            sources.count == order.sourceCount
                && sources.allSatisfy { $0.layout == BatchLayout(sequences: 1, microBatch: 1) },
            "MixtureBatches: expected \(order.sourceCount) sources of single sequences")
        (self.sources, self.order, self.layout) = (sources, order, layout)
    }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let sequences = layout.sequences(ofMicroBatch: microBatch)
        var rows: [Batch] = []
        rows.reserveCapacity(sequences.count)
        for sequence in sequences {
            let place = order.place(of: position + sequence)
            rows.append(
                try sources[place.source].trainingBatch(position: place.sample, microBatch: 0))
        }
        return Batch(joining: rows, firstSequence: sequences.lowerBound)
    }

    public func targetWeight(position: Int) -> Double? {
        var sum = 0.0
        for sequence in 0..<layout.sequences {
            let place = order.place(of: position + sequence)
            guard let weight = sources[place.source].targetWeight(position: place.sample) else {
                return nil
            }
            sum += weight
        }
        return sum
    }

    public func blank(rows: Int) -> Batch { sources[0].blank(rows: rows) }
}

/// The evaluation batches of several sources, one after the other.
public struct MixtureEvaluationBatches: EvaluationSource {
    private let sources: [any EvaluationSource]
    public let parts: [EvaluationPart]

    public init(_ sources: [(name: String, source: any EvaluationSource)]) {
        self.sources = sources.map(\.source)
        var (parts, start): ([EvaluationPart], Int) = ([], 0)
        for (name, source) in sources {
            parts.append(
                EvaluationPart(name: name, batches: start..<start + source.batchCount))
            start += source.batchCount
        }
        self.parts = parts
    }

    public var batchCount: Int { parts.last?.batches.upperBound ?? 0 }

    public func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch {
        guard let part = parts.firstIndex(where: { $0.batches.contains(index) }) else {
            preconditionFailure("MixtureEvaluationBatches: batch \(index) of \(batchCount)")
        }
        return try sources[part].evaluationBatch(index - parts[part].batches.lowerBound)
    }
}

extension Batch {
    /// The rows of batches that have the same fields, one below the other; shorter rows are padded at their ends.
    init(joining batches: [Batch], firstSequence: Int) {
        precondition(!batches.isEmpty, "Batch: expected batches to join, got none")
        let rows = batches.reduce(0) { $0 + $1.sequences }
        let fields = batches[0].fields.map { first in
            Field(joining: batches.map { $0[first.name] }, rows: rows)
        }
        // There is a weight for each target.
        let columns = batches.map { $0.weights.count / max(1, $0.sequences) }
        let most = columns.max() ?? 0
        var weights: [Float] = []
        weights.reserveCapacity(rows * most)
        for (batch, columns) in zip(batches, columns) {
            for row in 0..<batch.sequences {
                weights += batch.weights[row * columns..<(row + 1) * columns]
                weights += repeatElement(0, count: most - columns)
            }
        }
        self.init(
            fields: fields, weights: weights, sequences: rows, firstSequence: firstSequence)
    }
}

extension Batch.Field {
    fileprivate init(joining parts: [Batch.Field], rows: Int) {
        let first = parts[0]
        let extents =
            first.extents.count == 1
            ? [parts.map { $0.extents[0] }.max() ?? 0] : first.extents
        precondition(
            parts.allSatisfy {
                $0.extents.count == extents.count && (extents.count == 1 || $0.extents == extents)
            },
            "Batch: \(first.name): expected rows of \(extents), got \(parts.map(\.extents))")
        let padding: Int32 =
            [Batch.Name.targets, Batch.Name.places].contains(first.name)
            ? Batch.ignoredTarget : 0
        let values: Batch.Values =
            switch first.values {
            case .integers:
                .integers(
                    parts.flatMap {
                        Self.padded($0.integers, rows: $0.rows, $0.extents, to: extents, padding)
                    })
            case .floats:
                .floats(
                    parts.flatMap {
                        Self.padded($0.floats, rows: $0.rows, $0.extents, to: extents, 0)
                    })
            }
        self.init(name: first.name, rows: rows, extents: extents, values: values)
    }

    private static func padded<Value>(
        _ values: [Value], rows: Int, _ extents: [Int], to wanted: [Int], _ padding: Value
    ) -> [Value] {
        guard extents != wanted else { return values }
        var padded: [Value] = []
        padded.reserveCapacity(rows * wanted[0])
        for row in 0..<rows {
            padded += values[row * extents[0]..<(row + 1) * extents[0]]
            padded += repeatElement(padding, count: wanted[0] - extents[0])
        }
        return padded
    }
}
