// `murmur plan`: what a run will take. The model runs once, on tensors without memory (`DryModel`); what
// its passes would have taken from the pool is replayed, and the rest is arithmetic on the configuration.

import Checkpointing
import Communication
import Models
import Tensors

/// Parameters, memory and work of a run.
public struct Plan: Sendable, Equatable, Encodable {
    /// Bytes of the rank that takes most.
    public struct Memory: Sendable, Equatable, Encodable {
        public let weights: Int
        /// A rank's share of the Float32 copies that the optimizer updates: none where storage is Float32, since
        /// the weights are the masters.
        public let masters: Int
        /// A rank's share of both of Adam's, Float32.
        public let moments: Int
        /// Float32, a flat buffer for each open level of the tree of groups.
        public let gradients: Int
        /// What the forward pass of a micro-batch keeps for the backward pass, without the logits.
        public let activations: Int
        public let logits: Int
        /// Gradients of activations beyond what the freed activations have room for, and small tensors.
        public let backward: Int
        /// What evaluation adds.
        public let evaluation: Int
        /// The copy of the state that saves are written from, or the block where there is none.
        public let checkpoint: Int
        public let scratch: Int
        public let communication: Int
        public let process: Int

        public var total: Int { parts.reduce(0) { $0 + $1.bytes } }

        /// Each kind with its name, as people read it.
        public var parts: [(name: String, bytes: Int)] {
            [
                ("weights", weights), ("masters", masters), ("moments", moments),
                ("gradients", gradients), ("activations", activations), ("logits", logits),
                ("backward pass", backward), ("evaluation", evaluation),
                ("checkpoint's copy", checkpoint), ("kernel scratch", scratch),
                ("communication", communication), ("process", process),
            ]
        }
    }

    public let ranks: Int
    /// Copies of the model, each of which trains on its own micro-batches.
    public let data: Int
    /// Ranks that hold one copy of the model together.
    public let tensor: Int
    /// Whether these ranks also split the tokens between the parts of which each holds a share.
    public let sequence: Bool
    /// Of a rank.
    public let threads: Int
    public let vocabulary: Int
    public let parameters: Parameters
    /// On the rank that takes most.
    public let heldParameters: Parameters
    /// Of the rank that takes most.
    public private(set) var memory: Memory
    public private(set) var memoryTotal: Int
    /// Flat gradient buffers of a rank: open levels of its tree of micro-batches.
    public let gradientBuffers: Int
    /// Whether saves are written from a copy of the state, while training goes on.
    public private(set) var copiesState: Bool
    /// The most bytes that tensors hold at once, in the pool's size classes.
    public let poolPeakBytes: Int
    /// 6·N + 12·Σ context·(keys·heads' width), the sum over layers of attention.
    public let flopsPerToken: Double
    /// What the backward pass computes a second time: forward passes of what `memory.recompute` names.
    public let repeatedFlopsPerToken: Double
    /// The mean of the smaller extent of the model's weights, by the operations of their products: the width
    /// of a transformer.
    public let productWidth: Double
    public let tokensPerStep: Double
    public let steps: Int

    /// - Parameters:
    ///   - configuration: one that `load` has checked.
    ///   - ranks: of all dimensions, a number that `check(ranks:)` lets pass.
    ///   - threads: of a rank.
    ///   - copiesState: as the configuration says; `auto` has a copy.
    public init(
        _ configuration: RunConfiguration, vocabulary: Int, ranks: Int, threads: Int,
        copiesState: Bool? = nil
    ) {
        self.init(
            configuration, vocabulary: vocabulary, ranks: ranks, threads: threads,
            copiesState: copiesState
        ) { _ in true }
    }

