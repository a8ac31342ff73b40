// A rank's part of a model in training. Over the ranks that hold the same part: data parallelism with sharded optimizer
// state (ZeRO stage 1, Rajbhandari et al. 2020): gradients are reduce-scattered bucket by bucket while the backward pass
// goes on, each rank updates its pieces, and working weights are gathered.

import Communication
import Kernels
import Layers
import Models
import Optimizers
import Tensors

/// A rank's part of a model: its parameters, gradients and optimizer state.
public final class Replica {
    public let model: any Model
    public let objective: any Objective
    public let mesh: Mesh
    package let layout: FlatLayout
    /// The ranks that hold the same part of the model.
    private let communicator: any Communicator
    /// What the model's sums go through where other ranks hold the rest of it.
    private let tensorGroup: TensorGroup?
    private let optimizer: any Optimizer
    /// In what gradients travel.
    private let wire: DType
    private let weights: Weights
    /// The pieces this rank owns, bucket by bucket.
    private let ownedPieces: [Range<Int>]
    private let moments: [Buffer]
    private let tree: GradientTree
    private let entryIndex: [ObjectIdentifier: Int]
    /// By rank in the world, the norm blocks whose sums it tells, by their canonical numbers.
    private let toldBlocks: [[Int]]
    /// Where those of this rank lie.
    private let ownBlocks: [Range<Int>]

    private var incompleteEntries: [Bool] = []
    private var reductions: [PendingOperation?] = []
    /// Whether the gradients of this rank's own micro-batches are searched before they are summed over
    /// the ranks; `nonFiniteGradient` is what was found first.
    package var inspectsGradients = false
    package private(set) var nonFiniteGradient: NonFiniteElement?
    /// Optimizer updates so far: Adam's time. Skipped steps do not count.
    public private(set) var updates = 0

    /// Allocates flat memory for the model's parameters and binds it; weights are not set yet. Collective over the
    /// data-parallel ranks.
    ///
    /// - Parameters:
    ///   - objective: what its training minimises.
    ///   - tensorGroup: what `parallelize` gave for this model and mesh.
    ///   - storage: of the working weights, and so of everything the model makes from them; Float32 or
    ///     Float16.
    ///   - wire: in what gradients travel between ranks; with Float16 the bits are those of the number
    ///     of ranks.
    public init(
        _ model: any Model, objective: any Objective, optimizer: any Optimizer, mesh: Mesh,
        tensorGroup: TensorGroup? = nil, bucketBytes: Int, storage: DType = .float32,
        wire: DType = .float32
    ) throws(CommunicationError) {
        let communicator = mesh.data
        (self.model, self.objective, self.optimizer) = (model, objective, optimizer)
        self.mesh = mesh
        (self.communicator, self.tensorGroup, self.wire) = (communicator, tensorGroup, wire)
        let layouts = (0..<mesh.shape.tensor).map {
            FlatLayout(
                parameters: model.parameters, ranks: communicator.size, bucketBytes: bucketBytes,
                tensorRank: $0)
        }
        layout = layouts[mesh.tensorRank]
        ownedPieces = layout.buckets.map { $0.pieces[communicator.rank] }
        weights = try Weights(layout, pieces: ownedPieces, communicator, storage: storage)
        for entry in layout.entries {
            entry.parameter.leaf.bind(
                Tensor(buffer: weights.working[entry.range], shape: entry.parameter.leaf.shape))
        }
        let owned = ownedPieces.reduce(0) { $0 + $1.count }
        moments = optimizer.momentNames.map { _ in Buffer.cleared(count: owned) }
        tree = GradientTree(count: layout.trainableCount) {
            [count = layout.trainableCount] () throws(CommunicationError) in
            try communicator.makeBuffer(count: count, dtype: .float32, .readable)
        }
        entryIndex = Dictionary(
            uniqueKeysWithValues: layout.entries.enumerated().map {
                (ObjectIdentifier($1.parameter.leaf), $0)
            })
        toldBlocks = (0..<mesh.world.size).map { rank in
            let layout = layouts[mesh.shape.tensorRank(of: rank)]
            return layout.toldBlocks(of: mesh.shape.dataRank(of: rank)).map {
                layout.blockNumbers[$0]
            }
        }
        ownBlocks = layout.toldBlocks(of: mesh.dataRank).map { [layout] in layout.blocks[$0] }
    }

