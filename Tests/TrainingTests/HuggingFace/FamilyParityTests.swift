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

/// Each family beside transformers: logits, loss, all gradients, steps of AdamW, and the way there and back, byte by
/// byte.
@Suite(
    .serialized,
    .enabled(
        if: Python.hasTransformers,
        "needs a Python with torch and transformers: in the path, or named by MURMUR_PYTHON"))
struct FamilyParityTests {
    /// Of `Tests/Fixtures/family_reference.py`.
    static let kinds = [
        "llama", "llama_tied", "llama3", "linear", "dynamic", "yarn", "mistral", "qwen2", "qwen3",
        "gpt1", "gpt1_relu", "neox", "neox_sequential", "bert", "bert_gelu_new", "bert_sequences",
        "bert_tokens", "roberta", "vit", "vit_no_bias", "marian", "marian_scaled", "bart",
    ]

    /// What transformers made of a kind, and the run that its folder was imported into.
    private struct Peer: Sendable {
        let kind: String
        let folder: TemporaryFolder
        let expected: SafetensorsReader
        let run: String

        var path: String { folder.file("peer") }

        private init(_ kind: String) throws {
            self.kind = kind
            folder = try TemporaryFolder()
            expected = try Peer.reference(
                kind, folder.file("peer"), folder.file("expected.safetensors"))
            run = folder.file("run")
            _ = try importCheckpoint(folder.file("peer"), into: run)
        }

        private static func reference(
            _ kind: String, _ path: String, _ tensors: String, _ options: String...
        ) throws -> SafetensorsReader {
            let script = "\(packageRoot)/Tests/Fixtures/family_reference.py"
            let launch = try Python.run([script, kind, path, tensors] + options)
            try #require(launch.exitCode == 0, "\(launch.output)")
            return try SafetensorsReader(path: tensors)
        }

        /// Each kind is made once.
        static func of(_ kind: String) throws -> Peer {
            try #require(peers[kind], "\(kind)").get()
        }

        private static let peers = Dictionary(
            uniqueKeysWithValues: kinds.map { kind in (kind, Result { try Peer(kind) }) })

        func doubles(_ name: String) throws -> [Double] {
            try Peer.doubles(name, in: expected)
        }

        private static func doubles(_ name: String, in file: SafetensorsReader) throws -> [Double] {
            let entry = try #require(file.entry(named: name), "\(name)")
            let buffer = Buffer(count: entry.shape.count, dtype: .float64)
            try file.read(entry, elements: 0..<buffer.count, into: buffer)
            return (0..<buffer.count).map { buffer.doubles[$0] }
        }

        /// The logits of a folder that may be ours.
        func logits(ofFolder path: String) throws -> [Double] {
            let file = try Peer.reference(kind, path, folder.file("again.safetensors"), "--load")
            return try Peer.doubles("logits", in: file)
        }

        func input() throws -> ModelInput {
            var fields: [String: Tensor] = [:]
            for entry in expected.entries where entry.name.hasPrefix("input.") {
                let name = String(entry.name.dropFirst(6))
                let type: DType = name == "patches" ? .float32 : .int32
                let tensor = Tensor(uninitialized: entry.shape, dtype: type)
                try expected.read(entry, elements: 0..<entry.shape.count, into: tensor.buffer)
                fields[name] = tensor
            }
            let entry = try #require(expected.entry(named: "weights"))
            let weights = Tensor(uninitialized: entry.shape)
            try expected.read(entry, elements: 0..<entry.shape.count, into: weights.buffer)
            return ModelInput(fields: fields, weights: weights)
        }

        func configuration() throws -> RunConfiguration {
            try RunConfiguration.parse(
                yaml: String(contentsOfFile: "\(run)/configuration.yaml", encoding: .utf8))
        }

        /// A replica of the imported model, or of one that differs from it.
        func replica(_ change: (inout any ModelShape) -> Void = { _ in }) throws -> Replica {
            let reader = try #require(try CheckpointReader.newest(in: run)).reader
            var configuration = try configuration()
            change(&configuration.model.shape)
            let replica = try Replica(
                configuration.makeModel(symbols: configuration.model.shape.vocabulary ?? 259),
                objective: configuration.makeObjective(), optimizer: AdamW(),
                communicator: InProcess.alone(), bucketBytes: 1 << 16)
            try reader.restore(into: replica.state, communicator: InProcess.alone())
            try replica.restore(updates: 0)
            return replica
        }
    }

    @Test func everyFamilyHasAKind() throws {
        let families = try Self.kinds.map { try Peer.of($0).configuration().model.family }
        #expect(Set(families) == Set(Family.allCases))
    }

