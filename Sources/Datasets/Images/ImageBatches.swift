// The view of image classification: patches of images, and a class each.

/// How an image becomes a row of a batch.
public struct ImageView: Sendable, Equatable {
    public var transform: PictureTransform
    public var channels: Int
    /// Side of a patch.
    public var patch: Int

    public init(transform: PictureTransform, channels: Int, patch: Int) {
        (self.transform, self.channels, self.patch) = (transform, channels, patch)
    }

    /// Of a row: patches, and the numbers of each.
    public var extents: [Int] {
        let side = transform.size / patch
        return [side * side, channels * patch * patch]
    }

    fileprivate func row(
        _ set: ImageSet, _ index: Int, draw: (seed: UInt64, sample: Int)?
    ) throws(DatasetError) -> [Float] {
        let picture = try set.picture(index, channels: channels)
        return transform(picture, draw: draw).patches(patch)
    }

    fileprivate func batch(
        _ values: [Float], labels: [Int32], weight: Float, firstSequence: Int
    ) -> Batch {
        Batch(
            fields: [
                Batch.Field(
                    name: Batch.Name.patches, rows: labels.count, extents: extents,
                    values: .floats(values)),
                Batch.Field(
                    name: Batch.Name.targets, rows: labels.count, columns: 1, values: labels),
            ], weights: [Float](repeating: weight, count: labels.count), sequences: labels.count,
            firstSequence: firstSequence)
    }

    fileprivate func blank(rows: Int) -> Batch {
        batch(
            [Float](repeating: 0, count: extents.reduce(rows, *)),
            labels: [Int32](repeating: Batch.ignoredTarget, count: rows), weight: 0,
            firstSequence: 0)
    }
}

/// Training batches: each image once an epoch, in an order drawn for the epoch.
public struct ImageBatches: BatchSource {
    public let layout: BatchLayout
    private let dataset: ImageDataset
    private let view: ImageView
    private let seed: UInt64

    public init(_ dataset: ImageDataset, view: ImageView, layout: BatchLayout, seed: UInt64) {
        (self.dataset, self.view) = (dataset, view)
        (self.layout, self.seed) = (layout, seed)
    }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let sequences = layout.sequences(ofMicroBatch: microBatch)
        var (values, labels): ([Float], [Int32]) = ([], [])
        for sequence in sequences {
            let sample = position + sequence
            let (epoch, place) = sample.quotientAndRemainder(dividingBy: dataset.trainCount)
            let order = Permutation(
                count: dataset.trainCount, key: CounterHash.bits(seed, 20, UInt64(epoch)))
            let index = dataset.trainIndices[order[place]]
            values += try view.row(dataset.train, index, draw: (seed, sample))
            labels.append(Int32(dataset.train.labels[index]))
        }
        return view.batch(
            values, labels: labels, weight: 1, firstSequence: sequences.lowerBound)
    }

    public func targetWeight(position: Int) -> Double? { Double(layout.sequences) }

    public func blank(rows: Int) -> Batch { view.blank(rows: rows) }
}

/// Every held-out image once, in order.
public struct ImageEvaluationBatches: EvaluationSource {
    private let dataset: ImageDataset
    private let view: ImageView
    private let microBatch: Int

    public init(_ dataset: ImageDataset, view: ImageView, microBatch: Int) {
        (self.dataset, self.view, self.microBatch) = (dataset, view, microBatch)
    }

    public var batchCount: Int {
        (dataset.validationIndices.count + microBatch - 1) / microBatch
    }

    public func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch {
        let first = index * microBatch
        let end = min(first + microBatch, dataset.validationIndices.count)
        var (values, labels): ([Float], [Int32]) = ([], [])
        for number in dataset.validationIndices[first..<end] {
            values += try view.row(dataset.validation, number, draw: nil)
            labels.append(Int32(dataset.validation.labels[number]))
        }
        return view.batch(values, labels: labels, weight: 1, firstSequence: first)
    }
}

/// Pseudo-random images without a file, for measuring speed.
public struct SyntheticImages: BatchSource {
    public let layout: BatchLayout
    private let view: ImageView
    private let classes: Int
    private let seed: UInt64

    public init(view: ImageView, classes: Int, layout: BatchLayout, seed: UInt64) {
        (self.view, self.classes) = (view, classes)
        (self.layout, self.seed) = (layout, seed)
    }

    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let sequences = layout.sequences(ofMicroBatch: microBatch)
        let length = view.extents.reduce(1, *)
        var (values, labels): ([Float], [Int32]) = ([], [])
        for sample in sequences.map({ UInt64(position + $0) }) {
            values += (0..<length).map {
                Float(Int64(bitPattern: CounterHash.bits(seed, sample, UInt64($0))) >> 40) * 0x1p-23
            }
            labels.append(
                Int32(CounterHash.scaled(CounterHash.bits(seed, sample), below: classes)))
        }
        return view.batch(values, labels: labels, weight: 1, firstSequence: sequences.lowerBound)
    }

    public func targetWeight(position: Int) -> Double? { Double(layout.sequences) }

    public func blank(rows: Int) -> Batch { view.blank(rows: rows) }
}