    /// The same with every parameter whole on every rank.
    public convenience init(
        _ model: any Model, objective: any Objective, optimizer: any Optimizer,
        communicator: any Communicator, bucketBytes: Int, storage: DType = .float32,
        wire: DType = .float32
    ) throws(CommunicationError) {
        try self.init(
            model, objective: objective, optimizer: optimizer, mesh: Mesh(data: communicator),
            bucketBytes: bucketBytes, storage: storage, wire: wire)
    }

    /// Initial values: each rank makes those of its pieces, which then go to all. Collective.
    public func initialize(seed: UInt64) throws(CommunicationError) {
        for (piece, master) in zip(ownedPieces, weights.masters) {
            for (entry, common) in entries(in: piece) {
                entry.parameter.initialize(
                    common.shifted(by: entry.memoryShift), seed: seed,
                    into: master[common.shifted(by: -piece.lowerBound)])
            }
        }
        for (index, entry) in layout.entries.enumerated() {
            guard let master = weights.frozenMasters[index] else { continue }
            entry.parameter.initialize(entry.parameter.heldRange, seed: seed, into: master)
        }
        try weights.publish(layout, communicator)
    }

    // MARK: A step

    /// Collective over the data-parallel ranks at the first step, which makes room for gradients.
    public func beginStep() throws(CommunicationError) { try tree.reset() }

    /// The next micro-batches, until another group begins, are added in order into one buffer.
    public func beginGroup() {
        if tree.isOpen {
            for entry in layout.entries { entry.parameter.leaf.endAccumulation() }
        }
        tree.beginGroup()
        for entry in layout.entries where entry.parameter.leaf.isTrainable {
            entry.parameter.leaf.beginAccumulation(
                into: Tensor(
                    buffer: tree.current[entry.range], shape: entry.parameter.leaf.shape))
        }
    }

    /// A forward pass whose backward pass is still to come.
    public struct PassUnderWay {
        fileprivate let tape: Tape
        fileprivate let loss: Tensor
    }

    /// The forward pass of one micro-batch. Collective over the tensor dimension.
    public func forward(_ input: ModelInput, randomness: Pass.Randomness?) -> PassUnderWay {
        let span = Trace.begin(.phase, "forward pass")
        defer { span.end() }
        let tape = Tape()
        let pass = Pass(
            tape: tape, randomness: randomness, scatteredTokens: tensorGroup?.tokens)
        return PassUnderWay(tape: tape, loss: objective.loss(of: input, by: model, pass))
    }

    /// Adds one micro-batch's gradient to the group.
    ///
    /// - Parameters:
    ///   - scale: with which the backward pass starts: loss scale over the step's number of targets.
    ///   - isLast: whether it is the rank's last of the step: buckets are then reduced as they become
    ///     complete. Collective over the data-parallel ranks.
    /// - Returns: the sum of the losses, the same on every rank of the tensor dimension. Collective over
    ///   that too.
    public func backward(
        _ pass: PassUnderWay, scale: Float, isLast: Bool
    ) throws(CommunicationError) -> Double {
        let span = Trace.begin(.phase, "backward pass")
        defer { span.end() }
        if isLast { beginReductions() }
        pass.tape.backward(from: [(pass.loss, Tensor([scale], shape: []))]) { leaf in
            if isLast { complete(leaf) }
        }
        if isLast { completeUnused() }
        try tensorGroup?.requireSound()
        return pass.loss.float64
    }

    /// Both passes of one micro-batch.
    public func accumulate(
        _ input: ModelInput, randomness: Pass.Randomness?, scale: Float, isLast: Bool
    ) throws(CommunicationError) -> Double {
        try backward(forward(input, randomness: randomness), scale: scale, isLast: isLast)
    }

