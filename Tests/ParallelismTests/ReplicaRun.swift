// A small GPT in training on ranks that are threads, and its state as bit patterns.

import Communication
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import Training

/// A state of all ranks put together: bit patterns in memory order, by name.
typealias StateBits = [String: [UInt32]]

/// A training run as far as it decides bits, and how it is laid out.
struct ReplicaRun: Sendable {
    /// Data-parallel ranks; together with those of the tensor dimension as many as there are.
    var ranks = 1
    var tensor = 1
    var scattersTokens = false
    /// In which the ranks of the tensor dimension add; nil: as the communicator does.
    var order: SumOrder?
    var bucketBytes = 1 << 16
    var microBatches = 8
    var groups = 4
    var seed: UInt64 = 1
    /// By name.
    var frozen: Set<String> = []
    var recompute = Recompute.none
    var storage = DType.float32
    /// Odd where nothing asks for more: heads are 4, the rest is not divisible by 4.
    var isOdd = false
    /// Others than a GPT are always odd.
    var family = Family.gpt

    /// What is known after some steps.
    struct Outcome: Equatable, Sendable {
        var state: StateBits
        /// Bit patterns of the gradient norms, the same on every rank.
        var norms: [UInt64]
        var losses: [UInt64]
    }

    /// Trains steps `steps`, from `start` or from initial weights.
    func train(_ steps: Range<Int>, from start: StateBits? = nil) throws -> Outcome {
        let outcomes = try InProcess.run(ranks: ranks * tensor) { communicator in
            let world: any Communicator =
                order.map { Reordered(communicator, $0) } ?? communicator
            let replica = try makeReplica(try Mesh(world, tensor: tensor))
            if let start {
                fill(replica.state, from: start)
                try replica.restore(updates: steps.lowerBound)
            } else {
                try replica.initialize(seed: seed)
            }
            var outcome = Outcome(state: [:], norms: [], losses: [])
            for step in steps {
                let agreement = try take(step, replica)
                outcome.norms.append(agreement.gradientNorm.bitPattern)
                // The ranks of one copy of the model tell the same losses.
                let losses = agreement.records.map { $0.map(\.bitPattern) }
                for rank in losses.indices {
                    precondition(losses[rank] == losses[rank / tensor * tensor])
                    if rank % tensor == 0 { outcome.losses += losses[rank] }
                }
            }
            return (
                outcome, pieces: pieces(of: replica.savedState), working: working(replica.model)
            )
        }
        var outcome = outcomes[0].0
        for (name, spec) in try shapes {
            var bits = [UInt32?](repeating: nil, count: spec)
            for piece in outcomes.flatMap(\.pieces) where piece.name == name {
                for (index, value) in zip(piece.range, piece.bits) {
                    precondition(bits[index] == nil, "\(name): element \(index) is on two ranks")
                    bits[index] = value
                }
            }
            outcome.state[name] = bits.compactMap { $0 }
        }
        // Every rank has every working weight, and norms are agreed on.
        for other in outcomes {
            precondition(other.0.norms == outcome.norms && other.0.losses == outcome.losses)
            for (name, range, bits) in other.working {
                let masters = outcome.state[name]![range]
                precondition(
                    bits == rounded(masters, to: storage),
                    "\(name): a rank has other weights")
            }
        }
        return outcome
    }

    // MARK: Parts

    private func makeModel() -> any Model {
        let model: any Model =
            switch family {
            case .gpt: makeGPT()
            case .llama: makeLlama()
            case .bert: makeBERT()
            case .vit: makeViT()
            case .neox: makeNeoX()
            case .transformer: makeTransformer()
            }
        for parameter in model.parameters where frozen.contains(parameter.name) {
            parameter.leaf.isTrainable = false
        }
        return model
    }

    /// With all that its relatives have: grouped heads, biases, norms of heads, a window, an untied head.
    private func makeLlama() -> Llama {
        var shape = LlamaConfiguration(
            vocabulary: 61, contextLength: 16, layers: 2, heads: 8, width: 20, keyHeads: 4,
            inner: 53)
        (shape.headDimension, shape.window, shape.dropout) = (6, 9, 0.1)
        (shape.attentionBias, shape.normalisesHeads) = (true, true)
        return Llama(shape, numerics: Numerics(slices: 4), recompute: recompute)
    }

    /// A masked language model with padding.
    private func makeBERT() -> BERT {
        var shape = BERTConfiguration(
            vocabulary: 61, contextLength: 16, layers: 2, heads: 4, width: 20, inner: 53)
        shape.dropout = 0.1
        return BERT(shape, numerics: Numerics(slices: 4), recompute: recompute)
    }

    private func makeNeoX() -> NeoX {
        var shape = NeoXConfiguration(
            vocabulary: 61, contextLength: 16, layers: 2, heads: 4, width: 24, inner: 53)
        (shape.dropout, shape.rotaryFraction) = (0.1, 0.34)
        return NeoX(shape, numerics: Numerics(slices: 4), recompute: recompute)
    }

    /// An encoder–decoder with padding, of one block and two.
    private func makeTransformer() -> Transformer {
        var shape = TransformerConfiguration(
            vocabulary: 61, contextLength: 16, layers: 1, heads: 4, width: 20, inner: 53)
        (shape.decoderLayers, shape.dropout, shape.paddingToken) = (2, 0.1, 7)
        return Transformer(shape, numerics: Numerics(slices: 4), recompute: recompute)
    }

