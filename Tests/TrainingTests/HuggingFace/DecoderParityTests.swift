import Checkpointing
import Communication
import Foundation
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import TestSupport
import Testing
import Training

/// Llama and its relatives beside transformers: logits, loss, all gradients, steps of AdamW, and the way there and
/// back, byte by byte.
@Suite(
    .serialized,
    .enabled(
        if: Python.hasTransformers,
        "needs a Python with torch and transformers: in the path, or named by MURMUR_PYTHON"))
struct DecoderParityTests {
    static let kinds = [
        "llama", "llama_tied", "llama3", "linear", "yarn", "mistral", "qwen2", "qwen3",
    ]

    /// What transformers made of a kind, and the run that its folder was imported into.
    private struct Peer: Sendable {
        let folder: TemporaryFolder
        let expected: SafetensorsReader
        let run: String

        var path: String { folder.file("peer") }

        private init(_ kind: String) throws {
            folder = try TemporaryFolder()
            let script = "\(packageRoot)/Tests/Fixtures/decoder_reference.py"
            let (peer, tensors) = (folder.file("peer"), folder.file("expected.safetensors"))
            let launch = try Python.run([script, kind, peer, tensors])
            try #require(launch.exitCode == 0, "\(launch.output)")
            expected = try SafetensorsReader(path: tensors)
            run = folder.file("run")
            _ = try importCheckpoint(peer, into: run)
        }

        /// Each kind is made once.
        static func of(_ kind: String) throws -> Peer {
            try #require(peers[kind], "\(kind)").get()
        }

        private static let peers = Dictionary(
            uniqueKeysWithValues: kinds.map { kind in (kind, Result { try Peer(kind) }) })

        func doubles(_ name: String) throws -> [Double] {
            let entry = try #require(expected.entry(named: name), "\(name)")
            let buffer = Buffer(count: entry.shape.count, dtype: .float64)
            try expected.read(entry, elements: 0..<buffer.count, into: buffer)
            return (0..<buffer.count).map { buffer.doubles[$0] }
        }

        private func integers(_ name: String) throws -> Tensor {
            let entry = try #require(expected.entry(named: name))
            let buffer = Buffer(count: entry.shape.count, dtype: .int32)
            try expected.read(entry, elements: 0..<buffer.count, into: buffer)
            return Tensor(
                integers: (0..<buffer.count).map { buffer.integers[$0] }, shape: entry.shape)
        }

        func input() throws -> ModelInput {
            let tokens = try integers("tokens")
            return ModelInput(
                fields: ["tokens": tokens, "targets": try integers("targets")],
                weights: Tensor(
                    [Float](repeating: 1, count: tokens.shape.count), shape: [tokens.shape.count]))
        }

        /// A replica of the imported model, or of one that differs from it.
        func replica(_ change: (inout LlamaConfiguration) -> Void = { _ in }) throws -> Replica {
            let reader = try #require(try CheckpointReader.newest(in: run)).reader
            let yaml = try String(contentsOfFile: "\(run)/configuration.yaml", encoding: .utf8)
            var configuration = try RunConfiguration.parse(yaml: yaml)
            var shape = try #require(configuration.model.shape as? LlamaConfiguration)
            change(&shape)
            configuration.model.shape = shape
            let replica = Replica(
                configuration.makeModel(symbols: shape.vocabulary ?? 259),
                objective: CausalLanguageModelling(), optimizer: AdamW(),
                communicator: InProcess.alone(), bucketBytes: 1 << 16)
            try reader.restore(into: replica.state, communicator: InProcess.alone())
            try replica.restore(updates: 0)
            return replica
        }
    }

