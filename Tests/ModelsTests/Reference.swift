import Checkpointing
import Foundation
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import Testing

/// A file of Tests/Fixtures: a small GPT-2 in PyTorch, computed in Float64.
struct Reference: Sendable {
    let reader: SafetensorsReader

    /// - Parameter file: of Tests/Fixtures, without its extension.
    init(_ file: String = "gpt_reference") throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent()
        reader = try SafetensorsReader(
            path: folder.appendingPathComponent("Fixtures/\(file).safetensors").path)
    }

    static let shape = GPTConfiguration(
        vocabulary: 61, contextLength: 16, layers: 2, heads: 3, width: 24)

    /// Of `gpt_reference_four_heads`, which four ranks can split.
    static let fourHeads = GPTConfiguration(
        vocabulary: 61, contextLength: 16, layers: 1, heads: 4, width: 20, inner: 53)

    func doubles(_ name: String) throws -> [Double] {
        let buffer = try load(name, .float64)
        return Array(UnsafeBufferPointer(start: buffer.doubles, count: buffer.count))
    }

    private func load(_ name: String, _ dtype: DType) throws -> Buffer {
        guard let entry = reader.entry(named: name) else { throw MissingTensor(name: name) }
        let buffer = Buffer(count: entry.shape.count, dtype: dtype)
        try reader.read(entry, elements: 0..<entry.shape.count, into: buffer)
        return buffer
    }

    struct MissingTensor: Error { let name: String }

    /// The batch: 3 sequences of 13 tokens.
    func input() throws -> ModelInput {
        let (tokens, targets) = (try load("tokens", .int32), try load("targets", .int32))
        return ModelInput(
            fields: [
                "tokens": Tensor(buffer: tokens, shape: [3, 13]),
                "targets": Tensor(buffer: targets, shape: [3, 13]),
            ], weights: Tensor([Float](repeating: 1, count: 39), shape: [39]))
    }

    /// Binds memory where there is none, and fills it with the fixture's weights, as far as they belong here.
    func fill(_ model: some Model, bind: Bool) throws {
        for parameter in model.parameters {
            if bind { parameter.leaf.bind(Tensor(uninitialized: parameter.leaf.shape)) }
            let logical = try load("weight.\(parameter.name)", .float32)
            let held = parameter.heldRange
            for run in parameter.spec.runs {
                for index in 0..<run.count where held.contains(run.memoryOffset + index) {
                    parameter.leaf.value.floats[run.memoryOffset + index - held.lowerBound] =
                        logical.floats[run.logicalOffset + index]
                }
            }
        }
    }
}

// MARK: The checks of docs/numerics.md, at its tolerances, each with a control that must fail

extension Reference {
    /// - Parameter other: the index of a logit unlike the first.
    func expectLogits(_ logits: [Float], other: Int) throws {
        let expected = try doubles("logits")
        func agrees(_ found: [Float]) -> Bool {
            found.count == expected.count
                && zip(found, expected).allSatisfy { abs(Double($0) - $1) <= 1e-4 }
        }
        #expect(agrees(logits))
        var wrong = logits
        wrong.swapAt(0, other)
        #expect(!agrees(wrong))
    }

    func expectLoss(_ mean: Double) throws {
        let expected = try doubles("loss")[0]
        #expect(abs(mean - expected) <= 1e-6 * expected)
        #expect(!(abs(mean * (1 + 2e-6) - expected) <= 1e-6 * expected))
    }

    /// Compares the gradients of `model`, each in memory order and whole.
    func expectGradients(_ gradients: [[Float]], of model: GPT) throws {
        let expected = try model.parameters.map { try doubles("gradient.\($0.name)") }
        let absolute = 1e-7 * norm(expected.map(norm))
        for (index, parameter) in model.parameters.enumerated() {
            let (found, expected) = (parameter.spec.logical(gradients[index]), expected[index])
            #expect(
                isClose(found, expected, relative: 1e-5, absolute: absolute), "\(parameter.name)")
            // The control: the same numbers in another order.
            let shuffled = Array(found.dropFirst() + found.prefix(1))
            #expect(
                !isClose(shuffled, expected, relative: 1e-5, absolute: absolute),
                "\(parameter.name) shuffled")
        }
    }

    /// The losses of ten steps on the fixture's batch.
    static func train(_ replica: Replica, on input: ModelInput) throws -> [Double] {
        try (0..<10).map { _ in
            try replica.beginStep()
            replica.beginGroup()
            let loss = try replica.accumulate(
                input, randomness: nil, scale: 1.0 / 39, isLast: true)
            let agreement = try replica.agree(on: [loss])
            let clip = GradientNorm.clipFactor(norm: agreement.gradientNorm, limit: 1)
            try replica.update(learningRate: 1e-2, gradientScale: Float(clip))
            return loss / 39
        }
    }

    /// Without weight decay the losses are others: the check can fail.
    func expectLosses(_ losses: [Double], agree: Bool) throws {
        let expected = try doubles("losses")
        let agrees = zip(losses, expected).allSatisfy { abs($0 - $1) <= 1e-5 * max(1, $1) }
        #expect(agrees == agree, "\(losses) \(expected)")
    }
}

/// What a causal language model's training minimises.
func causalLoss(
    _ model: any Model, of input: ModelInput, _ pass: Pass, smoothing: Double = 0
) -> Tensor {
    CausalLanguageModelling(labelSmoothing: smoothing).loss(of: input, by: model, pass)
}

extension ShardSpec {
    /// Elements in memory order, put in logical order.
    func logical(_ memory: [Float]) -> [Float] {
        var logical = memory
        for run in runs {
            for index in 0..<run.count {
                logical[run.logicalOffset + index] = memory[run.memoryOffset + index]
            }
        }
        return logical
    }
}

/// ‖found − expected‖ ≤ relative·‖expected‖ + absolute.
func isClose(
    _ found: [Float], _ expected: [Double], relative: Double, absolute: Double
) -> Bool {
    let distance = zip(found, expected).reduce(0) { sum, pair in
        sum + (Double(pair.0) - pair.1) * (Double(pair.0) - pair.1)
    }.squareRoot()
    return found.count == expected.count && distance <= relative * norm(expected) + absolute
}

func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