    /// Of the largest of those expected.
    private func distance(_ found: [Float], _ expected: [Double]) -> Double {
        guard found.count == expected.count else { return .infinity }
        let scale = expected.reduce(0) { max($0, abs($1)) }
        return zip(found, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) } / scale
    }

    /// The scores of all targets that count.
    private func logits(_ model: any Model, _ input: ModelInput) -> [Float] {
        let all = model.logits(input).array
        let classes = model.output.classCount
        return input.weights.array.enumerated().filter { $0.element > 0 }.flatMap {
            all[$0.offset * classes..<($0.offset + 1) * classes]
        }
    }

    @Test(arguments: kinds) func computesWhatTransformersDoes(kind: String) throws {
        let peer = try Peer.of(kind)
        let (input, replica) = (try peer.input(), try peer.replica())
        let expected = try peer.doubles("logits")
        let found = logits(replica.model, input)
        #expect(distance(found, expected) < 2e-5, "\(distance(found, expected))")

        // Another ε, other angles, another activation, heads in another order: each is seen.
        for change in Self.faults {
            let other = logits(try peer.replica(change).model, input)
            #expect(other == found || distance(other, expected) > 1e-4)
        }
        let seen = try Self.faults.filter { logits(try peer.replica($0).model, input) != found }
        #expect(seen.count == 2, "control")
        let swapped = try peer.replica()
        swapHeads(of: swapped.model)
        #expect(distance(logits(swapped.model, input), expected) > 1e-3)
        // Patches in another order.
        if let patches = input.fields["patches"] {
            let turned = Tensor(patches.array.reversed(), shape: patches.shape)
            let other = logits(
                replica.model, ModelInput(fields: ["patches": turned], weights: input.weights))
            #expect(distance(other, expected) > 1e-3)
        }
        // Padding that is seen, or segments that are not.
        for name in ["lengths", "types"] where input.fields[name] != nil && kind != "roberta" {
            var fields = input.fields
            fields[name] = nil
            let other = logits(
                replica.model, ModelInput(fields: fields, weights: input.weights))
            #expect(distance(other, expected) > 1e-3, "\(name)")
        }
    }

    /// Two of them concern each family.
    private static let faults: [@Sendable (inout any ModelShape) -> Void] = [
        { change(&$0, GPTConfiguration.self) { $0.activation = .silu } },
        { change(&$0, GPTConfiguration.self) { $0.heads = 2 } },
        { change(&$0, NeoXConfiguration.self) { $0.epsilon = 0.01 } },
        { change(&$0, NeoXConfiguration.self) { $0.isParallel.toggle() } },
        { change(&$0, LlamaConfiguration.self) { $0.epsilon = 0.01 } },
        { change(&$0, LlamaConfiguration.self) { $0.rotary.base = 100 } },
        { change(&$0, BERTConfiguration.self) { $0.epsilon = 0.01 } },
        { change(&$0, BERTConfiguration.self) { $0.activation = .silu } },
        { change(&$0, TransformerConfiguration.self) { $0.scalesEmbedding.toggle() } },
        { change(&$0, TransformerConfiguration.self) { $0.heads = 2 } },
        { change(&$0, ViTConfiguration.self) { $0.epsilon = 0.01 } },
        { change(&$0, ViTConfiguration.self) { $0.activation = .silu } },
    ]

    private static func change<Shape: ModelShape>(
        _ shape: inout any ModelShape, _ type: Shape.Type, _ body: (inout Shape) -> Void
    ) {
        guard var own = shape as? Shape else { return }
        body(&own)
        shape = own
    }

    /// The first two heads of queries of the first layer change places.
    private func swapHeads(of model: any Model) {
        let first = model.parameters.first {
            $0.name.hasSuffix("c_attn.weight") || $0.name.hasSuffix("query_key_value.weight")
                || $0.name.hasSuffix("qkv_proj.weight")
                || $0.name.hasSuffix(".qkv.weight")
        }
        guard let parameter = first else { return }
        let width = parameter.spec.shape[1] * parameter.spec.segments[0].unitSize
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
        let (input, replica) = (try peer.input(), try peer.replica())
        let targets = input.weights.array.reduce(0, +)
        let tape = Tape()
        let loss = replica.objective.loss(of: input, by: replica.model, Pass(tape: tape))
        let mean = try peer.doubles("loss")[0]
        #expect(abs(loss.float64 / Double(targets) - mean) < 1e-6 * mean)
        tape.backward(from: [(loss, Tensor([1 / targets], shape: []))])
        for parameter in replica.model.parameters where parameter.leaf.isTrainable {
            let expected = try peer.doubles("gradient.\(parameter.name)")
            let gradient = logical(parameter.leaf.gradient!.array, parameter.spec)
            #expect(distance(gradient, expected) < 1e-4, "\(parameter.name)")
            #expect(
                gradient.count < 3 || distance(gradient.reversed(), expected) > 1e-2,
                "\(parameter.name), control")
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
        let targets = input.weights.array.reduce(0, +)
        let expected = try peer.doubles("losses")
        let found = try (0..<20).map { _ in
            try replica.beginStep()
            replica.beginGroup()
            let loss = try replica.accumulate(
                input, randomness: nil, scale: 1 / targets, isLast: true)
            _ = try replica.agree(on: [loss])
            try replica.update(learningRate: 3e-3, gradientScale: 1)
            return loss / Double(targets)
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

        // transformers computes from ours what it computes from its own: in Float64, whose last bits depend on how its
        // memory happens to be aligned. One bit of one of our weights would be 10⁻⁸.
        let (ours, theirs) = (try peer.logits(ofFolder: out), try peer.doubles("logits"))
        let scale = theirs.reduce(0) { max($0, abs($1)) }
        #expect(ours.count == theirs.count)
        #expect(zip(ours, theirs).allSatisfy { abs($0 - $1) < 1e-12 * scale })
    }
}