    /// - Parameter fits: whether a plan with a copy of the state fits; where it does not, and nobody has asked for the
    ///   copy, there is none.
    init(
        _ configuration: RunConfiguration, vocabulary: Int, ranks: Int, threads: Int,
        copiesState: Bool? = nil, fits: (Plan) -> Bool
    ) {
        (self.ranks, self.threads, self.vocabulary) = (ranks, threads, vocabulary)
        self.copiesState = copiesState ?? (configuration.checkpoint.copy != .never)
        let degree = configuration.parallelism.tensor
        let mesh = MeshShape(data: max(1, ranks / degree), tensor: degree)
        (data, tensor) = (mesh.data, degree)
        sequence = configuration.parallelism.sequence && degree > 1
        let model = DryModel(configuration, vocabulary: vocabulary, tensor: degree)
        parameters = Parameters(model.model.parameters.map { ($0.name, $0.count) })
        heldParameters = Parameters(model.model.parameters.map { ($0.name, $0.leaf.shape.count) })
        gradientBuffers = Plan.gradientBuffers(configuration, replicas: mesh.data)
        steps = configuration.run.steps
        let work = TokenWork(configuration, vocabulary: vocabulary)
        (flopsPerToken, repeatedFlopsPerToken) = (work.flops, work.repeated)
        productWidth = work.productWidth
        tokensPerStep =
            Double(configuration.batch.sequences)
            * Double(configuration.positionsOfSequence)

        let layout = FlatEstimate(configuration, heldParameters.total, mesh)
        let element = configuration.storageType.size
        var pool = PoolReplay()
        // What data-parallel ranks exchange lies in memory that their group makes.
        var shared = 0
        func takeExchanged(size: Int) {
            if mesh.data > 1 {
                shared += plannedBytes(Double(layout.count), size: size)
            } else {
                pool.take(layout.count, size: size)
            }
        }
        takeExchanged(size: element)
        let weights = pool.residentBytes + shared
        let beforeMasters = pool.residentBytes
        if element < 4 { pool.take(layout.owned) }
        let masters = pool.residentBytes - beforeMasters
        for _ in 0..<layout.momentCount { pool.take(layout.owned) }
        let moments = pool.residentBytes - beforeMasters - masters
        if gradientBuffers > 0 { takeExchanged(size: 4) }
        for _ in 0..<max(0, gradientBuffers - 1) { pool.take(layout.count) }
        let state = pool.residentBytes
        let gradients = state + shared - weights - masters - moments
        let training = model.training(configuration.batch.microBatch, threads, &pool)
        let atTheTop = training.topBytes - state
        let trained = pool.residentBytes
        poolPeakBytes = pool.peakBytes
        var scratch = training.scratchBytes
        if !configuration.data.isEmpty {
            let evaluation = model.evaluation(
                configuration.evaluation.microBatch, threads, &pool)
            scratch = max(scratch, evaluation.scratchBytes)
        }
        let evaluated = pool.residentBytes
        let logits = min(atTheTop, training.logitsBytes)
        func memory(copies: Bool) -> Memory {
            var saved = pool
            if !configuration.data.isEmpty { layout.save(&saved, copies: copies) }
            return Memory(
                weights: weights, masters: masters, moments: moments,
                gradients: gradients,
                activations: atTheTop - logits, logits: logits,
                backward: trained - state - atTheTop, evaluation: evaluated - trained,
                checkpoint: saved.residentBytes - evaluated, scratch: scratch,
                communication: Workspace.communicationBytes(layout, ranks: ranks, tensor: degree),
                process: Workspace.process)
        }
        self.memory = memory(copies: self.copiesState)
        memoryTotal = self.memory.total
        guard copiesState == nil, configuration.checkpoint.copy == .auto, !fits(self) else {
            return
        }
        self.copiesState = false
        self.memory = memory(copies: false)
        memoryTotal = self.memory.total
    }

    /// How many buffers `GradientTree` has open at once over a rank's groups.
    private static func gradientBuffers(_ configuration: RunConfiguration, replicas: Int) -> Int {
        let groups = microBatchGroups(
            count: configuration.batch.microBatches, groups: configuration.numerics.groups, rank: 0,
            ranks: replicas)
        var (levels, most): ([Int], Int) = ([], 0)
        for _ in groups {
            while levels.count >= 2 && levels[levels.count - 1] == levels[levels.count - 2] {
                levels.removeLast()
                levels[levels.count - 1] += 1
            }
            levels.append(0)
            most = max(most, levels.count)
        }
        return most
    }
}

/// Sizes of a rank's flat memory: `FlatLayout` to within a norm block a bucket and the padding.
struct FlatEstimate {
    /// Elements of the parameters that a rank holds.
    let count: Int
    /// Elements whose moments are here, at most.
    let owned: Int
    /// Moments of an element.
    let momentCount: Int
    private let buckets: Int
    private let mesh: MeshShape
    private let piece: Int
    private let wire: DType
    private static let normBlock = 4096

    init(_ configuration: RunConfiguration, _ parameters: Int, _ mesh: MeshShape) {
        (count, self.mesh) = (parameters, mesh)
        wire = configuration.wire
        momentCount = configuration.makeOptimizer().momentNames.count
        let bucket = max(1, configuration.parallelism.bucketBytes / 4)
        buckets = (parameters + bucket - 1) / bucket
        piece = min(parameters, bucket) / mesh.data
        owned =
            mesh.data == 1
            ? parameters
            : min(parameters, parameters / mesh.data + buckets * FlatEstimate.normBlock)
    }

    /// Rings of gradients that come from other data-parallel ranks and, where they are rounded on their way, of those that
    /// leave (`Communication/Exchanges/Reducing.swift`). Half of the buckets are taken to be under way at
    /// once: about what was found at most, on four ranks that share two cores.
    var arrivingBytes: Int {
        let chunk = min(piece, CommunicationOptions().reductionChunk(size: mesh.data, wire: wire))
        let sides: Double = wire == .float32 ? 1 : 2
        return plannedBytes(
            3 * sides * Double(chunk) * Double((buckets + 1) / 2) * Double(mesh.data - 1),
            size: wire.size)
    }

    /// The copy of masters and moments that a save is written from, kept between saves, or the block that they go
    /// through.
    func save(_ pool: inout PoolReplay, copies: Bool) {
        let state = (1 + momentCount) * owned
        pool.take(copies ? state : min(state, CheckpointWriter.streamedElementCount))
    }
}
