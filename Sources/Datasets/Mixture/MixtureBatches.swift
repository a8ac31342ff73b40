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
    /// The rows of batches that have the same fields, one below the other.
    init(joining batches: [Batch], firstSequence: Int) {
        precondition(!batches.isEmpty, "Batch: expected batches to join, got none")
        let rows = batches.reduce(0) { $0 + $1.sequences }
        let fields = batches[0].fields.map { first -> Field in
            let parts = batches.map { $0[first.name] }
            precondition(
                parts.allSatisfy { $0.extents == first.extents },
                "Batch: \(first.name): expected rows of \(first.extents), got "
                    + "\(parts.map(\.extents))")
            let values: Values =
                switch first.values {
                case .integers: .integers(parts.flatMap(\.integers))
                case .floats: .floats(parts.flatMap(\.floats))
                }
            return Field(name: first.name, rows: rows, extents: first.extents, values: values)
        }
        self.init(
            fields: fields, weights: batches.flatMap(\.weights), sequences: rows,
            firstSequence: firstSequence)
    }
}