    /// What an evaluation adds up over a micro-batch. Collective over the tensor dimension.
    public func sums(of input: ModelInput) throws(CommunicationError) -> [Double] {
        try withoutGradient { objective.sums(of: input, by: model).map(\.float64) }
    }

    /// Runs passes through the model that keep nothing. Collective over the tensor dimension: its ranks do
    /// the same.
    package func withoutGradient<Result>(
        _ body: () -> Result
    ) throws(CommunicationError) -> Result {
        let result = body()
        try tensorGroup?.requireSound()
        return result
    }

    /// Waits for the reductions and agrees with the other ranks. Collective over all of them.
    ///
    /// - Parameter record: what else the ranks must agree on; of the same length on each.
    public func agree(on record: [Double]) throws(CommunicationError) -> StepAgreement {
        let span = Trace.begin(.agreement, "agreement")
        defer { span.end() }
        for index in reductions.indices {
            try reductions[index]?.wait()
            reductions[index] = nil
        }
        let sums = GradientNorm.sumsOfSquares(tree.root, blocks: ownBlocks)
        let counts = toldBlocks.map { $0.count + record.count }
        let table = Buffer(count: counts.reduce(0, +), dtype: .float64)
        var offset = counts[..<mesh.world.rank].reduce(0, +)
        for value in record + sums {
            table.doubles[offset] = value
            offset += 1
        }
        try mesh.world.allGather(table, counts: counts).wait()

        var records: [[Double]] = []
        var blockSums = [Double](repeating: 0, count: layout.normBlockCount)
        offset = 0
        for (rank, count) in counts.enumerated() {
            let values = UnsafeBufferPointer(start: table.doubles + offset, count: count)
            records.append(Array(values.prefix(record.count)))
            for (block, sum) in zip(toldBlocks[rank], values.dropFirst(record.count)) {
                blockSums[block] = sum
            }
            offset += count
        }
        // What is not finite comes before what is large.
        let worst =
            blockSums.firstIndex { !$0.isFinite }
            ?? blockSums.indices.max { blockSums[$0] < blockSums[$1] }
        return StepAgreement(
            records: records, gradientNorm: GradientNorm.norm(ofSums: blockSums),
            worstBlockNorm: worst.map { blockSums[$0].squareRoot() } ?? 0,
            worstParameter: worst.flatMap(parameterName(ofBlock:)))
    }

    /// Updates the pieces of this rank and gathers all. Collective.
    public func update(learningRate: Double, gradientScale: Float) throws(CommunicationError) {
        var gathers: [PendingOperation] = []
        var offset = 0
        // A gradient is read, weights and moments are read and written.
        let trafficPerElement =
            4 * (1 + 2 * (1 + moments.count)) + (weights.areApart ? weights.working.dtype.size : 0)
        for (number, bucket) in layout.buckets.enumerated() {
            let count = ownedPieces[number].count
            let span = Trace.begin(.optimizer, "optimizer", bytes: trafficPerElement * count)
            optimizer.update(
                updateRanges(of: number, momentOffset: offset), learningRate: learningRate,
                updates: updates, gradientScale: gradientScale)
            span.end()
            offset += count
            gathers.append(
                communicator.allGather(weights.working[bucket.range], counts: bucket.counts))
        }
        for gather in gathers { try gather.wait() }
        updates += 1
    }

    /// Bytes that this rank's weights take, in the storage type and as Float32 masters apart from those; that
    /// the optimizer's moments take, and the gradient buffers so far.
    package var memory: (working: Int, masters: Int, moments: Int, gradients: Int) {
        (
            weights.working.byteCount, weights.masterBytes,
            moments.reduce(0) { $0 + $1.byteCount }, tree.byteCount
        )
    }

    // MARK: State

    /// Parameters and moments, as far as they are here: what a checkpoint fills. Always Float32.
    public var state: [StateTensor] { state { _ in true } }

    /// The same, as far as this rank answers for them: what a checkpoint takes. Over all ranks the pieces
    /// cover every tensor once: one that each rank of the tensor dimension has is with one of those, in turn.
    public var savedState: [StateTensor] {
        state { [mesh] index in index % mesh.shape.tensor == mesh.tensorRank }
    }

