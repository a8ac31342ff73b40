// Data parallelism with sharded optimizer state (ZeRO stage 1, Rajbhandari et al. 2020): gradients are
// reduce-scattered bucket by bucket while the backward pass goes on, each rank updates its pieces, and
// working weights are gathered.

import Communication
import Layers
import Models
import Optimizers
import Tensors

/// A model's parameters, gradients and optimizer state on one data-parallel rank.
public final class DataParallel<Network: Model> {
    public let model: Network
    package let layout: FlatLayout
    private let communicator: any Communicator
    private let optimizer: any Optimizer
    private let weights: Buffer
    /// The pieces this rank owns, bucket by bucket, and where their moments lie.
    private let ownedPieces: [Range<Int>]
    private let moments: [Buffer]
    private let tree: GradientTree
    private let entryIndex: [ObjectIdentifier: Int]
    /// Per rank, the norm blocks whose sums it sends.
    private let blockOwners: [[Int]]
    private let ownBlocks: [Range<Int>]

    private var incompleteEntries: [Bool] = []
    private var reductions: [PendingOperation?] = []
    /// Whether the gradients of this rank's own micro-batches are searched before they are summed over
    /// the ranks; `nonFiniteGradient` is what was found first.
    package var inspectsGradients = false
    package private(set) var nonFiniteGradient: NonFiniteElement?
    /// Optimizer updates so far: Adam's time. Skipped steps do not count.
    public private(set) var updates = 0

    /// Allocates flat memory for the model's parameters and binds it; weights are not set yet.
    public init(
        _ model: Network, optimizer: any Optimizer, communicator: any Communicator, bucketBytes: Int
    ) {
        (self.model, self.optimizer, self.communicator) = (model, optimizer, communicator)
        layout = FlatLayout(
            parameters: model.parameters, ranks: communicator.size, bucketBytes: bucketBytes)
        weights = Buffer(count: layout.count)
        weights.clear()
        for entry in layout.entries {
            entry.parameter.leaf.bind(
                Tensor(buffer: weights[entry.range], shape: entry.parameter.leaf.shape))
        }
        ownedPieces = layout.buckets.map { $0.pieces[communicator.rank] }
        let owned = ownedPieces.reduce(0) { $0 + $1.count }
        moments = optimizer.momentNames.map { _ in
            let buffer = Buffer(count: owned)
            buffer.clear()
            return buffer
        }
        tree = GradientTree(count: layout.count)
        entryIndex = Dictionary(
            uniqueKeysWithValues: layout.entries.enumerated().map {
                (ObjectIdentifier($1.parameter.leaf), $0)
            })
        let owners = (0..<communicator.size).map { [layout] in layout.ownedBlocks(of: $0) }
        blockOwners = owners
        ownBlocks = owners[communicator.rank].map { [layout] in layout.blocks[$0] }
    }

    public func initialize(seed: UInt64) {
        for entry in layout.entries { entry.parameter.initialize(seed: seed) }
    }

    // MARK: A step

    public func beginStep() { tree.reset() }

    /// The next micro-batches, until another group begins, are added in order into one buffer.
    public func beginGroup() {
        tree.beginGroup()
        for entry in layout.entries where entry.parameter.leaf.isTrainable {
            entry.parameter.leaf.beginAccumulation(
                into: Tensor(
                    buffer: tree.current[entry.range], shape: entry.parameter.leaf.shape))
        }
    }

    /// Adds one micro-batch's gradient to the group.
    ///
    /// - Parameters:
    ///   - scale: with which the backward pass starts: loss scale over the step's number of targets.
    ///   - isLast: whether it is the rank's last of the step: buckets are then reduced as they become
    ///     complete. Collective over the data-parallel ranks.
    /// - Returns: the sum of the losses.
    public func accumulate(
        _ input: ModelInput, randomness: Pass.Randomness?, scale: Float, isLast: Bool
    ) -> Double {
        let tape = Tape()
        let loss = model.loss(of: input, Pass(tape: tape, randomness: randomness))
        if isLast { beginReductions() }
        tape.backward(from: [(loss, Tensor([scale], shape: []))]) { leaf in
            if isLast { complete(leaf) }
        }
        if isLast { completeUnused() }
        return loss.buffer.doubles[0]
    }

    /// Waits for the reductions and agrees with the other ranks. Collective.
    ///
    /// - Parameter record: what else the ranks must agree on; of the same length on each.
    public func agree(on record: [Double]) throws(CommunicationError) -> StepAgreement {
        for index in reductions.indices {
            try reductions[index]?.wait()
            reductions[index] = nil
        }
        let sums = GradientNorm.sumsOfSquares(tree.root, blocks: ownBlocks)
        let counts = blockOwners.map { $0.count + record.count }
        let table = Buffer(count: counts.reduce(0, +), dtype: .float64)
        var offset = counts[..<communicator.rank].reduce(0, +)
        for value in record + sums {
            table.doubles[offset] = value
            offset += 1
        }
        try communicator.allGather(table, counts: counts).wait()

        var records: [[Double]] = []
        var blockSums = [Double](repeating: 0, count: layout.blocks.count)
        offset = 0
        for (rank, count) in counts.enumerated() {
            let values = UnsafeBufferPointer(start: table.doubles + offset, count: count)
            records.append(Array(values.prefix(record.count)))
            for (block, sum) in zip(blockOwners[rank], values.dropFirst(record.count)) {
                blockSums[block] = sum
            }
            offset += count
        }
        return StepAgreement(
            records: records, gradientNorm: GradientNorm.norm(ofSums: blockSums),
            firstNonFinite: blockSums.firstIndex { !$0.isFinite }.flatMap(parameterName(ofBlock:)))
    }

