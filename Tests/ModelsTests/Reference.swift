import Checkpointing
import Foundation
import Layers
import Models
import Tensors

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
            integers: [
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