    /// - Parameter takes: whether the parameters of this number are in, where every rank of the tensor
    ///   dimension has them.
    private func state(_ takes: (Int) -> Bool) -> [StateTensor] {
        var tensors: [StateTensor] = []
        // In ascending order of memory: buckets run from its end to its start.
        var owned: [(piece: Range<Int>, master: Buffer, moments: [Buffer])] = []
        var offset = 0
        for (piece, master) in zip(ownedPieces, weights.masters) {
            owned.append((piece, master, moments.map { $0[offset..<offset + piece.count] }))
            offset += piece.count
        }
        owned.reverse()
        for (index, entry) in layout.entries.enumerated() {
            let (name, spec) = (entry.parameter.name, entry.parameter.spec)
            let isIn = entry.parameter.isSplit || takes(entry.number)
            guard entry.parameter.leaf.isTrainable else {
                // A frozen parameter has no moments; the first of its data-parallel ranks answers for it.
                let master = isIn ? weights.frozenMasters[index] : nil
                tensors.append(
                    StateTensor(
                        name: name, spec: spec,
                        pieces: master.map {
                            [.init(range: entry.parameter.heldRange, buffer: $0)]
                        } ?? []))
                continue
            }
            func pieces(_ buffer: (Int) -> Buffer) -> [StateTensor.Piece] {
                guard isIn else { return [] }
                return owned.indices.compactMap { number in
                    let piece = owned[number].piece
                    let common = piece.clamped(to: entry.range)
                    guard !common.isEmpty else { return nil }
                    return StateTensor.Piece(
                        range: common.shifted(by: entry.memoryShift),
                        buffer: buffer(number)[common.shifted(by: -piece.lowerBound)])
                }
            }
            tensors.append(
                StateTensor(name: name, spec: spec, pieces: pieces { owned[$0].master }))
            for (moment, momentName) in optimizer.momentNames.enumerated() {
                tensors.append(
                    StateTensor(
                        name: "optimizer.\(momentName).\(name)", spec: spec,
                        pieces: pieces { owned[$0].moments[moment] }))
            }
        }
        return tensors
    }

    /// After the state was filled from a checkpoint: working weights, the other ranks' too. Collective.
    public func restore(updates: Int) throws(CommunicationError) {
        self.updates = updates
        try weights.publish(layout, communicator)
    }

    // MARK: Reductions

    private func beginReductions() {
        incompleteEntries = layout.entries.map { $0.parameter.leaf.isTrainable }
        reductions = Array(repeating: nil, count: layout.buckets.count)
        nonFiniteGradient = nil
    }

    private func complete(_ leaf: Leaf) {
        guard let index = entryIndex[ObjectIdentifier(leaf)] else {
            preconditionFailure("Replica: a gradient for a leaf that is not the model's")
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
                tree.root[bucket.range], counts: bucket.counts, wire: wire)
        }
    }

    private func parameterName(ofBlock block: Int) -> String? {
        layout.entries.first { $0.normBlocks.contains(block) }?.parameter.name
    }

    private func updateRanges(of bucket: Int, momentOffset: Int) -> [UpdateRange] {
        let piece = ownedPieces[bucket]
        return entries(in: piece).compactMap { entry, common in
            guard entry.parameter.leaf.isTrainable else { return nil }
            let inPiece = common.shifted(by: -piece.lowerBound)
            return UpdateRange(
                weights: weights.masters[bucket][inPiece],
                working: weights.areApart ? weights.working[common] : nil,
                gradient: tree.root[common],
                moments: moments.map { $0[inPiece.shifted(by: momentOffset)] },
                decays: entry.parameter.decays)
        }
    }

    /// The parameters that lie in a range of flat memory, and which part of it each is.
    private func entries(in range: Range<Int>) -> [(entry: FlatLayout.Entry, common: Range<Int>)] {
        let first = layout.entries.partitioningIndex { $0.range.upperBound > range.lowerBound }
        return layout.entries[first...].prefix { $0.range.lowerBound < range.upperBound }
            .map { ($0, range.clamped(to: $0.range)) }.filter { !$0.1.isEmpty }
    }
}