    /// Of the largest of those expected.
    private func distance(_ found: [Float], _ expected: [Double]) -> Double {
        guard found.count == expected.count else { return .infinity }
        let scale = expected.reduce(0) { max($0, abs($1)) }
        return zip(found, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) } / scale
    }

    @Test(arguments: kinds) func computesWhatTransformersDoes(kind: String) throws {
        let peer = try Peer.of(kind)
        let (input, replica) = (try peer.input(), try peer.replica())
        let logits = try peer.doubles("logits")
        let found = replica.model.logits(input).array
        #expect(distance(found, logits) < 2e-5, "\(distance(found, logits))")

        // Another ε, other angles, heads in another order: each is seen.
        for change in Self.faults {
            let other = try peer.replica(change).model.logits(input).array
            #expect(distance(other, logits) > 1e-3)
        }
        let swapped = try peer.replica()
        swapHeads(of: swapped.model)
        #expect(distance(swapped.model.logits(input).array, logits) > 1e-3)
    }

    private static let faults: [@Sendable (inout LlamaConfiguration) -> Void] = [
        { $0.epsilon = 0.01 }, { $0.rotary.base = 100 },
    ]

    /// The first two heads of queries of the first layer change places.
    private func swapHeads(of model: any Model) {
        guard let parameter = model.parameters.first(where: { $0.name.contains("qkv_proj.weight") })
        else { return }
        let width = parameter.spec.shape[1] * 6
        let values = parameter.leaf.value.buffer
        // Slice by slice in memory: a head of queries lies before its keys and values.
        let second = parameter.spec.memoryRanges[1].lowerBound
        for index in 0..<width {
            let first = values.floats[index]
            values.floats[index] = values.floats[second + index]
            values.floats[second + index] = first
        }
    }

    @Test(arguments: kinds) func hasItsGradients(kind: String) throws {
        let peer = try Peer.of(kind)
        let replica = try peer.replica()
        let tape = Tape()
        let loss = replica.objective.loss(
            of: try peer.input(), by: replica.model, Pass(tape: tape))
        let mean = try peer.doubles("loss")[0]
        #expect(abs(loss.float64 / 64 - mean) < 1e-6 * mean)
        tape.backward(from: [(loss, Tensor([1.0 / 64], shape: []))])
        for parameter in replica.model.parameters {
            let expected = try peer.doubles("gradient.\(parameter.name)")
            let gradient = logical(parameter.leaf.gradient!.array, parameter.spec)
            #expect(distance(gradient, expected) < 1e-4, "\(parameter.name)")
            #expect(distance(gradient.reversed(), expected) > 1e-2, "\(parameter.name), control")
        }
    }

    private func logical(_ memory: [Float], _ spec: ShardSpec) -> [Float] {
        var logical = memory
        for run in spec.runs {
            for index in 0..<run.count {
                logical[run.logicalOffset + index] = memory[run.memoryOffset + index]
            }
        }
        return logical
    }

    @Test(arguments: kinds) func learnsAsItDoes(kind: String) throws {
        let peer = try Peer.of(kind)
        let (input, replica) = (try peer.input(), try peer.replica())
        let expected = try peer.doubles("losses")
        let found = try (0..<20).map { _ in
            replica.beginStep()
            replica.beginGroup()
            let loss = try replica.accumulate(
                input, randomness: nil, scale: 1.0 / 64, isLast: true)
            _ = try replica.agree(on: [loss])
            try replica.update(learningRate: 3e-3, gradientScale: 1)
            return loss / 64
        }
        for (step, (loss, other)) in zip(found, expected).enumerated() {
            #expect(abs(loss - other) < 1e-3 * other, "step \(step)")
        }
        #expect(abs(expected[0] - expected[19]) > 0.1, "control: it learns")
    }

    /// Import, export, import: the weights are the same, and transformers reads what we write.
    @Test(arguments: kinds) func goesThereAndBack(kind: String) throws {
        let peer = try Peer.of(kind)
        let (out, again) = (peer.folder.file("out"), peer.folder.file("again"))
        _ = try exportCheckpoint(peer.run, to: out)
        _ = try importCheckpoint(out, into: again)
        let readers = try [peer.run, again].map {
            try #require(try CheckpointReader.newest(in: $0)).reader
        }
        for tensor in readers[0].manifest.tensors {
            let values = try readers.map { try $0.loadTensor(tensor.name).array.map(\.bitPattern) }
            #expect(values[0] == values[1], "\(tensor.name)")
        }
        let weights = try [peer.path, out].map {
            try Data(contentsOf: URL(fileURLWithPath: "\($0)/model.safetensors")).count
        }
        #expect(abs(weights[0] - weights[1]) < 4096)

        let tokens = (0..<20).map { Int32($0 * 37 % 259) }
        let file = peer.folder.file("logits")
        for path in [peer.path, out] {
            let launch = try Python.run(
                [Python.fixture, "logits", path, file] + tokens.map(String.init))
            try #require(launch.exitCode == 0, "\(launch.output)")
            let data = try Data(contentsOf: URL(fileURLWithPath: file))
            let expected = data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
            let found = try logits(of: peer.run, tokens)
            #expect(distance(found, expected.map(Double.init)) < 2e-5, "\(path)")
        }
    }
}