    /// Updates the pieces of this rank and gathers all. Collective.
    public func update(learningRate: Double, gradientScale: Float) throws(CommunicationError) {
        var gathers: [PendingOperation] = []
        var offset = 0
        for (bucket, piece) in zip(layout.buckets, ownedPieces) {
            optimizer.update(
                updateRanges(of: piece, momentOffset: offset), learningRate: learningRate,
                updates: updates, gradientScale: gradientScale)
            offset += piece.count
            gathers.append(communicator.allGather(weights[bucket.range], counts: bucket.counts))
        }
        for gather in gathers { try gather.wait() }
        updates += 1
    }

    // MARK: State

    /// Parameters and moments, as far as this rank answers for them: its pieces.
    public var state: [StateTensor] {
        var tensors: [StateTensor] = []
        var offsets: [Int] = []
        var offset = 0
        for piece in ownedPieces {
            offsets.append(offset)
            offset += piece.count
        }
        // In ascending order of memory: buckets run from its end to its start.
        let owned = Array(zip(ownedPieces, offsets)).reversed()
        func pieces(
            of entry: FlatLayout.Entry, _ buffer: (Range<Int>, Int) -> Buffer
        ) -> [StateTensor.Piece] {
            let start = entry.range.lowerBound
            return owned.compactMap { piece, offset in
                let common = piece.clamped(to: entry.range)
                guard !common.isEmpty else { return nil }
                return StateTensor.Piece(
                    range: common.lowerBound - start..<common.upperBound - start,
                    buffer: buffer(common, offset + common.lowerBound - piece.lowerBound))
            }
        }
        for entry in layout.entries {
            let (name, spec) = (entry.parameter.name, entry.parameter.spec)
            guard entry.parameter.leaf.isTrainable else {
                // A frozen parameter is in no bucket and has no moments; the first rank answers for it.
                let piece = StateTensor.Piece(
                    range: 0..<entry.range.count, buffer: weights[entry.range])
                tensors.append(
                    StateTensor(
                        name: name, spec: spec, pieces: communicator.rank == 0 ? [piece] : []))
                continue
            }
            tensors.append(
                StateTensor(
                    name: name, spec: spec, pieces: pieces(of: entry) { range, _ in weights[range] }
                ))
            for (moment, buffer) in zip(optimizer.momentNames, moments) {
                tensors.append(
                    StateTensor(
                        name: "optimizer.\(moment).\(name)", spec: spec,
                        pieces: pieces(of: entry) { range, offset in
                            buffer[offset..<offset + range.count]
                        }))
            }
        }
        return tensors
    }

    /// After the state was filled from a checkpoint: the other ranks' pieces. Collective.
    public func restore(updates: Int) throws(CommunicationError) {
        self.updates = updates
        for bucket in layout.buckets {
            try communicator.allGather(weights[bucket.range], counts: bucket.counts).wait()
        }
        for entry in layout.entries where !entry.parameter.leaf.isTrainable {
            try communicator.broadcast(weights[entry.range], from: 0).wait()
        }
    }

    // MARK: Reductions

    private func beginReductions() {
        incompleteEntries = layout.entries.map { $0.parameter.leaf.isTrainable }
        reductions = Array(repeating: nil, count: layout.buckets.count)
        nonFiniteGradient = nil
    }

    private func complete(_ leaf: Leaf) {
        guard let index = entryIndex[ObjectIdentifier(leaf)] else {
            preconditionFailure("DataParallel: a gradient for a leaf that is not the model's")
        }
        leaf.endAccumulation()
        incompleteEntries[index] = false
        startReadyReductions()
    }

    /// Parameters that the model did not use have a gradient of zero.
    private func completeUnused() {
        for entry in layout.entries { entry.parameter.leaf.endAccumulation() }
        incompleteEntries = incompleteEntries.map { _ in false }
        startReadyReductions()
    }

    /// In the order of the buckets, which is the order of the backward pass and the same on every rank.
    private func startReadyReductions() {
        for (number, bucket) in layout.buckets.enumerated() where reductions[number] == nil {
            guard !incompleteEntries[bucket.entries].contains(true) else { return }
            tree.fold(bucket.range)
            if inspectsGradients && nonFiniteGradient == nil {
                nonFiniteGradient = layout.firstNonFinite(in: bucket, of: tree.root)
            }
            reductions[number] = communicator.reduceScatter(
                tree.root[bucket.range], counts: bucket.counts)
        }
    }

    private func parameterName(ofBlock block: Int) -> String? {
        layout.entries.first { $0.range.overlaps(layout.blocks[block]) }?.parameter.name
    }

    private func updateRanges(of piece: Range<Int>, momentOffset: Int) -> [UpdateRange] {
        let first = layout.entries.partitioningIndex { $0.range.upperBound > piece.lowerBound }
        return layout.entries[first...].prefix { $0.range.lowerBound < piece.upperBound }.compactMap
        {
            entry in
            let common = piece.clamped(to: entry.range)
            guard !common.isEmpty, entry.parameter.leaf.isTrainable else { return nil }
            let offset = momentOffset + common.lowerBound - piece.lowerBound
            return UpdateRange(
                weights: weights[common], gradient: tree.root[common],
                moments: moments.map { $0[offset..<offset + common.count] },
                decays: entry.parameter.decays)
        }
    }
}

/// What all ranks know at the end of a step.
public struct StepAgreement: Sendable {
    /// One record a rank.
    public let records: [[Double]]
    /// Of the summed gradient, before clipping; not finite if any element is not.
    public let gradientNorm: Double
    /// The first parameter, in the model's order, whose summed gradient has an element that is not.
    public let firstNonFinite: String?

    /// Whether the step may be taken: an update with a non-finite gradient is skipped on every rank.
    public var isFinite: Bool { gradientNorm.isFinite }
}
