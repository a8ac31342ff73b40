import Communication
import Configuration
import Decoding
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import Testing

// A family that no list knows, as docs/adding-a-family.md has it: its shape, then its model.

/// Mixes each token with the one before it.
private struct ToyShape: ModelShape {
    var layers = 0
    var width = 0
    var contextLength = 0
    var vocabulary: Int?

    static let keys: [Key<Self>] = [
        .layers(\.layers), .width(\.width), .contextLength(\.contextLength), .vocabulary,
    ]
    static let checks: [KeyCheck<ShapeInRun<Self>>] = [
        .tensorFits(\.width, "model.width"), .tensorFitsVocabulary(),
    ]

    var sample: SampleShape { .tokens(contextLength) }

    func makeModel(_ build: Build) -> any Model { Toy(self, build) }
}

private final class Toy: Generative {
    let contextLength: Int
    private let tokens: Embedding
    private let mixers: [GatedFeedForward]
    private let norm: RMSNorm
    let output: OutputProjection

    init(_ shape: ToyShape, _ build: Build) {
        let numerics = build.numerics
        contextLength = shape.contextLength
        tokens = Embedding(
            "tokens", count: shape.vocabulary ?? 0, width: shape.width,
            deviation: 0.3, isSharded: true, numerics: numerics)
        mixers = (0..<shape.layers).map {
            GatedFeedForward(
                "mixers.\($0)", width: shape.width, inner: 3 * shape.width, activation: .silu,
                deviation: 0.2, residualDeviation: 0.2, numerics: numerics)
        }
        norm = RMSNorm("norm", width: shape.width, numerics: numerics)
        output = OutputProjection(tokens.weight, numerics: numerics)
    }

    var parameters: [Parameter] {
        tokens.parameters + mixers.flatMap(\.parameters) + norm.parameters
    }

    var tensorPlan: [TensorSplit] {
        [.vocabulary(tokens)]
            + mixers.flatMap { [TensorSplit.columns($0.projection), .rows($0.down)] }
    }

    var blockCount: Int { mixers.count }

    func begin(_ input: ModelInput, _ pass: Pass) -> Tensor { tokens(input["tokens"], pass) }

    func block(_ index: Int, _ value: Tensor, _ input: ModelInput, _ pass: Pass) -> Tensor {
        mixers[index](value, residual: value, pass)
    }

    func end(_ value: Tensor, _ input: ModelInput, _ pass: Pass) -> Tensor { norm(value, pass) }
}

/// What is written of a family is enough for everything around it.
@Suite struct ToyFamilyTests {
    private static let shape = ToyShape(layers: 2, width: 12, contextLength: 8, vocabulary: 10)

    private func model() throws -> any Model {
        let shape: any ModelShape = Self.shape
        return shape.makeModel(Build(slices: 4))
    }

    /// Each token is followed by the next number.
    private func input(_ start: Int) -> ModelInput {
        func numbers(_ offset: Int) -> Tensor {
            Tensor(
                integers: (0..<16).map { Int32(($0 + start + offset) % 10) }, shape: [2, 8])
        }
        return ModelInput(
            fields: ["tokens": numbers(0), "targets": numbers(1)],
            weights: Tensor([Float](repeating: 1, count: 16), shape: [16]))
    }

    private func losses(data: Int, tensor: Int, rate: Double = 0.02) throws -> [[UInt64]] {
        try InProcess.run(ranks: data * tensor) { world in
            let mesh = try Mesh(world, tensor: tensor)
            let model = try model()
            let replica = try Replica(
                model, objective: CausalLanguageModelling(), optimizer: AdamW(), mesh: mesh,
                tensorGroup: parallelize(model, on: mesh), bucketBytes: 1024)
            try replica.initialize(seed: 3)
            return try (0..<30).map { step in
                try replica.beginStep()
                replica.beginGroup()
                let loss = try replica.accumulate(
                    input(step + mesh.dataRank), randomness: nil, scale: 1 / Float(16 * data),
                    isLast: true)
                let agreement = try replica.agree(on: [loss])
                try replica.update(learningRate: rate, gradientScale: 1)
                return agreement.records.reduce(0) { $0 + $1[0] }.bitPattern
            }
        }
    }

    @Test(arguments: [(1, 2), (1, 4), (2, 2)])
    func itTrainsWithTheSameBitsOnEveryLayout(data: Int, tensor: Int) throws {
        let alone = try losses(data: data, tensor: 1)[0]
        let shared = try losses(data: data, tensor: tensor)
        let factor = Double(tensor)
        #expect(
            shared.allSatisfy {
                $0.map { Double(bitPattern: $0) } == alone.map { factor * Double(bitPattern: $0) }
            })
        #expect(Double(bitPattern: alone[29]) < 0.2 * Double(bitPattern: alone[0]))
        #expect(try losses(data: data, tensor: 1, rate: 0.01)[0] != alone, "control")
    }

    @Test func itContinuesTexts() throws {
        let model = try #require(try model() as? any Generative)
        for parameter in model.parameters {
            let value = Tensor(uninitialized: parameter.leaf.shape)
            parameter.initialize(0..<parameter.count, seed: 3, into: value.buffer)
            parameter.leaf.bind(value)
        }
        let generation = Generation(count: 5, sampling: Sampling(temperature: 0))
        let texts = generate(model, prompts: [[1], [2, 3]], generation) { _, _ in true }
        #expect(texts.map(\.count) == [5, 5])
    }

    @Test func itsKeysAreReadAndDocumented() {
        #expect(ToyShape.keys.map(\.path).contains("model.vocabulary"))
        let run = ShapeInRun(Self.shape, tensor: 16, slices: 16, sequences: 1)
        #expect(
            ToyShape.checks.compactMap { $0.complaint(run) } == [
                "expected at most model.width (12), found 16",
                "expected at most model.vocabulary (10), found 16",
            ])
    }
}
