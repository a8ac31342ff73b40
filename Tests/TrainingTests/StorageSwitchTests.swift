import Checkpointing
import Communication
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import TestSupport
import Testing

/// The storage type may change with every resume: masters decide, and what is stored is made of them again.
@Suite struct StorageSwitchTests {
    private static let progress = TrainingProgress(
        step: 7, optimizerUpdates: 7, samples: 56,
        identity: .init(
            run: "r", configuration: "", configurationDigest: "", tokenizer: "",
            tokenizerDigest: "", datasetDigest: "", build: "", blas: ""))

    @Test(arguments: [(1, 1), (2, 1), (1, 2), (2, 2)])
    func noBitOfTheStateChanges(data: Int, tensor: Int) throws {
        let folders = try (0..<5).map { _ in try TemporaryFolder() }
        try save(into: folders[0], storage: .float32, data: data, tensor: tensor)
        var digests = [try digest(folders[0])]
        let switches: [DType] = [.float16, .bfloat16, .float32, .bfloat16]
        for (index, storage) in switches.enumerated() {
            // Another layout at every other turn.
            let turned = index % 2 == 1
            try save(
                into: folders[index + 1], resuming: folders[index], storage: storage,
                data: turned ? tensor : data, tensor: turned ? data : tensor)
            digests.append(try digest(folders[index + 1]))
        }
        #expect(Set(digests).count == 1, "\(digests)")
    }

    /// Saves what a replica of random masters and moments holds, or one that goes on from another's.
    private func save(
        into folder: TemporaryFolder, resuming earlier: TemporaryFolder? = nil, storage: DType,
        data: Int, tensor: Int
    ) throws {
        try InProcess.run(ranks: data * tensor) { communicator in
            let shape = GPTConfiguration(
                vocabulary: 61, contextLength: 13, layers: 2, heads: 4, width: 24)
            let mesh = try Mesh(communicator, tensor: tensor)
            let model = GPT(shape, numerics: Numerics(slices: 4))
            let group = parallelize(model, on: mesh, scattersTokens: false)
            let replica = try Replica(
                model, objective: CausalLanguageModelling(), optimizer: AdamW(), mesh: mesh,
                tensorGroup: group, bucketBytes: 4096,
                storage: storage)
            if let earlier {
                let reader = try #require(try CheckpointReader.newest(in: earlier.path)).reader
                try reader.restore(into: replica.state, communicator: communicator)
                try replica.restore(updates: reader.progress.optimizerUpdates)
                try expectWeights(of: model, storage, are: reader)
            } else {
                try replica.initialize(seed: 3)
                for moments in replica.state where moments.name.hasPrefix("optimizer.") {
                    for piece in moments.pieces { fill(piece, moments.name) }
                }
            }
            let writer = CheckpointWriter(runDirectory: folder.path, keep: 1)
            try writer.save(
                replica.savedState, progress: Self.progress, communicator: communicator)
        }
    }

    /// A function of name and place, which no other storage type holds.
    private func fill(_ piece: StateTensor.Piece, _ name: String) {
        for (offset, element) in piece.range.enumerated() {
            let bits = UInt32(truncatingIfNeeded: (element + name.utf8.count) &* 2_654_435_761)
            piece.buffer.floats[offset] = Float(bitPattern: bits >> 9 | 0x3A80_0000)
        }
    }

    /// Every working weight is its master, rounded once where storage is Float16.
    private func expectWeights(
        of model: GPT, _ storage: DType, are checkpoint: CheckpointReader
    ) throws {
        var rounded = 0
        for parameter in model.parameters {
            let logical = try checkpoint.loadTensor(parameter.name).array
            var masters = logical
            for run in parameter.spec.runs {
                for index in 0..<run.count {
                    masters[run.memoryOffset + index] = logical[run.logicalOffset + index]
                }
            }
            let held = masters[parameter.heldRange]
            let expected = Tensor(Array(held), shape: [held.count]).converted(to: storage).array
            let found = parameter.leaf.value.array
            let isSame = found.map(\.bitPattern) == expected.map(\.bitPattern)
            #expect(isSame, "\(parameter.name)")
            rounded += zip(found, held).count { $0 != $1 }
        }
        // The control: masters are not what 16 bits hold.
        #expect((rounded > 1000) == (storage != .float32), "\(rounded)")
    }

    private func digest(_ folder: TemporaryFolder) throws -> String {
        try #require(try CheckpointReader.newest(in: folder.path)).reader.digest()
    }
}
