import Foundation
import Kernels
import Layers
import Tensors
import Testing

/// What torch.nn.LSTM makes of a padded batch (Tests/Fixtures/lstm.py).
private struct Fixture: Decodable {
    let sequences, tokens, inputs, units: Int
    let lengths: [Int32]
    let x: [Float]
    let parameters: [String: [Float]]
    let upstream: [[Float]]
    let output, hidden, cell, xGradient: [Double]
    let gradients: [String: [Double]]

    static func read() throws -> Fixture {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Fixtures/lstm.json")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Fixture.self, from: Data(contentsOf: file))
    }
}

/// Elements to and from the order of memory.
private func permuted(_ values: [Float], _ spec: ShardSpec, toMemory: Bool) -> [Float] {
    var result = values
    for run in spec.runs {
        for index in 0..<run.count {
            let (memory, logical) = (run.memoryOffset + index, run.logicalOffset + index)
            if toMemory {
                result[memory] = values[logical]
            } else {
                result[logical] = values[memory]
            }
        }
    }
    return result
}

private func near(_ found: [Float], _ expected: [Double]) -> Bool {
    found.count == expected.count
        && zip(found, expected).allSatisfy { abs(Double($0) - $1) <= 1e-5 + 1e-5 * abs($1) }
}

@Suite struct LSTMStackTests {
    private func stack(
        _ inputs: Int, _ units: Int, _ bidirectional: LSTMStack.Bidirectional, slices: Int,
        dropout: Float = 0
    ) -> LSTMStack {
        LSTMStack(
            "lstm", inputs: inputs, units: units, layers: 2, bidirectional: bidirectional,
            dropout: dropout, deviation: 0.3, numerics: Numerics(slices: slices))
    }

    /// Outputs, last states and all gradients of two layers in both directions over a padded batch.
    @Test(arguments: [1, 2, 4])
    func agreesWithTorch(slices: Int) throws {
        let fixture = try Fixture.read()
        let stack = stack(fixture.inputs, fixture.units, .all, slices: slices)
        for parameter in stack.parameters {
            let values = try #require(
                fixture.parameters[String(parameter.name.dropFirst("lstm.".count))])
            let memory = permuted(values, parameter.spec, toMemory: true)
            parameter.leaf.bind(Tensor(memory, shape: parameter.spec.shape))
        }
        let (sequences, tokens) = (fixture.sequences, fixture.tokens)
        let tape = Tape()
        let x = tape.watch(Tensor(fixture.x, shape: [sequences, tokens, fixture.inputs]))
        let found = stack(
            x, lengths: Tensor(integers: fixture.lengths, shape: [sequences]), Pass(tape: tape))
        let last = found.last.flatMap { $0 }
        // By layer and direction.
        let size = sequences * fixture.units
        let states: Shape = [sequences, fixture.units]
        func part(_ number: Int, _ state: Int) -> Tensor {
            let start = state * size
            return Tensor(Array(fixture.upstream[number][start..<start + size]), shape: states)
        }
        let upstream = Tensor(fixture.upstream[0], shape: found.hidden.shape)
        let gradient = tape.backward(
            from: [(found.hidden, upstream)]
                + last.indices.map { (last[$0].hidden, part(1, $0)) }
                + last.indices.map { (last[$0].cell, part(2, $0)) }, wanted: [x])[0]
        #expect(near(found.hidden.array, fixture.output))
        #expect(near(last.flatMap(\.hidden.array), fixture.hidden))
        #expect(near(last.flatMap(\.cell.array), fixture.cell))
        #expect(near(gradient.array, fixture.xGradient))
        #expect(!near(gradient.array, fixture.xGradient.reversed()))
        #expect(stack.parameters.count == fixture.gradients.count)
        for parameter in stack.parameters {
            let expected = try #require(
                fixture.gradients[String(parameter.name.dropFirst("lstm.".count))])
            let found = permuted(
                parameter.leaf.gradient!.array, parameter.spec, toMemory: false)
            #expect(near(found, expected), "\(parameter.name)")
            #expect(!near(found, expected.reversed()), "\(parameter.name)")
        }
    }

    @Test func namesAreThoseOfTorch() {
        let names = stack(3, 4, .first, slices: 2).parameters.map(\.name)
        let kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        #expect(
            names
                == ["_l0", "_l0_reverse", "_l1"].flatMap { suffix in
                    kinds.map { "lstm.\($0)\(suffix)" }
                })
        let shapes = stack(3, 4, .first, slices: 2).layers.map { $0[0].inputWeight.spec.shape }
        #expect(shapes == [[16, 3], [16, 8]])
        #expect(stack(3, 4, .none, slices: 2).layers.map(\.count) == [1, 1])
        #expect(stack(3, 4, .all, slices: 2).layers.map(\.count) == [2, 2])
    }

    /// Between the layers in training, nowhere else.
    @Test func dropoutIsBetweenLayers() {
        let stack = stack(3, 4, .none, slices: 2, dropout: 0.5)
        for parameter in stack.parameters {
            let value = Tensor(uninitialized: parameter.spec.shape)
            parameter.initialize(0..<parameter.count, seed: 3, into: value.buffer)
            // Without biases h would be 0 where all of a token was dropped.
            if parameter.spec.shape.rank == 1 { value.floats.update(repeating: 0.5, count: 16) }
            parameter.leaf.bind(value)
        }
        let x = Tensor((0..<24).map { Float($0 % 7) - 3 }, shape: [2, 4, 3])
        let randomness = Pass.Randomness(seed: 1, step: 0, firstSequence: 0)
        let plain = stack(x, Pass())
        let dropped = stack(x, Pass(randomness: randomness))
        #expect(plain.last[0][0].hidden.array == dropped.last[0][0].hidden.array)
        #expect(plain.last[1][0].hidden.array != dropped.last[1][0].hidden.array)
        #expect(!dropped.hidden.array.contains(0))
    }
}