    private func makeViT() -> ViT {
        var shape = ViTConfiguration(
            classes: 7, imageSize: 12, patchSize: 4, layers: 2, heads: 4, width: 20, inner: 53)
        (shape.dropout, shape.channels) = (0.1, 2)
        return ViT(shape, numerics: Numerics(slices: 4), recompute: recompute)
    }

    private func makeGPT() -> GPT {
        var shape = GPTConfiguration(
            vocabulary: 61, contextLength: 16, layers: 2, heads: isOdd ? 4 : 3,
            width: isOdd ? 20 : 24, inner: isOdd ? 53 : nil)
        shape.dropout = 0.1
        return GPT(shape, numerics: Numerics(slices: 4), recompute: recompute)
    }

    private func makeReplica(_ mesh: Mesh) throws -> Replica {
        let model = makeModel()
        let group = parallelize(model, on: mesh, scattersTokens: scattersTokens)
        return try Replica(
            model, objective: objective, optimizer: AdamW(), mesh: mesh, tensorGroup: group,
            bucketBytes: bucketBytes, storage: storage)
    }

    private var objective: any Objective {
        switch family {
        case .gpt, .llama, .neox, .transformer: CausalLanguageModelling()
        case .bert: Classification(of: "masked token", labelSmoothing: 0.1)
        case .vit: Classification(of: "image")
        }
    }

    /// Names and sizes of the whole state.
    var shapes: [(name: String, count: Int)] {
        get throws {
            try makeReplica(Mesh(data: InProcess.alone())).state.map {
                ($0.name, $0.spec.shape.count)
            }
        }
    }

    private func take(
        _ step: Int, _ replica: Replica
    ) throws -> StepAgreement {
        let own = microBatchGroups(
            count: microBatches, groups: groups, rank: replica.mesh.dataRank, ranks: ranks)
        let sequences = 2
        let targets = Float(microBatches * sequences * targetsOfSequence)
        var losses: [Double] = []
        try replica.beginStep()
        for group in own {
            replica.beginGroup()
            for microBatch in group {
                let randomness = Pass.Randomness(
                    seed: seed, step: step, firstSequence: microBatch * sequences)
                losses.append(
                    try replica.accumulate(
                        input(step, microBatch, sequences), randomness: randomness,
                        scale: 1 / targets, isLast: microBatch == own.last!.upperBound - 1))
            }
        }
        let agreement = try replica.agree(on: losses)
        let clip = GradientNorm.clipFactor(norm: agreement.gradientNorm, limit: 0.5)
        try replica.update(learningRate: 1e-2, gradientScale: Float(clip))
        return agreement
    }

    /// Pseudo-random tokens, a function of step and micro-batch.
    private func input(_ step: Int, _ microBatch: Int, _ sequences: Int) -> ModelInput {
        var state = UInt64(step * 1000 + microBatch + 1) &* 0x9E37_79B9_7F4A_7C15
        func tokens(_ count: Int = 13) -> Tensor {
            Tensor(
                integers: (0..<sequences * count).map { _ in
                    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    return Int32(state >> 33) % 61
                }, shape: [sequences, count])
        }
        let count = targetsOfSequence
        var fields = ["tokens": tokens(), "targets": tokens(count)]
        if family == .vit {
            let patches = tokens(9 * 32).integers?.map { Float($0) / 30 - 1 } ?? []
            fields["patches"] = Tensor(patches, shape: [sequences, 9, 32])
            let labels = tokens(count).integers?.map { $0 % 7 } ?? []
            fields["targets"] = Tensor(integers: labels, shape: [sequences, count])
        }
        if family == .transformer { fields["decoder_tokens"] = tokens(count) }
        if family == .bert || family == .transformer {
            fields["lengths"] = Tensor(
                integers: (0..<sequences).map { 13 - Int32($0) * 3 }, shape: [sequences])
        }
        if family == .bert {
            fields["places"] = Tensor(
                integers: (0..<sequences * count).map { Int32($0 % count * 3) },
                shape: [sequences, count])
        }
        return ModelInput(
            fields: fields,
            weights: Tensor(
                [Float](repeating: 1, count: sequences * count), shape: [sequences * count]))
    }

    private var targetsOfSequence: Int {
        switch family {
        case .gpt, .llama, .neox: 13
        case .transformer: 11
        case .bert: 4
        case .vit: 1
        }
    }
}

private struct Piece: Sendable {
    let name: String
    let range: Range<Int>
    let bits: [UInt32]
}

private func bits(_ buffer: Buffer) -> [UInt32] {
    (0..<buffer.count).map { buffer.floats[$0].bitPattern }
}

private func pieces(of state: [StateTensor]) -> [Piece] {
    state.flatMap { tensor in
        tensor.pieces.map { Piece(name: tensor.name, range: $0.range, bits: bits($0.buffer)) }
    }
}

/// As Float32, whatever they are stored in; and which part of the whole parameter they are.
private func working(_ model: any Model) -> [(name: String, range: Range<Int>, bits: [UInt32])] {
    model.parameters.map { ($0.name, $0.heldRange, $0.leaf.value.array.map(\.bitPattern)) }
}

/// Bits of Float32 after a stay in a type of storage.
private func rounded(_ bits: ArraySlice<UInt32>, to storage: DType) -> [UInt32] {
    let floats = Tensor(bits.map { Float(bitPattern: $0) }, shape: [bits.count])
    return floats.converted(to: storage).array.map(\.bitPattern)
}

private func fill(_ state: [StateTensor], from bits: StateBits) {
    for tensor in state {
        for piece in tensor.pieces {
            for (offset, index) in piece.range.enumerated() {
                piece.buffer.floats[offset] = Float(bitPattern: bits[tensor.name]![index])
            }
        }
    }
}
